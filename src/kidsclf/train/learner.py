"""The Keras side of a network that learns: its first weights, what it measures, how it is shown.

The network that is judged and kept is always one of float32. With bfloat16 products another one of
the same layers and float32 weights learns in its place.
"""

import importlib

import keras
import numpy as np

from kidsclf.config import NeuralSettings
from kidsclf.features.images import NOISE_STAMPS, pixel_noise
from kidsclf.models.description import InputDescription
from kidsclf.models.feng import PHOTOMETRY, STANDARDISE, STRETCH
from kidsclf.models.fold import layers_to_round
from kidsclf.models.table import NetworkEntry
from kidsclf.train.sample import Sample


def build_model(
    entry: NetworkEntry, description: InputDescription, settings: NeuralSettings, seed: int
) -> keras.Model:
    """Build an untrained network; kernels are drawn from seeds of the generator of ``seed``.

    Keras seeds its initialisers from Python's global random state, which other threads of a
    worker draw from too.
    """
    module, _, function = entry.builder.partition(":")
    model = getattr(importlib.import_module(module), function)(description, settings.l2)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "kernel_initializer"):
            initializer = layer.kernel_initializer.get_config()
            initializer["seed"] = int(rng.integers(2**31))
            draw = type(layer.kernel_initializer).from_config(initializer)
            layer.kernel.assign(draw(layer.kernel.shape, layer.kernel.dtype))
    return model


def measure_inputs(model: keras.Model, train: Sample) -> None:
    """Set what the first layers know of the data: centre, width, and noise of a pixel.

    Median and half the central 68 % rather than mean and deviation: undetected sources with
    magnitudes of 30 would move those.
    """
    centre, width = [], []
    for column in train.photometry.T:
        measured = column[np.isfinite(column)]
        low, middle, high = np.quantile(measured, (0.16, 0.5, 0.84)) if len(measured) else (0, 0, 0)
        centre.append(middle)
        width.append((high - low) / 2 or 1.0)
    if PHOTOMETRY in model.input:
        model.get_layer(STANDARDISE).set_weights([np.array(centre), np.array(width)])
    first = train.stamps(slice(NOISE_STAMPS))
    if first is not None:
        model.get_layer(STRETCH).set_weights([pixel_noise(first)])


def make_learner(model: keras.Model, settings: NeuralSettings) -> keras.Model:
    """Compile a second model, so that the first carries no optimiser.

    Returns
    -------
    keras.Model
        Of the same layers; with bfloat16 of layers of its own, which begin with the same weights.
    """
    if settings.precision == "float32":
        learner = keras.Model(model.input, model.output)
    else:
        learner = _rounded(model)
    learner.compile(
        optimizer=keras.optimizers.Adam(
            settings.learning_rate,
            use_ema=settings.weight_average > 0,
            ema_momentum=settings.weight_average or 0.99,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy")],
        # XLA on CPUs: 60 sources/s against 1,650 at inference of the MNN. JAX has nothing else.
        jit_compile=keras.config.backend() == "jax",
    )
    return learner


def _rounded(model: keras.Model) -> keras.Model:
    """Copy a model; the layers that ``infer`` would round multiply in bfloat16."""
    rounded = layers_to_round(model)

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if layer.name in rounded:
            settings["dtype"] = keras.DTypePolicy("mixed_bfloat16")
        return type(layer).from_config(settings)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
