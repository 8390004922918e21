"""A trained Keras model made ready to answer: the same function in fewer and cheaper products.

- A batch normalisation after a convolution or a dense layer is a factor and a summand of each
  channel, and goes into the kernel and bias before it.
- A convolution whose kernel is as wide as its map mostly meets padding. It becomes one product with
  a matrix that leaves the padding out: of the 3 x 3 kernels over maps of 2 x 2, 16 of 36 blocks.
- Products are computed in the precision asked for, but for those of the last layer and of layers
  that read the source's own numbers. Sums of branches stay in float32, so that what one rounds off
  is not rounded again by each block after it.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from kidsclf.models.backend import Precision
from kidsclf.models.layers import Standardise

FEW_CHANNELS = 8
"""A layer of no more inputs reads magnitudes or pixels themselves, and costs little."""


class _Kernel(NamedTuple):
    values: NDArray[np.float64]
    bias: NDArray[np.float64]


def fold(model: keras.Model, precision: Precision) -> keras.Model:
    """Make a model that says the same for less.

    Parameters
    ----------
    model : keras.Model
        Functional; of dense and convolution layers, activations, pools and sums.
    precision : {"float32", "bfloat16"}
        Of products; sums over them are kept in float32 by the hardware.

    Returns
    -------
    keras.Model
        With the same inputs and outputs, and other weights.
    """
    norms, rounded = _norms_after_products(model), layers_to_round(model)
    gone = {norm.name for norm in norms.values()}
    kernels: dict[str, list[NDArray[Any]]] = {}
    maps: dict[str, tuple[int, ...]] = {}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in gone:
            return layers.Identity(
                name=layer.name, dtype=precision if layer.name in rounded else "float32"
            )
        if isinstance(layer, layers.Conv2D | layers.Dense):
            kernel = _folded_kernel(layer, norms.get(layer.name))
            if isinstance(layer, layers.Conv2D) and _mostly_meets_padding(layer):
                matrix = _as_matrix(kernel, layer)
                kernels[layer.name] = list(matrix)
                maps[layer.name] = layer.output.shape[1:]
                return layers.Dense(len(matrix.bias), name=layer.name, dtype=precision)
            kernels[layer.name] = list(kernel)
        elif layer.weights:
            kernels[layer.name] = layer.get_weights()
        settings = {
            key: None if key.endswith("regularizer") else value
            for key, value in layer.get_config().items()
        }
        if not isinstance(layer, layers.InputLayer):
            settings["dtype"] = precision if layer.name in rounded else "float32"
        return type(layer).from_config(settings)

    def call(layer: keras.layers.Layer, values: Any, **_: Any) -> Any:
        if layer.name not in maps:
            return layer(values)  # without the mask that Keras hands on; ours have none
        flat = layers.Flatten(dtype=precision)(values)
        return layers.Reshape(maps[layer.name], dtype=precision)(layer(flat))

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for name, weights in kernels.items():
        folded.get_layer(name).set_weights(weights)
    return folded


def _norms_after_products(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Give the normalisation that takes what a layer of products gives, by that layer's name."""
    norms = {
        id(layer.input): layer
        for layer in model.layers
        if isinstance(layer, layers.BatchNormalization)
    }
    return {
        layer.name: norms[id(layer.output)]
        for layer in model.layers
        if isinstance(layer, layers.Conv2D | layers.Dense) and id(layer.output) in norms
    }


def layers_to_round(model: keras.Model) -> set[str]:
    """Name the layers of many products, and those that follow each of them alone."""
    rounded: set[str] = set()
    made_by = {id(layer.output): layer for layer in model.layers}
    for layer in model.layers[:-1]:
        if isinstance(layer, layers.Dense | layers.Conv2D):
            reads_magnitudes = isinstance(made_by[id(layer.input)], Standardise)
            is_rounded = layer.kernel.shape[-2] > FEW_CHANNELS and not reads_magnitudes
        elif isinstance(layer, layers.Activation | layers.BatchNormalization):
            is_rounded = made_by[id(layer.input)].name in rounded
        else:
            is_rounded = False
        if is_rounded:
            rounded.add(layer.name)
    return rounded


def _folded_kernel(layer: keras.layers.Layer, norm: keras.layers.Layer | None) -> _Kernel:
    kernel, bias = (weight.astype(np.float64) for weight in layer.get_weights())
    if norm is None:
        return _Kernel(kernel, bias)
    gamma, beta, mean, variance = (weight.astype(np.float64) for weight in norm.get_weights())
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return _Kernel(kernel * factor, (bias - mean) * factor + beta)


def _mostly_meets_padding(layer: keras.layers.Layer) -> bool:
    sides = layer.input.shape[1:3]
    return bool(
        layer.padding == "same" and sides[0] == sides[1] and sides[0] <= min(layer.kernel_size)
    )


def _as_matrix(kernel: _Kernel, layer: keras.layers.Layer) -> _Kernel:
    """Write a padded convolution of a small map as a matrix from all its pixels to all outputs."""
    side, side_out = layer.input.shape[1], layer.output.shape[1]
    width, _, narrow, wide = kernel.values.shape
    stride = layer.strides[0]
    padding = max((side_out - 1) * stride + width - side, 0) // 2
    matrix = np.zeros((side, side, narrow, side_out, side_out, wide))
    for row_out, column_out, row, column in np.ndindex(side_out, side_out, width, width):
        y, x = row_out * stride - padding + row, column_out * stride - padding + column
        if 0 <= y < side and 0 <= x < side:
            matrix[y, x, :, row_out, column_out] = kernel.values[row, column]
    return _Kernel(
        matrix.reshape(side * side * narrow, -1), np.tile(kernel.bias, side_out * side_out)
    )
