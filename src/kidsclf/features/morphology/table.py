"""The table of morphological features.

A feature of one's own is a function of ``Galaxies`` and an entry handed to ``measure``.
"""

from kidsclf.features.morphology.extent import EXTENT_FEATURES
from kidsclf.features.morphology.feature import Feature
from kidsclf.features.morphology.structure import STRUCTURE_FEATURES

FEATURES: tuple[Feature, ...] = (*EXTENT_FEATURES, *STRUCTURE_FEATURES)
"""All of them, in the order of the columns."""
