"""Where a network has no right to speak: how right it is, and of how many, by novelty.

Feng et al. (section 4.2) warn of sources fainter than the labels. Novelty is the distance from the
training sample in the whole of the photometry, told as the share of validation sources that lie
closer; bins of it are crossed with those of magnitude.
"""

import math
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock, evaluated, predicted_codes
from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.law import FIXED_POINT, Reduction, State, add_states, fixed_point
from kidsclf.reduce.metrics import binomial_interval, count_each, ratio

EDGES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""A bin is ``low <= novelty < high``: quarters, the last of them finer."""

BINS = len(EDGES) - 1

_COUNT, _RIGHT, _ANSWERED, _SAID = range(4)
"""What a cell holds: sources, those of the right class, those with an answer, and the sum of the
calibrated probability of their class in units of 1e-9."""

ACCURACY_SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("novelty_low", pa.float64()),
        ("novelty_high", pa.float64()),
        ("count", pa.int64()),
        ("correct", pa.int64()),
        ("accuracy", pa.float64()),
        ("accuracy_low", pa.float64()),
        ("accuracy_high", pa.float64()),
        ("p_mean", pa.float64()),
    ]
)

COUNTS_SCHEMA = pa.schema(
    [
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("class", pa.string()),
        ("novelty_low", pa.float64()),
        ("novelty_high", pa.float64()),
        ("count", pa.int64()),
    ]
)


def novelty_accuracy(context: Context) -> Reduction:
    """Ask how often the class is right, and was said to be, by magnitude and novelty.

    ``accuracy`` is ``correct`` of ``count`` labelled sources, with the bounds of
    `binomial_interval`; ``p_mean`` the mean calibrated probability of the class that was given.
    Rows of NaN in ``r_low`` and ``r_high`` hold all magnitudes; bins without a source have no row.
    A source without a class is wrong. Sources without photometry are left out; folds are pooled.
    """
    local = partial(_local_accuracy, context=context)
    return Reduction("novelty_accuracy", {}, local, add_states, _finish_accuracy)


def novelty_counts(context: Context) -> Reduction:
    """Ask how many sources of the catalogue there are by magnitude, predicted class and novelty.

    Rows of NaN in ``r_low`` and ``r_high`` hold all magnitudes; empty bins have no row.
    """
    local = partial(_local_counts, context=context)
    return Reduction("novelty_counts", {}, local, add_states, _finish_counts)


def novelty_bins(novelty: NDArray[np.float32]) -> NDArray[np.int64]:
    """Sort novelties into the bins of `EDGES`, (n,).

    >>> novelty_bins(np.array([0.0, 0.25, 0.995], np.float32)).tolist()
    [0, 1, 5]
    """
    inner = np.array(EDGES[1:-1], np.float32)
    return np.searchsorted(inner, novelty, side="right").astype(np.int64)


def _cells(block: ScoredBlock, context: Context) -> NDArray[np.int64]:
    """Number the cell of magnitude slot and novelty bin of each source."""
    slots = block.slots(context)
    return slots * BINS + novelty_bins(block.novelty)


def _local_accuracy(block: ScoredBlock, context: Context) -> State:
    cells, known = _cells(block, context), np.isfinite(block.novelty)
    answered = block.scores.codes >= 0
    said = block.calibrated[np.arange(len(block)), np.maximum(block.scores.codes, 0)]
    state: State = {}
    for sample, label in block.labels.items():
        rows = evaluated(block, sample, context) & known
        if not rows.any():
            continue
        right = (block.scores.codes == label.codes)[rows]
        values = (np.ones(len(right), np.int64), right, answered[rows])
        sums = fixed_point(np.where(answered, said, 0.0)[rows])
        held = np.zeros((context.slots * BINS, 4), np.int64)
        np.add.at(held, cells[rows], np.stack([*values, sums], axis=1))
        state[sample] = held.tolist()
    return state


def _finish_accuracy(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        cube = np.array(state[sample], np.int64).reshape(context.slots, BINS, 4)
        for where, held in _ranges(cube, context):
            for (low, high), cell in zip(pairwise(EDGES), held, strict=True):
                if cell[_COUNT]:
                    place = {"sample": sample, **where, "novelty_low": low, "novelty_high": high}
                    rows.append(place | _accuracy(cell))
    return pa.Table.from_pylist(rows, schema=ACCURACY_SCHEMA)


def _accuracy(cell: NDArray[np.int64]) -> dict[str, Any]:
    count, right = int(cell[_COUNT]), int(cell[_RIGHT])
    low, high = binomial_interval(right, count)
    return {
        "count": count,
        "correct": right,
        "accuracy": right / count,
        "accuracy_low": low,
        "accuracy_high": high,
        "p_mean": float(ratio(cell[_SAID], cell[_ANSWERED] * FIXED_POINT)),
    }


def _local_counts(block: ScoredBlock, context: Context) -> State:
    known = np.isfinite(block.novelty)
    flat = _cells(block, context) * len(context.predicted_classes) + predicted_codes(block)
    return count_each(flat[known])


def _finish_counts(state: State, context: Context) -> pa.Table:
    cube = np.zeros((context.slots, BINS, len(context.predicted_classes)), np.int64)
    for cell, count in state.items():
        cube.reshape(-1)[int(cell)] = count
    rows = [
        {
            **where,
            "class": name,
            "novelty_low": low,
            "novelty_high": high,
            "count": int(held[place, code]),
        }
        for where, held in _ranges(cube, context)
        for code, name in enumerate(context.predicted_classes)
        for place, (low, high) in enumerate(pairwise(EDGES))
        if held[place, code]
    ]
    return pa.Table.from_pylist(rows, schema=COUNTS_SCHEMA)


def _ranges(
    cube: NDArray[np.int64], context: Context
) -> Iterator[tuple[dict[str, float], NDArray[np.int64]]]:
    """Give what all magnitudes hold, then each bin of magnitude."""
    yield {"r_low": math.nan, "r_high": math.nan}, cube.sum(axis=0)
    for slot, low, high in context.bins:
        yield {"r_low": low, "r_high": high}, cube[slot]
