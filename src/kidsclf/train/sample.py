"""Records that pass between the parts of training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sample:
    """Labelled sources as a network reads them.

    Attributes
    ----------
    photometry : float32 array (n, 2 bands - 1)
        Magnitudes and colours; NaN where missing.
    stamps : float32 array (n, size, size, image bands) or None
        Maggies, finite.
    codes : int64 array (n,)
        Classes.
    """

    photometry: NDArray[np.float32]
    stamps: NDArray[np.float32] | None
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class HistoryRow:
    """How well a network did after an epoch (trees: a boosting round); epochs count from 1.

    Losses are cross-entropies in nats a source, without the penalty on weights. Those on the
    training sample are means over an epoch in which the weights moved.
    """

    epoch: int
    loss: float
    val_loss: float
    accuracy: float
    val_accuracy: float
