"""Whether prediction sets hold the true class as often as was promised, and how large they are.

A set that is always full holds every class and says nothing, so coverage and size belong
together (Sadinle, Lei & Wasserman 2019, arXiv:1609.00451).
"""

import math
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock, evaluated
from kidsclf.reduce.context import ALL, Context, ordered_samples
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.metrics import binomial_interval, count_cube

SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("class", pa.string()),
        ("count", pa.int64()),
        ("coverage", pa.float64()),
        ("coverage_low", pa.float64()),
        ("coverage_high", pa.float64()),
        ("mean_size", pa.float64()),
        ("empty", pa.float64()),
        ("single", pa.float64()),
        ("multiple", pa.float64()),
    ]
)


def prediction_sets(context: Context) -> Reduction:
    """Ask for the coverage and size of prediction sets, by true class and magnitude.

    ``coverage`` is the share of the ``count`` sources of a class whose set holds it, with the
    bounds of `binomial_interval`; ``empty``, ``single`` and ``multiple`` are shares by the number
    of classes in the set. The class `ALL` has the sources of every class. Rows of NaN in ``r_low``
    and ``r_high`` hold all magnitudes. Sources without an answer are left out; folds are pooled.
    """
    local = partial(_local, context=context)
    return Reduction("prediction_sets", {}, local, add_states, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    """Count by slot, true class and size of the set: those of which the class is in it, and all."""
    slots = block.slots(context)
    sizes = block.sets.sum(axis=1)
    shape = (context.slots, len(context.classes))
    state: State = {}
    for sample, label in block.labels.items():
        rows = np.flatnonzero(evaluated(block, sample, context) & (block.scores.codes >= 0))
        held = rows[block.sets[rows, label.codes[rows]]]
        if len(rows):
            state[sample] = {
                what: count_cube(slots[some], label.codes[some], sizes[some], shape)
                for what, some in (("covered", held), ("all", rows))
            }
    return state


def _finish(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        covered, every = (np.array(state[sample][what], np.int64) for what in ("covered", "all"))
        ranges = [(slice(None), math.nan, math.nan)]
        ranges += [(slice(slot, slot + 1), low, high) for slot, low, high in context.bins]
        for slots, low, high in ranges:
            place = {"sample": sample, "r_low": low, "r_high": high}
            parts = (covered[slots].sum(axis=0), every[slots].sum(axis=0))
            for code, name in enumerate(context.classes):
                rows.append(place | _row(name, parts[0][code], parts[1][code]))
            rows.append(place | _row(ALL, *(part.sum(axis=0) for part in parts)))
    return pa.Table.from_pylist([row for row in rows if row["count"]], schema=SCHEMA)


def _row(name: str, covered: NDArray[np.int64], sizes: NDArray[np.int64]) -> dict[str, Any]:
    """Sum up counts by size of the set, from 0 on."""
    count = int(sizes.sum())
    low, high = binomial_interval(int(covered.sum()), count)
    share = sizes / max(count, 1)
    return {
        "class": name,
        "count": count,
        "coverage": int(covered.sum()) / max(count, 1),
        "coverage_low": low,
        "coverage_high": high,
        "mean_size": float(share @ np.arange(len(sizes))),
        "empty": float(share[0]),
        "single": float(share[1]),
        "multiple": float(share[2:].sum()),
    }
