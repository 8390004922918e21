"""Trains a Keras network as Feng et al. do (§3.3), with the same bits each time.

The loop over epochs is ours: rows are shuffled by a ``Generator`` of the seed, every batch is
full (the few rows left over sit out, others each epoch), and validation runs in the batches that
inference uses. Keras does the rest: Adam, categorical cross-entropy, the penalty on kernels.
"""

import importlib

import keras
import numpy as np

from kidsclf.config import NeuralSettings
from kidsclf.errors import PlanError
from kidsclf.features.images import pixel_noise
from kidsclf.models.description import InputDescription
from kidsclf.models.feng import PHOTOMETRY, STANDARDISE, STRETCH
from kidsclf.models.network import Network
from kidsclf.models.neural import NeuralNetwork, inputs_of
from kidsclf.models.table import NetworkEntry
from kidsclf.train.sample import HistoryRow, Sample

VALIDATION_BATCH = 512


def fit_neural(
    entry: NetworkEntry,
    description: InputDescription,
    samples: tuple[Sample, Sample],
    settings: NeuralSettings,
    seed: int,
) -> tuple[Network, tuple[HistoryRow, ...], HistoryRow]:
    """Train for the epochs asked for and keep the one of lowest validation loss.

    Parameters
    ----------
    entry : NetworkEntry
    description : InputDescription
    samples : pair of Sample
        Training and validation.
    settings : NeuralSettings
    seed : int

    Returns
    -------
    network, history, best
        The network with the weights of ``best``, one of the rows of ``history``.
    """
    train, validation = samples
    keras.utils.set_random_seed(seed % 2**32)
    network = NeuralNetwork(entry, description, _build(entry, description, settings.l2))
    _draw_weights(network.model, seed)
    _measure_inputs(network.model, train)
    learner = _learner(network.model, settings)
    rng = np.random.default_rng(seed)
    history: list[HistoryRow] = []
    best, best_weights = None, network.model.get_weights()
    for epoch in range(1, settings.epochs + 1):
        loss, accuracy = _run_epoch(learner, train, settings.batch_size, rng)
        last_weights = network.model.get_weights()
        if settings.weight_average:
            learner.optimizer.finalize_variable_values(learner.trainable_variables)
        val_loss, val_accuracy = _judge(network, validation)
        row = HistoryRow(epoch, loss, val_loss, accuracy, val_accuracy)
        _check_progress(row, settings)
        history.append(row)
        if best is None or row.val_loss < best.val_loss:
            best, best_weights = row, network.model.get_weights()
        if settings.weight_average:
            network.model.set_weights(last_weights)
    network.model.set_weights(best_weights)
    assert best is not None  # noqa: S101  (epochs is positive)
    return network, tuple(history), best


def _build(entry: NetworkEntry, description: InputDescription, l2: float) -> keras.Model:
    module, _, function = entry.builder.partition(":")
    return getattr(importlib.import_module(module), function)(description, l2)


def _draw_weights(model: keras.Model, seed: int) -> None:
    """Draw the kernels anew from a seed each.

    Keras seeds its initialisers from Python's global random state, which other threads of a
    worker draw from too.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "kernel_initializer"):
            settings = layer.kernel_initializer.get_config()
            settings["seed"] = int(rng.integers(2**31))
            draw = type(layer.kernel_initializer).from_config(settings)
            layer.kernel.assign(draw(layer.kernel.shape, layer.kernel.dtype))


def _measure_inputs(model: keras.Model, train: Sample) -> None:
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
    if train.stamps is not None:
        model.get_layer(STRETCH).set_weights([pixel_noise(train.stamps)])


def _learner(model: keras.Model, settings: NeuralSettings) -> keras.Model:
    """Compile a second model of the same layers, so that the first carries no optimiser."""
    learner = keras.Model(model.input, model.output)
    learner.compile(
        optimizer=keras.optimizers.Adam(
            settings.learning_rate,
            use_ema=settings.weight_average > 0,
            ema_momentum=settings.weight_average or 0.99,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy")],
        jit_compile=False,  # XLA on CPUs: 60 sources/s against 1,650 at inference of the MNN
    )
    return learner


def _run_epoch(
    learner: keras.Model, train: Sample, batch_size: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Show each source once, in a new order; return mean cross-entropy and accuracy."""
    order = rng.permutation(len(train))
    size = min(batch_size, len(train))
    losses, accuracies = [], []
    for start in range(0, len(train) - size + 1, size):
        rows = order[start : start + size]
        stamps = None if train.stamps is None else train.stamps[rows]
        inputs = inputs_of(learner, train.photometry[rows], stamps)
        measures = learner.train_on_batch(inputs, train.codes[rows], return_dict=True)
        losses.append(measures["cross_entropy"])
        accuracies.append(measures["accuracy"])
    return float(np.mean(losses)), float(np.mean(accuracies))


def _judge(network: Network, validation: Sample) -> tuple[float, float]:
    """Compute cross-entropy (nats a source) and accuracy on the validation sample."""
    answer = network.predict(validation.photometry, validation.stamps, VALIDATION_BATCH)
    probability = answer[np.arange(len(validation)), validation.codes].astype(np.float64)
    loss = -np.log(np.maximum(probability, np.finfo(np.float32).tiny)).mean()
    return float(loss), float((answer.argmax(axis=1) == validation.codes).mean())


def _check_progress(row: HistoryRow, settings: NeuralSettings) -> None:
    if not np.isfinite([row.loss, row.val_loss]).all():
        raise PlanError(
            f"training with learning_rate = {settings.learning_rate} was asked for, but the loss "
            f"is {row.loss} after epoch {row.epoch}; lower train.neural.learning_rate"
        )
