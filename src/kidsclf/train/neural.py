"""Trains a Keras network as Feng et al. do (§3.3), with the same bits each time.

The loop over epochs is ours: rows are shuffled by a ``Generator`` of the seed, every batch is
full (the few rows left over sit out, others each epoch), and validation runs in the batches that
inference uses. Keras does the rest: Adam, categorical cross-entropy, the penalty on kernels. After
each epoch everything that the next one depends on goes into a checkpoint.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kidsclf.config import NeuralSettings
from kidsclf.errors import PlanError
from kidsclf.features.images import turn_stamps
from kidsclf.models.description import InputDescription
from kidsclf.models.network import Network
from kidsclf.models.neural import NeuralNetwork, inputs_of
from kidsclf.models.table import NetworkEntry
from kidsclf.train.checkpoint import (
    Arrays,
    Checkpoints,
    numbered,
    progress_arrays,
    read_history,
    read_numbered,
    restore_generator,
)
from kidsclf.train.learner import build_model, make_learner, measure_inputs
from kidsclf.train.sample import HistoryRow, Sample

VALIDATION_BATCH = 512
_WAYS = 8
"""In which a square can be turned and mirrored."""


def fit_neural(
    entry: NetworkEntry,
    description: InputDescription,
    samples: tuple[Sample, Sample],
    settings: NeuralSettings,
    seed: int,
    checkpoints: Checkpoints | None = None,
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
    checkpoints : Checkpoints, optional
        Kept after each epoch. What the same training has left there is gone on from, to the same
        bits as if it had not been cut short.

    Returns
    -------
    network, history, best
        The network with the weights of ``best``, one of the rows of ``history``.
    """
    train, validation = samples
    keras.utils.set_random_seed(seed % 2**32)
    network = NeuralNetwork(entry, description, build_model(entry, description, settings, seed))
    measure_inputs(network.model, train)
    course = _Course(network, settings, seed)
    if checkpoints is not None:
        with checkpoints.opened() as arrays:
            if arrays is not None:
                course.restore(arrays)
    while len(course.history) < settings.epochs:
        course.run_epoch(train, validation)
        if checkpoints is not None:
            checkpoints.save(course.arrays())
    network.model.set_weights(course.best_weights)
    return network, tuple(course.history), course.best


class _Course:
    """A network on its way through the epochs: all that one of them leaves to the next."""

    def __init__(self, network: NeuralNetwork, settings: NeuralSettings, seed: int) -> None:
        self._network = network
        self._settings = settings
        self._learner = make_learner(network.model, settings)
        self._rng = np.random.default_rng(seed)
        self.history: list[HistoryRow] = []
        self.best_weights: list[NDArray[Any]] = []

    @property
    def best(self) -> HistoryRow:
        """The epoch of lowest validation loss, of equal ones the first."""
        return min(self.history, key=lambda row: row.val_loss)

    def run_epoch(self, train: Sample, validation: Sample) -> None:
        """Learn from each source once, judge, and keep the weights if they are the best so far."""
        loss, accuracy = self._learn(train)
        learnt = self._learner.get_weights()
        if self._settings.weight_average:
            self._learner.optimizer.finalize_variable_values(self._learner.trainable_variables)
        judged = self._learner.get_weights()
        self._network.model.set_weights(judged)
        val_loss, val_accuracy = _judge(self._network, validation)
        row = HistoryRow(len(self.history) + 1, loss, val_loss, accuracy, val_accuracy)
        _check_progress(row, self._settings)
        self.history.append(row)
        if self.best is row:
            self.best_weights = judged
        self._learner.set_weights(learnt)

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Give what a checkpoint holds."""
        yield from progress_arrays(self.history, self._rng)
        yield from numbered("variable", self._learner.variables)
        yield from numbered("optimiser", self._learner.optimizer.variables)
        yield from numbered("best", self.best_weights)

    def restore(self, arrays: Arrays) -> None:
        """Take up what ``arrays`` gave."""
        self.history = read_history(arrays)
        restore_generator(arrays, self._rng)
        optimiser = self._learner.optimizer
        optimiser.build(self._learner.trainable_variables)
        for name, variables in (
            ("variable", self._learner.variables),
            ("optimiser", optimiser.variables),
        ):
            for variable, value in zip(variables, read_numbered(name, arrays), strict=True):
                variable.assign(value)
        self.best_weights = list(read_numbered("best", arrays))

    def _learn(self, train: Sample) -> tuple[float, float]:
        """Show each source once, in a new order; return mean cross-entropy and accuracy."""
        order = self._rng.permutation(len(train))
        turned = self._settings.augment == "turns"
        ways = self._rng.integers(_WAYS, size=len(train)) if turned else None
        size = min(self._settings.batch_size, len(train))
        losses, accuracies = [], []
        for start in range(0, len(train) - size + 1, size):
            rows = order[start : start + size]
            stamps = train.stamps(rows)
            if stamps is not None and ways is not None:
                stamps = turn_stamps(stamps, ways[rows])
            inputs = inputs_of(self._learner, train.photometry[rows], stamps)
            measures = self._learner.train_on_batch(inputs, train.codes[rows], return_dict=True)
            losses.append(measures["cross_entropy"])
            accuracies.append(measures["accuracy"])
        return float(np.mean(losses)), float(np.mean(accuracies))


def _judge(network: Network, validation: Sample) -> tuple[float, float]:
    """Compute cross-entropy (nats a source) and accuracy on the validation sample."""
    answer = np.concatenate(
        [
            network.predict(validation.photometry[some], validation.stamps(some), VALIDATION_BATCH)
            for some in validation.blocks(VALIDATION_BATCH)
        ]
    )
    probability = answer[np.arange(len(validation)), validation.codes].astype(np.float64)
    loss = -np.log(np.maximum(probability, np.finfo(np.float32).tiny)).mean()
    return float(loss), float((answer.argmax(axis=1) == validation.codes).mean())


def _check_progress(row: HistoryRow, settings: NeuralSettings) -> None:
    if not np.isfinite([row.loss, row.val_loss]).all():
        raise PlanError(
            f"training with learning_rate = {settings.learning_rate} was asked for, but the loss "
            f"is {row.loss} after epoch {row.epoch}; lower train.neural.learning_rate"
        )
