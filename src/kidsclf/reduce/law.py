"""The law that every number about a survey obeys: it is summed over partitions, in any order.

A reduction is data, not a class to inherit from. Its state is a small JSON value, so that a task
can leave it on disk and the client can merge thousands of them; its merge is associative and
commutative to the last bit, so that the answer does not depend on how the sky was split.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import Context

State = dict[str, Any]
"""Nested dictionaries (keys are str) and lists of int, str or float; what `json` can write."""

FIXED_POINT = 1_000_000_000
"""Real numbers are summed as integers in units of 1e-9: integer sums do not depend on order."""


@dataclass(frozen=True)
class Reduction:
    """One question about a survey and how to answer it from partitions.

    Attributes
    ----------
    name : str
        Also the name of the table.
    empty : State
        The state of no partition; it changes nothing when merged.
    local : callable
        The state of one partition; kilobytes, whatever the number of rows.
    merge : callable
        Joins two states without changing either; associative and commutative, exactly.
    finish : callable
        Turns the state of all partitions into the table.
    """

    name: str
    empty: State
    local: Callable[[ScoredBlock], State]
    merge: Callable[[State, State], State]
    finish: Callable[[State, Context], pa.Table]


def merge_all(reduction: Reduction, states: Iterable[State]) -> State:
    """Merge the states of many partitions."""
    return merge_each((reduction,), ({reduction.name: state} for state in states))[reduction.name]


def merge_each(
    reductions: Sequence[Reduction], states: Iterable[Mapping[str, State]]
) -> dict[str, State]:
    """Merge what many partitions left for several reductions, by their names, in one pass.

    They are merged pairwise, so that big states are copied seldom.
    """

    def merged(left: Mapping[str, State], right: Mapping[str, State]) -> dict[str, State]:
        return {each.name: each.merge(left[each.name], right[each.name]) for each in reductions}

    waiting: list[tuple[int, Mapping[str, State]]] = []
    for state in states:
        whole, size = state, 1
        while waiting and waiting[-1][0] == size:
            whole = merged(waiting.pop()[1], whole)
            size *= 2
        waiting.append((size, whole))
    total = {each.name: each.empty for each in reductions}
    while waiting:
        total = merged(waiting.pop()[1], total)
    return total


def to_json(state: State) -> str:
    """Write a state; equal states give equal text.

    >>> to_json({"b": [1, 2], "a": {}})
    '{"a":{},"b":[1,2]}'
    """
    return json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> State:
    """Read a state that `to_json` wrote."""
    state: State = json.loads(text)
    return state


def add_states(left: State, right: State) -> State:
    """Add counts: numbers by sum, lists element by element, dictionaries key by key.

    A key that only one side has is taken from it, so that ``{}`` changes nothing.

    >>> add_states({"star": [1, 2]}, {"star": [0, 5], "qso": [1, 1]})
    {'star': [1, 7], 'qso': [1, 1]}
    """
    merged = dict(left)
    for key, value in right.items():
        merged[key] = _added(left[key], value) if key in left else value
    return merged


def _added(left: Any, right: Any) -> Any:
    if isinstance(left, dict):
        return add_states(left, right)
    if isinstance(left, list):
        pairs = zip(left, right, strict=True)
        if any(isinstance(one, list | dict) for one in left):
            return [_added(one, other) for one, other in pairs]
        return [one + other for one, other in pairs]  # most of what is added: no call for each
    return left + right


def fixed_point(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Round to units of 1e-9, any shape; finite values of at most a few units.

    An int64 holds the sum of nine thousand million ones.
    """
    scaled = np.rint(np.asarray(values, np.float64) * FIXED_POINT)
    return scaled.astype(np.int64)


def with_network(table: pa.Table, network: str) -> pa.Table:
    """Put the name of the network before the other columns."""
    names = pa.array([network] * table.num_rows, pa.string())
    return table.add_column(0, pa.field("network", pa.string()), names)
