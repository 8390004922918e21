"""Whether a probability of 0.8 is right in 8 of 10 cases, before and after calibration.

The state is sparse: only cells (magnitude slot, class, bin of probability) that hold a labelled
source are kept, so it is as small as the sample. Beside each class, one against the rest, stands
`ALL`: there the probability is the largest one, and what is true or not is that the class of the
network is right (the "confidence calibration" of Guo et al. 2017, arXiv:1706.04599).
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock, evaluated
from kidsclf.reduce.context import ALL, Context, ordered_samples
from kidsclf.reduce.law import FIXED_POINT, Reduction, State, add_states, fixed_point
from kidsclf.reduce.metrics import binomial_interval

BINS = 15
"""Equal bins of probability, as Guo et al.; a bin is ``low <= p < high``, the last one closed."""

RAW, CALIBRATED = "raw", "calibrated"

COUNT, TRUE, SUM, BRIER, NLL = range(5)
"""What a cell holds: sources, those of which it is true, and three sums in units of 1e-9: of the
probability, of its squared error, and of -ln of what was given to the truth."""

SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("kind", pa.string()),
        ("class", pa.string()),
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("p_low", pa.float64()),
        ("p_high", pa.float64()),
        ("count", pa.int64()),
        ("p_mean", pa.float64()),
        ("fraction", pa.float64()),
        ("fraction_low", pa.float64()),
        ("fraction_high", pa.float64()),
    ]
)

_TINY = float(np.finfo(np.float32).tiny)
"""Stands for a probability that underflowed, so that its logarithm is finite (-87.3)."""


def reliability(context: Context) -> Reduction:
    """Ask how often what was given a probability is true, in bins of it.

    ``fraction`` of ``count`` sources are of the class, where ``p_mean`` was said; its bounds are
    those of `binomial_interval`. Rows of NaN in ``r_low`` and ``r_high`` hold all magnitudes. Bins
    without a source have no row, sources without an answer are left out, and folds are pooled.
    """
    local = partial(count_cells, context=context)
    return Reduction("reliability", {}, local, add_states, _finish)


def count_cells(block: ScoredBlock, context: Context) -> State:
    """Count the judged sources of each sample, raw and calibrated, by cell."""
    slots = block.slots(context)
    said = {RAW: block.scores.probabilities, CALIBRATED: block.calibrated}
    state: State = {}
    for sample, label in block.labels.items():
        rows = evaluated(block, sample, context) & (block.scores.codes >= 0)
        if rows.any():
            right = block.scores.codes[rows] == label.codes[rows]
            state[sample] = {
                kind: _cells(slots[rows], probabilities[rows], label.codes[rows], right)
                for kind, probabilities in said.items()
            }
    return state


def _cells(
    slots: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    codes: NDArray[np.int64],
    right: NDArray[np.bool_],
) -> dict[str, list[int]]:
    """Fill the cells of each class and of `ALL`, which comes after the last of them."""
    edges = (np.arange(1, BINS) / BINS).astype(np.float32)
    cells: dict[str, list[int]] = {}
    for number, (q, true, error, loss) in enumerate(_questions(probabilities, codes, right)):
        bins = np.searchsorted(edges, q, side="right")
        keys, which = np.unique(slots * BINS + bins, return_inverse=True)
        held = [np.ones(len(q), np.int64), true, *map(fixed_point, (q, error, loss))]
        sums = np.zeros((len(keys), len(held)), np.int64)
        np.add.at(sums, which, np.stack(held, axis=1))
        for key, values in zip(keys.tolist(), sums.tolist(), strict=True):
            cells[f"{key // BINS},{number},{key % BINS}"] = values
    return cells


def _questions(
    probabilities: NDArray[np.float32], codes: NDArray[np.int64], right: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Give probability, truth, squared error and -ln of what was given to the truth, (n,) each."""
    p = probabilities.astype(np.float64)
    truth = codes[:, None] == np.arange(p.shape[1])
    squares = (p - truth) ** 2
    for code in range(p.shape[1]):
        # What is left for the others is summed, since 1 - p has no digits left near p = 1.
        others = np.delete(p, code, axis=1).sum(axis=1)
        given = np.where(truth[:, code], p[:, code], others)
        yield probabilities[:, code], truth[:, code], squares[:, code], _minus_log(given)
    yield probabilities.max(axis=1), right, squares.sum(axis=1), _minus_log(p[truth])


def _minus_log(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-np.log(np.maximum(p, _TINY)))


def _finish(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        for kind in (RAW, CALIBRATED):
            dense = spread_cells(state[sample][kind], context)
            for here, number, what in cell_places(context):
                place = {"sample": sample, "kind": kind, **what}
                rows.extend(place | row for row in _bin_rows(dense[here, number]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _bin_rows(bins: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    for place in np.flatnonzero(bins[:, COUNT]).tolist():
        count, true = int(bins[place, COUNT]), int(bins[place, TRUE])
        low, high = binomial_interval(true, count)
        yield {
            "p_low": place / BINS,
            "p_high": (place + 1) / BINS,
            "count": count,
            "p_mean": int(bins[place, SUM]) / FIXED_POINT / count,
            "fraction": true / count,
            "fraction_low": low,
            "fraction_high": high,
        }


def spread_cells(cells: State, context: Context) -> NDArray[np.int64]:
    """Spread out cells, (1 + magnitude bins, classes + 1, `BINS`, 5), all magnitudes first."""
    full = np.zeros((context.slots, len(context.classes) + 1, BINS, 5), np.int64)
    for key, values in cells.items():
        slot, number, place = map(int, key.split(","))
        full[slot, number, place] = values
    binned = full[[slot for slot, _, _ in context.bins]]
    return np.concatenate([full.sum(axis=0, keepdims=True), binned])


def cell_places(context: Context) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Give the first two indices of `spread_cells` with what they stand for."""
    ranges = [(math.nan, math.nan), *((low, high) for _, low, high in context.bins)]
    for here, (low, high) in enumerate(ranges):
        for number, name in enumerate((*context.classes, ALL)):
            yield here, number, {"class": name, "r_low": low, "r_high": high}
