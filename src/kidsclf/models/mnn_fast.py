"""``mnn_fast``: the multimodal network's task for a 395th of its products.

A network of our own. Three thoughts make it small:

- Magnitudes and colours are one vector, so a dense layer sees them together; the MNN takes each
  number by itself through 173,056 weights.
- A source is centred in its stamp, and its class does not hang on which way it points. So the stamp
  is laid over its seven mirror images, and one quadrant holds what is left: the mean of the eight,
  which has less noise, and their mean deviation from it, which keeps what is not symmetric
  (elongation, neighbours).
- What tells a star from a galaxy is how its light falls off from a known centre, so pixels keep
  their places and go into a dense layer; no convolution looks for it.

Layers for nine bands, one 41 x 41 stamp and three classes:

===========================  ===========  ==========  =============
layer                        output       parameters  multiply-adds
===========================  ===========  ==========  =============
magnitudes, colours          17                    0              0
standardise                  17               34 (f)              0
dense 128, 128 (n)           128              19,840         18,560
stamp                        41 x 41 x 1           0              0
asinh stretch                41 x 41 x 1       1 (f)              0
quadrant                     21 x 21 x 2           0              0
dense 256, 64 (n)            64              243,776        242,176
concatenate                  192                   0              0
dense 128, 64                64               32,960         32,768
dense 3, softmax             3                   195            192
===========================  ===========  ==========  =============

(f) measured on the training sample and fixed; (n) batch normalisation before each ReLU. In sum
296,806 parameters and 293,696 multiply-adds. ``docs/networks.md`` has what else was tried, and how
it compares.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kidsclf.models.description import InputDescription
from kidsclf.models.feng import MOMENTUM, PHOTOMETRY, PROBABILITIES, STAMPS, STANDARDISE, STRETCH
from kidsclf.models.layers import AsinhStretch, Quadrant, Standardise

PHOTOMETRY_WIDTHS = (128, 128)
IMAGE_WIDTHS = (256, 64)
HEAD_WIDTHS = (128, 64)


def build_mnn_fast(description: InputDescription, l2: float) -> keras.Model:
    """Build the small multimodal network.

    Parameters
    ----------
    description : InputDescription
        At least one band, one image band and two classes.
    l2 : float
        Factor of the penalty on kernels.

    Returns
    -------
    keras.Model
        Inputs ``photometry`` (n, 2 bands - 1) in magnitudes and ``stamps`` (n, size, size,
        image bands) in maggies; output (n, classes).
    """
    size, channels = description.size_px, len(description.image_bands)
    photometry = keras.Input((description.photometry_features,), name=PHOTOMETRY)
    stamps = keras.Input((size, size, channels), name=STAMPS)
    numbers = Standardise(name=STANDARDISE)(photometry)
    pixels = Quadrant(name="quadrant")(AsinhStretch(name=STRETCH)(stamps))
    pixels = layers.Flatten(name="pixels")(pixels)
    vector = layers.Concatenate(name="concatenate")(
        [
            _dense_chain(numbers, PHOTOMETRY_WIDTHS, "photometry", l2, normalise=True),
            _dense_chain(pixels, IMAGE_WIDTHS, "image", l2, normalise=True),
        ]
    )
    vector = _dense_chain(vector, HEAD_WIDTHS, "head", l2, normalise=False)
    probabilities = layers.Dense(
        len(description.classes),
        activation="softmax",
        kernel_regularizer=keras.regularizers.L2(l2),
        name=PROBABILITIES,
    )(vector)
    return keras.Model({PHOTOMETRY: photometry, STAMPS: stamps}, probabilities, name="mnn_fast")


def _dense_chain(
    values: Any, widths: Sequence[int], name: str, l2: float, *, normalise: bool
) -> Any:
    for place, width in enumerate(widths, start=1):
        penalty = keras.regularizers.L2(l2)
        values = layers.Dense(width, kernel_regularizer=penalty, name=f"{name}_{place}")(values)
        if normalise:
            values = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_{place}_norm")(
                values
            )
        values = layers.Activation("relu", name=f"{name}_{place}_relu")(values)
    return values
