"""How many sources of each class: by magnitude, by confidence, by flag."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock, predicted_codes
from kidsclf.reduce.context import UNCLASSIFIED, Context
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.schema import ScoreFlag

P_MAX_BINS = 50
"""Bins of p_max between 0 and 1; a bin is ``low <= p < high``, the last one closed."""

CLASS_COUNTS_SCHEMA = pa.schema(
    [
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("class", pa.string()),
        ("count", pa.int64()),
    ]
)
P_MAX_SCHEMA = pa.schema(
    [
        ("class", pa.string()),
        ("p_low", pa.float64()),
        ("p_high", pa.float64()),
        ("count", pa.int64()),
    ]
)
ROWS_SCHEMA = pa.schema([("kind", pa.string()), ("name", pa.string()), ("count", pa.int64())])


def class_counts(context: Context) -> Reduction:
    """Ask for the number of sources of each predicted class per magnitude bin.

    Sources outside the bins are not in this table, but in that of `row_counts`. The unclassified
    have a row only where there are any.
    """
    local = partial(_local_class_counts, context=context)
    return Reduction("class_counts", {}, local, add_states, _finish_class_counts)


def p_max(context: Context) -> Reduction:
    """Ask for the distribution of the largest probability of each predicted class."""
    local = partial(_local_p_max, context=context)
    return Reduction("p_max", {}, local, add_states, _finish_p_max)


def row_counts(context: Context) -> Reduction:
    """Ask for the number of sources: in all, by predicted class, by flag and by prediction set.

    The table has the kinds "total" (one row, named "sources"), "class", "flag" (by the names
    of `kidsclf.schema.ScoreFlag`; a source may have several) and "prediction_set" (classes joined
    by "+"; those that occur).
    """
    return Reduction("rows", {}, partial(_local_rows, context=context), add_states, _finish_rows)


def _local_class_counts(block: ScoredBlock, context: Context) -> State:
    slots = block.slots(context)
    return {"counts": _histogram(slots, predicted_codes(block), context.slots, context)}


def _histogram(
    slots: NDArray[np.int64], predicted: NDArray[np.int64], number: int, context: Context
) -> list[list[int]]:
    """Count by predicted class (the unclassified last) and slot."""
    columns = len(context.predicted_classes)
    counts = np.bincount(predicted * number + slots, minlength=columns * number)
    histogram: list[list[int]] = counts.reshape(columns, number).tolist()
    return histogram


def _finish_class_counts(state: State, context: Context) -> pa.Table:
    rows = [
        {"r_low": low, "r_high": high, "class": name, "count": counts[slot]}
        for slot, low, high in context.bins
        for name, counts in _by_class(state, context)
        if counts[slot] or name != UNCLASSIFIED
    ]
    return pa.Table.from_pylist(rows, schema=CLASS_COUNTS_SCHEMA)


def _by_class(state: State, context: Context) -> Iterator[tuple[str, list[int]]]:
    yield from zip(context.predicted_classes, state.get("counts", []), strict=False)


def _local_p_max(block: ScoredBlock, context: Context) -> State:
    known = block.scores.codes >= 0
    edges = (np.arange(1, P_MAX_BINS) / P_MAX_BINS).astype(np.float32)
    slots = np.searchsorted(edges, block.scores.p_max[known], side="right")
    codes = block.scores.codes[known]
    return {"counts": _histogram(slots, codes, P_MAX_BINS, context)}


def _finish_p_max(state: State, context: Context) -> pa.Table:
    rows = [
        {
            "class": name,
            "p_low": k / P_MAX_BINS,
            "p_high": (k + 1) / P_MAX_BINS,
            "count": count,
        }
        for name, counts in _by_class(state, context)
        if name != UNCLASSIFIED
        for k, count in enumerate(counts)
    ]
    return pa.Table.from_pylist(rows, schema=P_MAX_SCHEMA)


def _local_rows(block: ScoredBlock, context: Context) -> State:
    classes = np.bincount(predicted_codes(block), minlength=len(context.predicted_classes))
    flags = [int(np.count_nonzero(block.flags & flag.value)) for flag in ScoreFlag]
    bits = 1 << np.arange(len(context.classes))
    kinds, counts = np.unique(block.sets @ bits, return_counts=True)
    sets = {
        "+".join(np.array(context.classes)[(kind & bits) > 0]): count
        for kind, count in zip(kinds, counts.tolist(), strict=True)
    }
    return {"total": len(block), "classes": classes.tolist(), "flags": flags, "sets": sets}


def _finish_rows(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    if state:
        rows.append({"kind": "total", "name": "sources", "count": state["total"]})
        for name, count in zip(context.predicted_classes, state["classes"], strict=True):
            rows.append({"kind": "class", "name": name, "count": count})
        for flag, count in zip(ScoreFlag, state["flags"], strict=True):
            rows.append({"kind": "flag", "name": flag.name, "count": count})
        for name, count in sorted(state["sets"].items()):
            rows.append({"kind": "prediction_set", "name": name, "count": count})
    return pa.Table.from_pylist(rows, schema=ROWS_SCHEMA)
