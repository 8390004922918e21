"""True numbers of quasars by magnitude, from the network's counts and what labels say of them."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.area import area_sq_deg, merge_occupancy, occupancy, occupancy_of
from kidsclf.reduce.block import ScoredBlock, evaluated
from kidsclf.reduce.context import POOLED, Context
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.unfolding import DRAWS, Doubts, Selection, Unfolded, unfold

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

CUTS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Of the calibrated probability of a quasar; 0: it is the most probable class, no more is asked."""

QUOTED_CUT = 0.9
"""The cut whose numbers are quoted: Feng et al. (section 4.1.1) find 0.9 to 0.99 a good balance. It
was chosen before it was tried on skies whose truth is known."""

LOW, HIGH = 16.0, 84.0
"""Percentiles of the draws that are the bounds: one standard deviation."""

UNSOLVED = "labels do not tell the classes of the bin apart"
"""Why a bin whose equations have no single solution has no number."""

_BOUNDED = ("purity", "completeness", "estimate", "per_sq_deg", "cumulative_per_sq_deg")

SCHEMA = pa.schema(
    [
        ("p_min", pa.float64()),
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("labels", pa.int64()),
        ("count", pa.int64()),
        *((name + bound, pa.float64()) for name in _BOUNDED for bound in ("", "_low", "_high")),
        ("why", pa.string()),
    ]
)


def quasar_corrected(context: Context) -> Reduction:
    """Ask for the true number of quasars in each magnitude bin.

    ``count`` sources are selected as quasars (most probable class, calibrated probability at least
    ``p_min``), of which ``purity`` are some; ``completeness`` is the share of the quasars that is
    selected, from ``labels`` labelled ones of the training sample that the network has not seen;
    ``estimate`` is the true number, see `unfold`. ``cumulative_per_sq_deg`` is of all bins down to
    ``r_high``; bins brighter than the first corrected one enter as counted. What labels cannot
    tell is NaN, and ``why`` says so.
    """
    return Reduction("quasar_corrected", {}, partial(_local, context=context), _merge, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    if context.quasar_class not in context.classes or len(block) == 0:
        return {}
    slots = block.slots(context)
    outcomes = _outcomes(block, context)
    k, kinds = len(context.classes), _kinds(context)
    state: State = {}
    counted = _once(block, context)
    if counted.any():
        sky = np.bincount(slots[counted] * kinds + outcomes[counted], minlength=_size(context))
        state["sky"] = {"counts": sky.reshape(context.slots, kinds).tolist()}
        state["occupancy"] = (
            occupancy_of(block)
            if counted.all()
            else occupancy(block.index29[counted], block.partition)
        )
    sample = context.training_sample
    if sample in block.labels:
        rows = evaluated(block, sample, context)
        flat = (slots[rows] * k + block.labels[sample].codes[rows]) * kinds + outcomes[rows]
        found = np.bincount(flat, minlength=k * _size(context))
        state["labels"] = {"counts": found.reshape(context.slots, k, kinds).tolist()}
    return state


def _kinds(context: Context) -> int:
    """Number of outcomes: classes, but of quasars one for each step of `CUTS`; unclassified."""
    return len(context.classes) + len(CUTS)


def _size(context: Context) -> int:
    return context.slots * _kinds(context)


def _outcomes(block: ScoredBlock, context: Context) -> Counts:
    """Give what became of each source, (n,): a class, -1 + k + step for quasars, the last: none."""
    k, quasar = len(context.classes), context.classes.index(context.quasar_class)
    edges = np.array(CUTS[1:], np.float32)
    steps = np.searchsorted(edges, block.calibrated[:, quasar], side="right")
    codes = block.scores.codes
    # Step 0 keeps the code of the class; further steps come after all classes.
    found = np.where((codes == quasar) & (steps > 0), k - 1 + steps, codes)
    return np.where(codes < 0, _kinds(context) - 1, found).astype(np.int64)


def _once(block: ScoredBlock, context: Context) -> NDArray[np.bool_]:
    """Leave out rows of cross-validation: they show sources of the catalogue a second time."""
    labels = block.labels.get(context.training_sample)
    return np.ones(len(block), bool) if labels is None else np.asarray(labels.fold == POOLED)


def _merge(left: State, right: State) -> State:
    if not left or not right:
        return left or right
    merged: State = {
        name: add_states(left.get(name, {}), right.get(name, {}))
        for name in ("sky", "labels")
        if name in left or name in right
    }
    merged["occupancy"] = merge_occupancy(left.get("occupancy", {}), right.get("occupancy", {}))
    return merged


@dataclass(frozen=True)
class _Bin:
    """What one bin holds at one cut; no answer where labels cannot tell."""

    selection: Selection
    answer: Unfolded | None
    why: str


def _finish(state: State, context: Context) -> pa.Table:
    if "sky" not in state:
        return SCHEMA.empty_table()
    k, kinds = len(context.classes), _kinds(context)
    sky = np.array(state["sky"]["counts"], np.int64)
    nothing = np.zeros((context.slots, k, kinds), np.int64).tolist()
    labels = np.array(state.get("labels", {"counts": nothing})["counts"], np.int64)
    area = area_sq_deg(state["occupancy"])
    rows: list[dict[str, Any]] = []
    for step, cut in enumerate(CUTS):
        bins = [_bin(sky[slot], labels[slot], step, slot, context) for slot in range(context.slots)]
        brighter = _cumulative(bins)
        for slot, low, high in context.bins:
            place = {"p_min": cut, "r_low": low, "r_high": high}
            rows.append(place | _row(bins[slot], brighter[slot], area))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _bin(sky: Counts, labels: Counts, step: int, slot: int, context: Context) -> _Bin:
    k, quasar = len(context.classes), context.classes.index(context.quasar_class)
    selected, matrix = sky[:k].copy(), labels[:, :k].copy()
    # Quasars of this step and all above it; below it they are selected as nothing.
    first = k - 1 + step if step else k
    selected[quasar] = sky[first:-1].sum() + (0 if step else sky[quasar])
    matrix[:, quasar] = labels[:, first:-1].sum(axis=1) + (0 if step else labels[:, quasar])
    selection = Selection(quasar, selected, labels.sum(axis=1), matrix)
    why = selection.why_not(context.classes)
    if why:
        return _Bin(selection, None, why)
    # The same draws in every run: a table must not change when nothing else does.
    doubts = Doubts.drawn(np.random.default_rng(0))
    answer = unfold(selection, doubts, np.random.default_rng([step, slot]))
    if not math.isfinite(answer.number):
        return _Bin(selection, None, UNSOLVED)
    return _Bin(selection, answer, "")


def _cumulative(bins: list[_Bin]) -> list[tuple[float, Floats] | None]:
    """Add up bins from the bright end, from the first corrected one to the first gap."""
    total, draws = 0.0, np.zeros(DRAWS)
    known = [each.answer is not None for each in bins]
    first = known.index(True) if any(known) else len(bins)
    last = known.index(False, first) if False in known[first:] else len(bins)
    sums: list[tuple[float, Floats] | None] = []
    for slot, each in enumerate(bins):
        if each.answer is None:
            counted = float(each.selection.selected[each.selection.target])
            total, draws = total + counted, draws + counted
        else:
            total, draws = total + each.answer.number, draws + each.answer.number_draws
        sums.append((total, draws) if first <= slot < last else None)
    return sums


def _row(each: _Bin, brighter: tuple[float, Floats] | None, area: float) -> dict[str, Any]:
    target = each.selection.target
    row: dict[str, Any] = {
        "labels": int(each.selection.labelled[target]),
        "count": int(each.selection.selected[target]),
        "why": each.why,
    }
    values: dict[str, tuple[float, Floats]] = {}
    if each.answer is not None:
        answer = each.answer
        values = {
            "purity": (answer.purity, answer.purity_draws),
            "completeness": (answer.completeness, answer.completeness_draws),
            "estimate": (answer.number, answer.number_draws),
            "per_sq_deg": (answer.number / area, answer.number_draws / area),
        }
    if brighter is not None:
        values["cumulative_per_sq_deg"] = (brighter[0] / area, brighter[1] / area)
    for name in _BOUNDED:
        value, draws = values.get(name, (math.nan, np.empty(0)))
        # Without an area neither a density nor any of its draws is a number.
        known = math.isfinite(value)
        low, high = np.nanpercentile(draws, [LOW, HIGH]) if known else (math.nan,) * 2
        row |= {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def quoted(table: pa.Table) -> dict[str, float] | None:
    """Give the corrected density down to the faintest bin that has one, at `QUOTED_CUT`.

    Returns
    -------
    dict or None
        ``brighter_than`` (r, AB mag), ``per_sq_deg`` with ``_low`` and ``_high``; None where no bin
        has a number.
    """
    known = [
        row
        for row in table.to_pylist()
        if row["p_min"] == QUOTED_CUT and math.isfinite(row["cumulative_per_sq_deg"])
    ]
    if not known:
        return None
    faintest = max(known, key=lambda row: float(row["r_high"]))
    found = {"p_min": QUOTED_CUT, "brighter_than": faintest["r_high"]}
    for bound in ("", "_low", "_high"):
        found[f"per_sq_deg{bound}"] = faintest[f"cumulative_per_sq_deg{bound}"]
    return found
