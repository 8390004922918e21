"""The networks of Feng et al., §3.1 and Figure 2: the MNN, and its photometric half.

Feng et al., "Morpho-Photometric Classification of KiDS DR5 Sources Based on Neural Networks: A
Comprehensive Star-Quasar-Galaxy Catalog".

Layers of the MNN for nine bands, one 41 x 41 stamp and three classes (output shape, parameters):

=====================  ==================  ==========  =============================================
layer                  output              parameters  from
=====================  ==================  ==========  =============================================
magnitudes, colours    17                           0  paper
standardise            17                      34 (f)  ours
as a sequence          17 x 1                       0  paper: 8704 = 17 x 512
dense 64 128 256 512   17 x 512               173,056  paper
flatten                8704                         0  paper
stamp                  41 x 41 x 1                  0  paper
asinh stretch          41 x 41 x 1              1 (f)  ours
conv 5 x 5, 32         41 x 41 x 32               832  paper
average pool 2         20 x 20 x 32                 0  paper
stage 32               20 x 20 x 32            46,880  paper: two blocks of two 3 x 3 convolutions
stage 64               10 x 10 x 64           149,056  same, stride 2
stage 128              5 x 5 x 128            593,024  same, stride 2
stage 256              3 x 3 x 256          2,365,696  same, stride 2
stage 512              2 x 2 x 512          9,449,984  same, stride 2
average pool 2         1 x 1 x 512                  0  paper
flatten                512                          0  paper
concatenate            9216                         0  paper
dense 512 256 128 64   64                   4,891,584  paper
dense 3, softmax       3                          195  paper
=====================  ==================  ==========  =============================================

(f) measured on the training sample and fixed. Total 17,670,342 against 18,257,155 published: 3.2 %
fewer. ``docs/networks.md`` tells which readings of the paper were tried.

Deviations from the paper, or choices where it is silent:

- photometry is standardised, clipped at 8 widths, and a missing magnitude becomes the mean;
- stamps are stretched by asinh(pixel / pixel noise);
- batch normalisation follows each convolution of a block (He et al. 2015, arXiv:1512.03385,
  Figure 2 and §3.4), with momentum 0.9 so that samples of a few thousand settle within an epoch;
- the first block of each stage has a 3 x 3 convolution on its shortcut: of the usual forms that is
  the one whose parameter count is nearest to the published one;
- an L2 penalty on all kernels, none on biases.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kidsclf.errors import ConfigError
from kidsclf.models.description import InputDescription
from kidsclf.models.layers import AsinhStretch, Standardise

PHOTOMETRY_WIDTHS = (64, 128, 256, 512)
STAGE_WIDTHS = (32, 64, 128, 256, 512)
HEAD_WIDTHS = (512, 256, 128, 64)
MOMENTUM = 0.9

PHOTOMETRY = "photometry"
STAMPS = "stamps"
STANDARDISE = "standardise"
STRETCH = "stretch"
IMAGE_VECTOR = "image_vector"
PROBABILITIES = "probabilities"


def build_mnn(description: InputDescription, l2: float) -> keras.Model:
    """Build the multimodal network: photometry and stamps to probabilities.

    Parameters
    ----------
    description : InputDescription
        At least one band, one image band and two classes.
    l2 : float
        Factor of the penalty on kernels (Feng §3.3: 0.001).

    Returns
    -------
    keras.Model
        Inputs ``photometry`` (n, 2 bands - 1) in magnitudes and ``stamps`` (n, size, size,
        image bands) in maggies; output (n, classes).

    Raises
    ------
    ConfigError
        If the data have no stamps.
    """
    if not description.image_bands:
        raise ConfigError(
            "the network 'mnn' was asked for, but the data have no image band; name one in "
            "cutouts.bands or take a network of photometry alone, such as 'mlp'"
        )
    photometry = _photometry_input(description)
    size, channels = description.size_px, len(description.image_bands)
    stamps = keras.Input((size, size, channels), name=STAMPS)
    vector = layers.Concatenate(name="concatenate")(
        [_photometry_branch(photometry, l2), _image_branch(stamps, l2)]
    )
    probabilities = _head(vector, len(description.classes), l2)
    return keras.Model({PHOTOMETRY: photometry, STAMPS: stamps}, probabilities, name="mnn")


def build_mlp(description: InputDescription, l2: float) -> keras.Model:
    """Build the photometric network: the MNN without its image branch (Feng T1, "Pho9").

    Parameters and output as of ``build_mnn``, less the stamps.
    """
    photometry = _photometry_input(description)
    probabilities = _head(_photometry_branch(photometry, l2), len(description.classes), l2)
    return keras.Model({PHOTOMETRY: photometry}, probabilities, name="mlp")


def _photometry_input(description: InputDescription) -> Any:
    return keras.Input((description.photometry_features,), name=PHOTOMETRY)


def _photometry_branch(photometry: Any, l2: float) -> Any:
    values = Standardise(name=STANDARDISE)(photometry)
    # One number at a time goes through the same four layers: only so is the vector 17 x 512 long.
    sequence = layers.Reshape((-1, 1), name="sequence")(values)
    sequence = _dense_chain(sequence, PHOTOMETRY_WIDTHS, "photometry", l2)
    return layers.Flatten(name="photometry_vector")(sequence)


def _image_branch(stamps: Any, l2: float) -> Any:
    maps = AsinhStretch(name=STRETCH)(stamps)
    maps = _convolution(maps, "stem", l2, width=STAGE_WIDTHS[0], kernel=5)
    maps = layers.Activation("relu", name="stem_relu")(maps)
    maps = layers.AveragePooling2D(2, name="stem_pool")(maps)
    for stage, width in enumerate(STAGE_WIDTHS, start=1):
        name = f"stage{stage}"
        stride = 1 if stage == 1 else 2
        maps = _basic_block(maps, f"{name}_a", l2, width=width, stride=stride, project=True)
        maps = _basic_block(maps, f"{name}_b", l2, width=width, stride=1, project=False)
    maps = layers.AveragePooling2D(2, padding="same", name="image_pool")(maps)
    return layers.Flatten(name=IMAGE_VECTOR)(maps)


def _basic_block(maps: Any, name: str, l2: float, *, width: int, stride: int, project: bool) -> Any:
    """Add two convolutions to what they were given (He et al. 2015, Figure 5, left)."""
    shortcut = maps
    if project:
        shortcut = _convolution(maps, f"{name}_shortcut", l2, width=width, stride=stride)
        shortcut = _normalise(shortcut, f"{name}_shortcut")
    maps = _convolution(maps, f"{name}_1", l2, width=width, stride=stride)
    maps = layers.Activation("relu", name=f"{name}_1_relu")(_normalise(maps, f"{name}_1"))
    maps = _normalise(_convolution(maps, f"{name}_2", l2, width=width), f"{name}_2")
    maps = layers.Add(name=f"{name}_add")([maps, shortcut])
    return layers.Activation("relu", name=f"{name}_relu")(maps)


def _convolution(
    maps: Any, name: str, l2: float, *, width: int, kernel: int = 3, stride: int = 1
) -> Any:
    return layers.Conv2D(
        width,
        kernel,
        strides=stride,
        padding="same",
        kernel_regularizer=keras.regularizers.L2(l2),
        name=f"{name}_conv",
    )(maps)


def _normalise(maps: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(maps)


def _head(vector: Any, classes: int, l2: float) -> Any:
    vector = _dense_chain(vector, HEAD_WIDTHS, "head", l2)
    penalty = keras.regularizers.L2(l2)
    return layers.Dense(
        classes, activation="softmax", kernel_regularizer=penalty, name=PROBABILITIES
    )(vector)


def _dense_chain(values: Any, widths: Sequence[int], name: str, l2: float) -> Any:
    for width in widths:
        values = layers.Dense(
            width,
            activation="relu",
            kernel_regularizer=keras.regularizers.L2(l2),
            name=f"{name}_{width}",
        )(values)
    return values
