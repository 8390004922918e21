"""Trees that read shapes beside photometry.

Feng et al., section 5.2: trees fall short of the network for want of morphology, and come near to
it with a stellarity index (Nakoneczny et al. 2021).
"""

import numpy as np
from numpy.typing import NDArray

from kidsclf.config import Config, TrainSettings
from kidsclf.experiments.rows import ChosenRows
from kidsclf.features.colours import photometry_features
from kidsclf.features.table import morphology_asked, sersic_asked
from kidsclf.pipeline.packed_sample import PackedSample

STELLARITY = "spread_model"
"""How much wider than a star (Desai et al. 2012); what the demo has for a stellarity index."""


def measured_shapes(config: Config) -> tuple[str, ...]:
    """Name the columns of ``features`` that were asked for, in its order; flags are not."""
    asked = config.features.measure
    morphology = tuple(feature.name for feature in morphology_asked(asked))
    return morphology + tuple(column.name for column in sersic_asked(asked))


def answer_with_shapes(
    sample: PackedSample, rows: ChosenRows, settings: TrainSettings, bands: int, seed: int
) -> tuple[NDArray[np.float32], int]:
    """Grow trees on the training rows; give what they say of the test rows.

    Parameters
    ----------
    sample : PackedSample
        With shapes.
    rows : ChosenRows
    settings : TrainSettings
    bands : int
        How many of the sample's bands the network reads: the first.
    seed : int

    Returns
    -------
    probabilities : float32 array (test rows, classes)
    trees : int
        Boosting rounds.
    """
    from kidsclf.models.trees import grow_trees  # noqa: PLC0415  # brings XGBoost

    magnitudes = sample.photometry.magnitudes[:, :bands]
    inputs = np.concatenate([photometry_features(magnitudes), sample.shapes], axis=1)
    booster, _ = grow_trees(
        (inputs[rows.train], inputs[rows.validation]),
        (sample.codes[rows.train], sample.codes[rows.validation]),
        len(sample.classes),
        settings.trees,
        threads=settings.threads,
        seed=seed,
    )
    said = np.asarray(booster.inplace_predict(inputs[rows.test]), np.float32)
    return said.reshape(len(rows.test), len(sample.classes)), settings.trees.trees
