"""Layers of our own. They are plain arithmetic, registered by name so that files load safely."""

from typing import Any

import keras
from keras import ops

PACKAGE = "kidsclf"
"""Prefix of registered names in model files, e.g. ``kidsclf>Standardise``."""


@keras.saving.register_keras_serializable(package=PACKAGE)
class Standardise(keras.layers.Layer):  # type: ignore[misc]
    """Bring photometry to zero mean and unit width; a missing number becomes the mean, 0.

    Parameters
    ----------
    limit : float
        Values are clipped to within this many widths. Forced photometry of an undetected source
        can be ten magnitudes off (SDSS u and z reach 30), and would rule every later layer.
    """

    def __init__(self, limit: float = 8.0, **layer_settings: Any) -> None:
        super().__init__(**layer_settings)
        self.limit = limit

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the centre and width, which training measures and the optimiser leaves alone."""
        shape = (input_shape[-1],)
        self.centre = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="centre"
        )
        self.width = self.add_weight(shape=shape, initializer="ones", trainable=False, name="width")

    def call(self, values: Any) -> Any:
        """Standardise values (n, features); NaN becomes 0."""
        scaled = ops.where(ops.isnan(values), 0.0, (values - self.centre) / self.width)
        return ops.clip(scaled, -self.limit, self.limit)

    def get_config(self) -> dict[str, Any]:
        """Hand the limit to the model file."""
        return {**super().get_config(), "limit": self.limit}


@keras.saving.register_keras_serializable(package=PACKAGE)
class AsinhStretch(keras.layers.Layer):  # type: ignore[misc]
    """Compress stamps by asinh(pixel / softening): linear in the noise, logarithmic above.

    The softening is the pixel noise (Lupton, Gunn & Szalay 1999, AJ 118, 1406, who soften
    magnitudes so). Flux is kept: two sources that differ in brightness stay different.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the softening of each channel in maggies, which training measures."""
        self.softening = self.add_weight(
            shape=(input_shape[-1],), initializer="ones", trainable=False, name="softening"
        )

    def call(self, stamps: Any) -> Any:
        """Stretch stamps (n, size, size, channels) given in maggies."""
        return ops.arcsinh(stamps / self.softening)


@keras.saving.register_keras_serializable(package=PACKAGE)
class Channel(keras.layers.Layer):  # type: ignore[misc]
    """Take one channel of several, such as the stamp of one band.

    Parameters
    ----------
    index : int
        Counted from 0.
    """

    def __init__(self, index: int, **layer_settings: Any) -> None:
        super().__init__(**layer_settings)
        self.index = index

    def call(self, maps: Any) -> Any:
        """Cut maps (n, height, width, channels) to (n, height, width, 1)."""
        return maps[..., self.index : self.index + 1]

    def get_config(self) -> dict[str, Any]:
        """Hand the index to the model file."""
        return {**super().get_config(), "index": self.index}


@keras.saving.register_keras_serializable(package=PACKAGE)
class Quadrant(keras.layers.Layer):  # type: ignore[misc]
    """Lay a map over its mirror images, and keep one quadrant of what they have in common.

    The eight images are those of the symmetries of the square: the answer is the same for a stamp
    that is flipped or turned by quarters.
    """

    def call(self, maps: Any) -> Any:
        """Turn maps (n, side, side, channels) into (n, half, half, 2 channels).

        ``half`` is (side + 1) // 2; the first channels are the means of the eight images, the
        others their mean absolute deviations from it.
        """
        half = (maps.shape[1] + 1) // 2
        upper, lower = maps[:, :half], ops.flip(maps[:, -half:], 1)
        images = [upper[:, :, :half], lower[:, :, :half]]
        images += [ops.flip(each[:, :, -half:], 2) for each in (upper, lower)]
        images += [ops.swapaxes(image, 1, 2) for image in images]
        mean = sum(images) / len(images)
        deviation = sum(ops.abs(image - mean) for image in images) / len(images)
        return ops.concatenate([mean, deviation], axis=-1)
