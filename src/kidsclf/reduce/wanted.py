"""Which probability to cut at for a wanted purity or completeness of a class.

Sources are selected as a class if their calibrated probability of it reaches a threshold,
whether or not it is their most probable class. Members and others are counted in fine bins of
the probability, from which purity and completeness at every edge follow, and again for samples
drawn anew from these counts (bootstrap; Efron 1979, Ann. Statist. 7, 1).
"""

import math
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock, evaluated
from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.metrics import binomial_interval, ratio

Counts = NDArray[np.int64]

_LOGITS = np.arange(-90, 121) / 10
EDGES = (1 / (1 + np.exp(-_LOGITS))).astype(np.float32)
"""Thresholds that are looked at: steps of 0.1 in ln p/(1-p), so 0.025 at p = 0.5 and 0.001 at 0.99,
from 0.0001 to 0.999994. They are 32-bit numbers, as probabilities in the catalogue are."""

DRAWS = 400
"""Samples drawn anew; the bounds of a threshold are then good to a twentieth of their distance."""

PURITY, COMPLETENESS = "purity", "completeness"

SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("class", pa.string()),
        ("wanted", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("threshold_low", pa.float64()),
        ("threshold_high", pa.float64()),
        ("purity", pa.float64()),
        ("purity_low", pa.float64()),
        ("purity_high", pa.float64()),
        ("completeness", pa.float64()),
        ("completeness_low", pa.float64()),
        ("completeness_high", pa.float64()),
        ("count", pa.int64()),
    ]
)


def wanted(context: Context) -> Reduction:
    """Ask for the probability to cut at, for each class and wanted purity or completeness.

    For a purity it is the lowest `EDGES` that reaches it, for a completeness the highest: each
    keeps the most of the other. ``threshold`` and all after it are NaN where none does; the bounds
    hold 68 % of the drawn samples, a bound being NaN where these do not reach it. ``purity`` and
    ``completeness`` are those at the threshold, with `binomial_interval`; ``count`` is the number
    of labelled sources selected. Sources without an answer are never selected. A sample that holds
    nothing but the class tells no purity. Folds are pooled.
    """
    return Reduction("wanted", {}, partial(_local, context=context), add_states, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    answered = block.scores.codes >= 0
    state: State = {}
    for sample, label in block.labels.items():
        rows = evaluated(block, sample, context)
        if rows.any():
            state[sample] = {
                name: _occupied(
                    block.calibrated[rows, code], answered[rows], label.codes[rows] == code
                )
                for code, name in enumerate(context.classes)
            }
    return state


def _occupied(
    probability: NDArray[np.float32], answered: NDArray[np.bool_], member: NDArray[np.bool_]
) -> dict[str, list[int]]:
    """Count members and others by the number of edges that they reach, where there are any."""
    reached = np.where(answered, np.searchsorted(EDGES, probability, side="right"), 0)
    counts = [np.bincount(reached[who], minlength=len(EDGES) + 1) for who in (member, ~member)]
    return {str(number): [int(each[number]) for each in counts] for number in np.unique(reached)}


def _finish(state: State, context: Context) -> pa.Table:
    asked = [(PURITY, value) for value in context.wanted_purity]
    asked += [(COMPLETENESS, value) for value in context.wanted_completeness]
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        for code, name in enumerate(context.classes):
            counts = np.zeros((2, len(EDGES) + 1), np.int64)
            for number, both in state[sample][name].items():
                counts[:, int(number)] = both
            # The same draws in every run: a table must not change when nothing else does.
            drawn = _draw(counts, np.random.default_rng(code))
            for what, value in asked:
                place = {"sample": sample, "class": name, "wanted": what, "value": value}
                rows.append(place | _cut(counts, drawn, what, value))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _draw(counts: Counts, rng: np.random.Generator) -> Counts:
    """Draw as many sources anew, (`DRAWS`, 2, edges + 1)."""
    total = counts.sum()
    drawn = rng.multinomial(total, counts.reshape(-1) / total, DRAWS)
    return drawn.reshape(DRAWS, *counts.shape).astype(np.int64)


def _cut(counts: Counts, drawn: Counts, what: str, value: float) -> dict[str, Any]:
    place = int(_places(counts[None], what, value)[0])
    if not 0 <= place < len(EDGES):
        return dict.fromkeys(SCHEMA.names[4:], math.nan) | {"count": 0}
    edges = np.array([math.nan, *EDGES.tolist(), math.nan])
    order = np.sort(_places(drawn, what, value))
    low, high = (int(order[round(share * (DRAWS - 1))]) for share in (0.16, 0.84))
    found, others = (int(each[place + 1 :].sum()) for each in counts)
    members = int(counts[0].sum())
    purity, completeness = (binomial_interval(found, n) for n in (found + others, members))
    return {
        "threshold": float(edges[place + 1]),
        "threshold_low": float(edges[low + 1]),
        "threshold_high": float(edges[high + 1]),
        "purity": found / (found + others),
        "purity_low": purity[0],
        "purity_high": purity[1],
        "completeness": found / members,
        "completeness_low": completeness[0],
        "completeness_high": completeness[1],
        "count": found + others,
    }


def _places(counts: Counts, what: str, value: float) -> Counts:
    """Find the edge to cut at in each of several counts (draws, 2, edges + 1).

    Of a purity that is not reached it is one past the last edge, of a completeness -1.
    """
    from_top = np.cumsum(counts[:, :, :0:-1], axis=2)[:, :, ::-1]
    selected = from_top.sum(axis=1)
    if what == PURITY:
        known = counts[:, 1].sum(axis=1, keepdims=True) > 0
        reached = known & (ratio(from_top[:, 0], selected) >= value)
        return np.where(reached.any(axis=1), reached.argmax(axis=1), len(EDGES))
    members = counts[:, 0].sum(axis=1, keepdims=True)
    reached = ratio(from_top[:, 0], members) >= value
    return np.asarray(reached.sum(axis=1) - 1)
