"""How often the class is right: per sample, fold, class and magnitude bin.

The state is a confusion cube per sample and fold: magnitude slot, true class, predicted class.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock, evaluated, predicted_codes
from kidsclf.reduce.context import POOLED, Context, ordered_samples
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.metrics import count_cube, matrix_scores, ratio

Cube = NDArray[np.int64]

CLASSIFICATION_SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("fold", pa.int64()),
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("class", pa.string()),
        ("support", pa.int64()),
        ("true_positive", pa.int64()),
        ("false_positive", pa.int64()),
        ("false_negative", pa.int64()),
        ("precision", pa.float64()),
        ("recall", pa.float64()),
        ("f1", pa.float64()),
        ("accuracy", pa.float64()),
        ("balanced_accuracy", pa.float64()),
    ]
)

CONFUSION_SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("true_class", pa.string()),
        ("predicted_class", pa.string()),
        ("count", pa.int64()),
        ("fraction", pa.float64()),
    ]
)


def classification(context: Context) -> Reduction:
    """Ask for precision, recall and F1 of each class, over all magnitudes and in bins.

    ``r_low`` and ``r_high`` are NaN in the rows over all magnitudes, which also hold the sources
    outside the bins; a bin without labelled sources has no row. Fold -1 pools the folds.
    """
    local = partial(_local, context=context)
    return Reduction("classification", {}, local, add_states, _finish_classification)


def confusion(context: Context) -> Reduction:
    """Ask for the confusion matrix of each sample, all magnitudes and folds together.

    ``fraction`` is of the true class (NaN if it has no member); Feng et al., figure 4.
    """
    return Reduction(
        "confusion", {}, partial(_local, context=context), add_states, _finish_confusion
    )


def _local(block: ScoredBlock, context: Context) -> State:
    slots = block.slots(context)
    predicted = predicted_codes(block)
    state: State = {}
    for sample, label in block.labels.items():
        judged = evaluated(block, sample, context)
        for fold in np.unique(label.fold[judged]):
            rows = judged & (label.fold == fold)
            cube = count_cube(
                slots[rows],
                label.codes[rows],
                predicted[rows],
                (context.slots, len(context.classes)),
            )
            state.setdefault(sample, {})[str(int(fold))] = cube
    return state


def _finish_classification(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        for fold, cube in _folds(state[sample]):
            for low, high, matrix in _matrices(cube, context):
                place = {"sample": sample, "fold": fold, "r_low": low, "r_high": high}
                rows.extend(place | scores for scores in _class_rows(matrix, context))
    return pa.Table.from_pylist(rows, schema=CLASSIFICATION_SCHEMA)


def _folds(cubes: State) -> Iterator[tuple[int, Cube]]:
    """Give the pooled cube, then that of each fold."""
    folds = {int(fold): np.array(cube, np.int64) for fold, cube in cubes.items()}
    yield POOLED, np.sum(list(folds.values()), axis=0)
    for fold in sorted(set(folds) - {POOLED}):
        yield fold, folds[fold]


def _matrices(cube: Cube, context: Context) -> Iterator[tuple[float, float, Cube]]:
    yield float("nan"), float("nan"), cube.sum(axis=0)
    for slot, low, high in context.bins:
        if cube[slot].any():
            yield low, high, cube[slot]


_PER_CLASS = (
    *("support", "true_positive", "false_positive", "false_negative"),
    *("precision", "recall", "f1"),
)


def _class_rows(matrix: Cube, context: Context) -> Iterator[dict[str, Any]]:
    scores = matrix_scores(matrix)
    for code, name in enumerate(context.classes):
        row = {column: getattr(scores, column)[code].item() for column in _PER_CLASS}
        yield row | {
            "class": name,
            "accuracy": scores.accuracy,
            "balanced_accuracy": scores.balanced_accuracy,
        }


def _finish_confusion(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        _, cube = next(_folds(state[sample]))
        matrix = cube.sum(axis=0)
        fractions = ratio(matrix, matrix.sum(axis=1, keepdims=True))
        for true, true_class in enumerate(context.classes):
            for predicted, predicted_class in enumerate(context.predicted_classes):
                rows.append(
                    {
                        "sample": sample,
                        "true_class": true_class,
                        "predicted_class": predicted_class,
                        "count": int(matrix[true, predicted]),
                        "fraction": float(fractions[true, predicted]),
                    }
                )
    return pa.Table.from_pylist(rows, schema=CONFUSION_SCHEMA)
