"""What a feature is: a name, a unit, a definition, a function, and the flags that spoil it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kidsclf.features.morphology.flags import MorphologyFlag as Flag
from kidsclf.features.morphology.galaxies import Galaxies

LOST = Flag.NO_IMAGE | Flag.NO_SOURCE
"""Spoils everything."""

RADIAL = LOST | Flag.NO_PETROSIAN | Flag.CUT_OFF
"""Spoils what is measured in Petrosian circles."""

ELLIPTICAL = RADIAL | Flag.BAD_MOMENTS
"""Spoils what is measured in Petrosian ellipses."""

STRUCTURE = LOST | Flag.LOW_SN
"""Spoils what tells of structure."""


@dataclass(frozen=True)
class Feature:
    """One column of morphology.

    Attributes
    ----------
    name : str
        Of the column.
    unit : str
        ``px``, ``px2``, ``rad``, ``image`` (that of the stamps) or empty.
    definition : str
        One line, with its paper.
    compute : callable of Galaxies
        Gives a float array (n,).
    spoiled_by : MorphologyFlag
        Where one of these is set, the column is NaN.
    """

    name: str
    unit: str
    definition: str
    compute: Callable[[Galaxies], Any]
    spoiled_by: Flag
