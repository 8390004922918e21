"""The networks of Feng et al., §3.1, §5.1 and Figure 2: the MNN, its halves, and its like.

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

The other networks of Table 1 leave out layers or repeat them (§5.1); their sizes are not published:

=============  ==========================================  ===========  ==============
Table 1        against the MNN                             parameters   multiply-adds
=============  ==========================================  ===========  ==============
Img1+Pho9      (the MNN)                                   17,670,342   116,066,848
Img1+Pho4      7 magnitudes and colours                    15,048,882   111,724,448
Img4+Pho4      7, and an image branch for each of 4 bands  53,651,733   437,262,080
CNN (Img4)     4 image branches, no photometric one        51,643,655   434,222,400
MLP (Pho9)     no image branch                              4,802,725     7,554,304
=============  ==========================================  ===========  ==============

Image branches share their form and no weights, and their vectors of 512 are concatenated after that
of photometry.

Deviations from the paper, or choices where it is silent:

- photometry is standardised, clipped at 8 widths, and a missing magnitude becomes the mean;
- stamps are stretched by asinh(pixel / pixel noise), with a noise for each band;
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

from kidsclf.models.description import InputDescription
from kidsclf.models.layers import AsinhStretch, Channel, Standardise

PHOTOMETRY_WIDTHS = (64, 128, 256, 512)
STAGE_WIDTHS = (32, 64, 128, 256, 512)
HEAD_WIDTHS = (512, 256, 128, 64)
MOMENTUM = 0.9

PHOTOMETRY = "photometry"
STAMPS = "stamps"
STANDARDISE = "standardise"
STRETCH = "stretch"
SEQUENCE = "sequence"
IMAGE_VECTOR = "image_vector"
PROBABILITIES = "probabilities"


def build_mnn(description: InputDescription, l2: float) -> keras.Model:
    """Build the multimodal network: photometry and stamps to probabilities.

    Parameters
    ----------
    description : InputDescription
        At least one band, one image band and two classes. Each image band has a branch.
    l2 : float
        Factor of the penalty on kernels (Feng §3.3: 0.001).

    Returns
    -------
    keras.Model
        Inputs ``photometry`` (n, 2 bands - 1) in magnitudes and ``stamps`` (n, size, size,
        image bands) in maggies; output (n, classes).
    """
    photometry, stamps = _photometry_input(description), _stamps_input(description)
    vector = layers.Concatenate(name="concatenate")(
        [_photometry_branch(photometry, l2), _image_branches(stamps, l2)]
    )
    probabilities = _head(vector, len(description.classes), l2)
    return keras.Model({PHOTOMETRY: photometry, STAMPS: stamps}, probabilities, name="mnn")


def build_cnn(description: InputDescription, l2: float) -> keras.Model:
    """Build the MNN without its photometric branch (Feng §5.1, item 2; Table 1, "CNN").

    Parameters and output as of ``build_mnn``, less the photometry.
    """
    stamps = _stamps_input(description)
    probabilities = _head(_image_branches(stamps, l2), len(description.classes), l2)
    return keras.Model({STAMPS: stamps}, probabilities, name="cnn")


def build_mlp(description: InputDescription, l2: float) -> keras.Model:
    """Build the MNN without its image branch (Feng, Appendix A; Table 1, "MLP").

    Parameters and output as of ``build_mnn``, less the stamps.
    """
    photometry = _photometry_input(description)
    probabilities = _head(_photometry_branch(photometry, l2), len(description.classes), l2)
    return keras.Model({PHOTOMETRY: photometry}, probabilities, name="mlp")


def _photometry_input(description: InputDescription) -> Any:
    return keras.Input((description.photometry_features,), name=PHOTOMETRY)


def _stamps_input(description: InputDescription) -> Any:
    size, channels = description.size_px, len(description.image_bands)
    return keras.Input((size, size, channels), name=STAMPS)


def _photometry_branch(photometry: Any, l2: float) -> Any:
    values = Standardise(name=STANDARDISE)(photometry)
    # One number at a time goes through the same four layers: only so is the vector 17 x 512 long.
    sequence = layers.Reshape((-1, 1), name=SEQUENCE)(values)
    sequence = _dense_chain(sequence, PHOTOMETRY_WIDTHS, "photometry", l2)
    return layers.Flatten(name="photometry_vector")(sequence)


def _image_branches(stamps: Any, l2: float) -> Any:
    """Give the stamp of each band a branch of its own, and join what they say."""
    stretched = AsinhStretch(name=STRETCH)(stamps)
    bands = stamps.shape[-1]
    if bands == 1:
        return layers.Flatten(name=IMAGE_VECTOR)(_image_branch(stretched, "", l2))
    vectors = []
    for band in range(bands):
        prefix = f"image{band + 1}_"
        maps = _image_branch(Channel(band, name=f"{prefix}channel")(stretched), prefix, l2)
        vectors.append(layers.Flatten(name=f"{prefix}vector")(maps))
    return layers.Concatenate(name=IMAGE_VECTOR)(vectors)


def _image_branch(maps: Any, prefix: str, l2: float) -> Any:
    maps = _convolution(maps, f"{prefix}stem", l2, width=STAGE_WIDTHS[0], kernel=5)
    maps = layers.Activation("relu", name=f"{prefix}stem_relu")(maps)
    maps = layers.AveragePooling2D(2, name=f"{prefix}stem_pool")(maps)
    for stage, width in enumerate(STAGE_WIDTHS, start=1):
        name = f"{prefix}stage{stage}"
        stride = 1 if stage == 1 else 2
        maps = _basic_block(maps, f"{name}_a", l2, width=width, stride=stride, project=True)
        maps = _basic_block(maps, f"{name}_b", l2, width=width, stride=1, project=False)
    return layers.AveragePooling2D(2, padding="same", name=f"{prefix}image_pool")(maps)


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
