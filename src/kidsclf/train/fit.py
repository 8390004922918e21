"""Fits one network of the table to a labelled sample."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kidsclf.config import TrainSettings
from kidsclf.errors import InputError
from kidsclf.models.description import InputDescription
from kidsclf.models.network import Network
from kidsclf.models.table import NetworkEntry
from kidsclf.schema import LabelledRows
from kidsclf.train.checkpoint import Checkpoints
from kidsclf.train.sample import HistoryRow, Sample


@dataclass(frozen=True)
class FittedNetwork:
    """What training leaves.

    Attributes
    ----------
    network : Network
    history : tuple of HistoryRow
        One an epoch, or one a boosting round.
    scores : mapping of str to float
        ``train_rows``, ``validation_rows``, ``best_epoch``, ``validation_loss`` (nats a source),
        ``validation_accuracy``.
    """

    network: Network
    history: tuple[HistoryRow, ...]
    scores: Mapping[str, float]


def fit_network(
    entry: NetworkEntry,
    description: InputDescription,
    train: LabelledRows,
    validation: LabelledRows,
    settings: TrainSettings,
    seed: int,
    checkpoints: Checkpoints | None = None,
) -> FittedNetwork:
    """Train a network; the same arguments give the same bits on the same kind of machine.

    For a Keras network, ``prepare_backend(..., settings.threads)`` comes first.

    Parameters
    ----------
    entry : NetworkEntry
    description : InputDescription
        What the network reads of the data (``entry.reads``).
    train, validation : LabelledRows
        The one teaches, the other chooses the epoch that is kept. Sources without a stamp are
        left out for a network that needs one. Stamps are asked for as they are needed, at most
        64 MiB or a batch at a time.
    settings : TrainSettings
    seed : int
        Of the initial weights, the order of the rows and the turns of the stamps.
    checkpoints : Checkpoints, optional
        Where a Keras network goes on if its training was cut short. Trees are grown in one go.

    Raises
    ------
    InputError
        If a sample is empty, or a class has no source to learn from.
    """
    samples = (Sample.of(train, description), Sample.of(validation, description))
    for name, sample in zip(("training", "validation"), samples, strict=True):
        _check(sample, name, entry, description)
    if entry.family == "xgboost":
        network, history, best = _fit_trees(entry, description, samples, settings, seed)
    else:
        # Keras is heavy, and trees do without it.
        from kidsclf.train.neural import fit_neural  # noqa: PLC0415

        network, history, best = fit_neural(
            entry, description, samples, settings.neural, seed, checkpoints
        )
    scores = {
        "train_rows": len(samples[0]),
        "validation_rows": len(samples[1]),
        "best_epoch": best.epoch,
        "validation_loss": best.val_loss,
        "validation_accuracy": best.val_accuracy,
    }
    return FittedNetwork(network, history, scores)


def _check(sample: Sample, name: str, entry: NetworkEntry, description: InputDescription) -> None:
    counts = np.bincount(sample.codes, minlength=len(description.classes))
    absent = [label for label, count in zip(description.classes, counts, strict=True) if not count]
    if len(sample) == 0 or (name == "training" and absent):
        raise InputError(
            f"the network {entry.name!r} was to be trained, but its {name} sample of "
            f"{len(sample)} sources holds no {absent[0]}; add labels of that class, or set "
            "train.classes and the shares of the samples otherwise"
        )


def _fit_trees(
    entry: NetworkEntry,
    description: InputDescription,
    samples: tuple[Sample, Sample],
    settings: TrainSettings,
    seed: int,
) -> tuple[Network, tuple[HistoryRow, ...], HistoryRow]:
    """Grow all the trees asked for; the validation sample only watches."""
    trees = importlib.import_module("kidsclf.models.trees")
    booster, curves = trees.grow_trees(
        (samples[0].photometry, samples[1].photometry),
        (samples[0].codes, samples[1].codes),
        len(description.classes),
        settings.trees,
        threads=settings.threads,
        seed=seed,
    )
    measures = zip(
        curves["train"]["mlogloss"],
        curves["validation"]["mlogloss"],
        curves["train"]["merror"],
        curves["validation"]["merror"],
        strict=True,
    )
    history = tuple(
        HistoryRow(epoch, loss, val_loss, 1 - error, 1 - val_error)
        for epoch, (loss, val_loss, error, val_error) in enumerate(measures, start=1)
    )
    return trees.TreeNetwork(entry, description, booster), history, history[-1]
