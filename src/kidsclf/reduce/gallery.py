"""Which sources to look at: a few of every predicted class, chosen without looking.

The choice is deterministic and mergeable: the smallest keys win. A key is a hash of the source's
name, which is as good as random and the same in every run, or the probability itself.
"""

import math
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock, evaluated
from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.law import Reduction, State

TYPICAL, UNCERTAIN, MISCLASSIFIED = "typical", "uncertain", "misclassified"
NOVEL = "novel"
KINDS = (TYPICAL, UNCERTAIN, MISCLASSIFIED, NOVEL)

CONFIDENT = 0.9
"""Typical sources reach this p_max: Feng et al., section 4.1.1, advise 0.9 to 0.99."""

SCHEMA = pa.schema(
    [
        ("class", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("index29", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("r", pa.float32()),
        ("p_max", pa.float32()),
        ("training_distance", pa.float32()),
        ("true_class", pa.string()),
        ("bands", pa.list_(pa.string())),
        ("magnitudes", pa.list_(pa.float32())),
    ]
)

Entry = dict[str, Any]
"""A source as it stands in the table (NaN as None, for JSON), and its key."""


def gallery(context: Context) -> Reduction:
    """Ask for a few sources of each predicted class, ``context.gallery`` of each kind.

    Kinds: "typical", any with p_max >= 0.9; "uncertain", those of smallest p_max;
    "misclassified", any whose label in a sample that judges the network is another class;
    "novel", those furthest from the training sample.
    ``true_class`` is the label, or "" where the source has none. Stamps are not known here: the
    caller finds them by ``name`` and ``index29`` (NESTED HEALPix pixel at order 29).
    """
    merge = partial(_merge, number=context.gallery)
    return Reduction("gallery", {}, partial(_local, context=context), merge, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    judged = _labels(block, context, only_judged=True)
    labels = np.where(judged >= 0, judged, _labels(block, context, only_judged=False))
    codes, p_max = block.scores.codes, block.scores.p_max
    state: State = {}
    for code, name in enumerate(context.classes):
        chosen = {
            TYPICAL: (codes == code) & (p_max >= np.float32(CONFIDENT)),
            UNCERTAIN: _smallest(p_max, codes == code, context.gallery),
            MISCLASSIFIED: (codes == code) & (judged >= 0) & (judged != code),
            NOVEL: _smallest(-block.training_distance, codes == code, context.gallery),
        }
        for kind, rows in chosen.items():
            keys = _keys(block, kind, np.flatnonzero(rows), context.gallery)
            entries = [_entry(block, key, row, labels, context) for key, _, _, row in keys]
            if entries:
                state.setdefault(name, {})[kind] = entries
    return state


def _labels(block: ScoredBlock, context: Context, *, only_judged: bool) -> NDArray[np.int64]:
    """Give the label in the first sample that has the source, (n,); -1 for none."""
    labels = np.full(len(block), -1, np.int64)
    for sample in ordered_samples(block.labels, context):
        codes = block.labels[sample].codes
        known = evaluated(block, sample, context) if only_judged else codes >= 0
        labels = np.where((labels < 0) & known, codes, labels)
    return labels


def _smallest(
    values: NDArray[np.float32], among: NDArray[np.bool_], number: int
) -> NDArray[np.bool_]:
    """Mark the smallest values, all of those that tie with the last."""
    found = values[among & ~np.isnan(values)]
    if number == 0 or len(found) == 0:
        return np.zeros(len(values), bool)
    return np.asarray(among & (values <= _last(found, number)))


def _last(values: NDArray[Any], number: int) -> Any:
    """Give the largest of the smallest values."""
    place = min(number, len(values)) - 1
    return np.partition(values, place)[place]


def _keys(
    block: ScoredBlock, kind: str, rows: NDArray[np.int64], number: int
) -> list[tuple[Any, str, int, int]]:
    """List (key, name, index29, row) of the rows whose keys are smallest, these first."""
    if number == 0 or len(rows) == 0:
        return []
    if kind == UNCERTAIN:
        keys = block.scores.p_max[rows].tolist()
    elif kind == NOVEL:
        keys = (-block.training_distance[rows]).tolist()
    else:
        rows, keys = _hashed(block, rows, number)
    names = map(str, block.name[rows])
    keyed = zip(keys, names, block.index29[rows].tolist(), rows.tolist(), strict=True)
    return sorted(keyed)[:number]


def _hashed(
    block: ScoredBlock, rows: NDArray[np.int64], number: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Hash names, of most rows of a survey; give those of the smallest hashes, and the hashes."""
    hashes = b"".join(
        [blake2b(str(name).encode(), digest_size=8).digest() for name in block.name[rows].tolist()]
    )
    order = np.frombuffer(hashes, ">u8").astype(np.uint64)
    kept = order <= _last(order, number)
    return rows[kept], [f"{key:016x}" for key in order[kept].tolist()]


def _entry(
    block: ScoredBlock, key: Any, row: int, labels: NDArray[np.int64], context: Context
) -> Entry:
    label = int(labels[row])
    return {
        "key": key,
        "name": str(block.name[row]),
        "index29": int(block.index29[row]),
        "ra": float(block.ra[row]),
        "dec": float(block.dec[row]),
        "r": _number(block.reference_magnitude[row]),
        "p_max": _number(block.scores.p_max[row]),
        "training_distance": _number(block.training_distance[row]),
        "true_class": context.classes[label] if label >= 0 else "",
        "bands": list(block.bands),
        "magnitudes": [_number(magnitude) for magnitude in block.magnitudes[row]],
    }


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)


def _merge(left: State, right: State, number: int) -> State:
    merged = {name: dict(kinds) for name, kinds in left.items()}
    for name, kinds in right.items():
        for kind, entries in kinds.items():
            mine = merged.setdefault(name, {})
            both = [*mine.get(kind, []), *entries]
            mine[kind] = sorted(both, key=lambda e: (e["key"], e["name"], e["index29"]))[:number]
    return merged


def _finish(state: State, context: Context) -> pa.Table:
    rows = [
        {"class": name, "kind": kind} | {k: _or_nan(v) for k, v in entry.items() if k != "key"}
        for name in context.classes
        for kind in KINDS
        for entry in state.get(name, {}).get(kind, [])
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _or_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_or_nan(item) for item in value]
    return math.nan if value is None else value
