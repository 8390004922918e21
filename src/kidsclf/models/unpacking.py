"""Networks that are handed stamps as the store packs them, and unpack them as their first step.

Half the bytes travel to an accelerator, and the processor is spared the multiplication. What
follows sees the same bits: a code is a float32 without rounding, and its product with the step is
rounded once, as in ``store.stamp_encoding.decode_stamps``.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from kidsclf.models.feng import STAMPS
from kidsclf.models.network import Stamps
from kidsclf.schema import PackedStamps

STEPS = "stamp_steps"
"""Name of the input that holds the maggies of a step of each stamp and band."""


def named(stamps: Stamps | None) -> dict[str, NDArray[Any]]:
    """Name what is shown of stamps, by the inputs of a model."""
    if stamps is None:
        return {}
    if isinstance(stamps, PackedStamps):
        return {STAMPS: stamps.codes, STEPS: stamps.steps}
    return {STAMPS: stamps}


def unpacked(batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Unpack what ``named`` has named, for what takes stamps in maggies alone."""
    values = dict(batch)
    if STEPS in values:
        steps = values.pop(STEPS)[:, None, None, :]
        values[STAMPS] = values[STAMPS].astype(np.float32) * steps
    return values


class Unpack(keras.layers.Layer):  # type: ignore[misc]
    """Turn codes into maggies. Stamps with NaN are not shown to networks, so none is looked for."""

    def call(self, codes: Any, steps: Any) -> Any:
        """Multiply codes (n, size, size, bands) by steps (n, bands)."""
        return ops.cast(codes, "float32") * ops.expand_dims(steps, (1, 2))


def reading_codes(model: keras.Model) -> keras.Model:
    """Put the unpacking before a network; the two share their weights.

    Parameters
    ----------
    model : keras.Model
        With an input ``STAMPS``, float32 (n, size, size, bands).

    Returns
    -------
    keras.Model
        The same, but that ``STAMPS`` takes int16 codes and ``STEPS`` their steps.
    """
    inputs = {
        name: keras.Input(
            given.shape[1:], name=name, dtype="int16" if name == STAMPS else given.dtype
        )
        for name, given in model.input.items()
    }
    steps = keras.Input(inputs[STAMPS].shape[-1:], name=STEPS)
    stamps = Unpack(dtype="float32")(inputs[STAMPS], steps)
    return keras.Model({**inputs, STEPS: steps}, model({**inputs, STAMPS: stamps}))
