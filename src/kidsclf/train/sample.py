"""Records that pass between the parts of training."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kidsclf.features.colours import photometry_features
from kidsclf.features.images import has_image, rows_in_block, stack_stamps
from kidsclf.models.description import InputDescription
from kidsclf.schema import LabelledRows

_LOOKED_AT = 128
"""Whole batches of so many stamps are looked at for those that are none."""


@dataclass(frozen=True)
class Sample:
    """Labelled sources as a network reads them: photometry in memory, stamps by rows.

    Attributes
    ----------
    labelled : LabelledRows
    description : InputDescription
        Of the network.
    rows : int64 array (n,)
        Those of the labelled sources that can be shown to it, ascending.
    """

    labelled: LabelledRows
    description: InputDescription
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, labelled: LabelledRows, description: InputDescription) -> "Sample":
        """Take the sources that have a stamp, if the network needs one, else all."""
        everything = cls(labelled, description, np.arange(len(labelled)))
        if not description.image_bands:
            return everything
        usable = [has_image(everything.stamps(some)) for some in everything.blocks(_LOOKED_AT)]
        return cls(labelled, description, np.flatnonzero(np.concatenate([[], *usable])))

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def photometry(self) -> NDArray[np.float32]:
        """Magnitudes and colours, (n, features); NaN where missing."""
        magnitudes = self.labelled.photometry.magnitudes_in(self.description.bands)
        return np.asarray(photometry_features(magnitudes[self.rows]))

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Classes, (n,)."""
        return self.labelled.codes[self.rows]

    def stamps(self, some: NDArray[np.int64] | slice) -> NDArray[np.float32] | None:
        """Read some stamps, float32 array (k, size, size, image bands), maggies; None of none."""
        if not self.description.image_bands:
            return None
        images = self.labelled.take(self.rows[some]).inputs.images
        return np.asarray(stack_stamps(images, self.description.image_bands))

    def blocks(self, batch_size: int) -> Iterator[slice]:
        """Give stretches of whole batches that cover the sample; without stamps it is one."""
        step, channels = max(1, len(self)), len(self.description.image_bands)
        if channels:
            step = rows_in_block(self.description.size_px, channels, batch_size)
        for start in range(0, len(self), step):
            yield slice(start, start + step)


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
