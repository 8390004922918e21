"""What is to be known of a source before its score is trusted: the ``ScoreFlag`` bits."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.config import Config
from kidsclf.pipeline.fitting import splits
from kidsclf.pipeline.inputs import Sources
from kidsclf.schema import NAME, CutoutFlag, ScoreFlag, Scores
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory

_CUTOUT_FLAGS = {
    CutoutFlag.EDGE: ScoreFlag.CUTOUT_EDGE,
    CutoutFlag.MASKED: ScoreFlag.CUTOUT_MASKED,
    CutoutFlag.MISSING_TILE: ScoreFlag.CUTOUT_MISSING,
    CutoutFlag.BAD_PIXEL: ScoreFlag.CUTOUT_BAD_PIXEL,
}


def score_flags(
    sources: Sources,
    scores: Scores,
    taught: NDArray[np.bool_],
    *,
    reference_band: str | None,
    brightest: float,
    faintest: float | None,
) -> NDArray[np.int32]:
    """Set the ``ScoreFlag`` bits of all sources, int32 (n,).

    Parameters
    ----------
    sources : Sources
    scores : Scores
    taught : bool array (n,)
        Those that the network learnt from.
    reference_band : str or None
        Whose magnitudes say what is extrapolated; None, or a band that was not read: nothing.
    brightest, faintest : float
        Magnitudes that the labels reach; a ``faintest`` of None is no limit.
    """
    flags = np.zeros(len(scores), np.int32)
    magnitude = sources.magnitude(reference_band) if reference_band else None
    if magnitude is not None:
        flags[magnitude < np.float32(brightest)] |= ScoreFlag.EXTRAPOLATED
        if faintest is not None:
            flags[magnitude > np.float32(faintest)] |= ScoreFlag.EXTRAPOLATED
    flags[np.isnan(sources.magnitudes).any(axis=1)] |= ScoreFlag.MISSING_BAND
    flags[scores.codes < 0] |= ScoreFlag.UNCLASSIFIED
    if sources.stamps is not None:
        of_cutout = sources.stamps.flags()
        for cutout_flag, score_flag in _CUTOUT_FLAGS.items():
            flags[(of_cutout & np.uint8(cutout_flag)) != 0] |= score_flag
    flags[taught] |= ScoreFlag.TRAINED_ON
    return flags


def trained_on(
    work: WorkDirectory, partition: Partition, names: pa.ChunkedArray, config: Config
) -> NDArray[np.bool_]:
    """Say which sources stood in the training or validation sample, bool array (n,)."""
    sample = HatsCatalogue(work.sample(config.train.sample))
    if config.train.pretrained is not None or not sample.exists(partition):
        return np.zeros(len(names), bool)
    labelled = sample.read(partition, [NAME])[NAME].to_numpy(zero_copy_only=False)
    taught = pa.array(labelled[splits(labelled, config.train) != "test"], names.type)
    return np.asarray(pc.is_in(names, value_set=taught).to_numpy())
