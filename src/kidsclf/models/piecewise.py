"""A chain of dense layers of one number, written down exactly as a table.

With ReLU between its layers, such a chain is a piecewise linear function of the number (Montufar et
al. 2014, NIPS 27, 2924). So its values at the ends of the pieces are all there is to know, and
between two of them it is a straight line.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Kernel (inputs, outputs) and bias (outputs,) of a dense layer that ReLU follows."""


@dataclass(frozen=True)
class PiecewiseLinear:
    """A function of one number with values of several.

    Attributes
    ----------
    nodes : float32 array (k,)
        Ends of the linear pieces, ascending; at least two.
    values : float64 array (k, width)
        What the function is there.
    """

    nodes: NDArray[np.float32]
    values: NDArray[np.float64]


def tabulate(chain: Sequence[Layer], low: float, high: float) -> PiecewiseLinear:
    """Find all pieces of a chain between two numbers.

    Parameters
    ----------
    chain : sequence of Layer
        The first takes one number.
    low, high : float
        Within them the table is the chain, but for rounding; beyond, it says nothing.

    Examples
    --------
    >>> line = tabulate([(np.array([[1.0, -1.0]]), np.array([0.0, 0.5]))], -1.0, 1.0)
    >>> line.nodes.tolist(), line.values.tolist()
    ([-1.0, 0.0, 0.5, 1.0], [[0.0, 1.5], [0.0, 0.5], [0.5, 0.0], [1.0, 0.0]])
    """
    nodes = np.array([low, high], np.float64)
    for depth, (kernel, bias) in enumerate(chain):
        before_relu = _answers(chain[:depth], nodes) @ kernel + bias
        nodes = np.union1d(nodes, _zeros(nodes, before_relu))
    # Rounded before the values are taken, so that what is looked up there is right there.
    rounded = np.unique(nodes.astype(np.float32))
    return PiecewiseLinear(rounded, _answers(chain, rounded.astype(np.float64)))


def thinned(line: PiecewiseLinear, tolerance: float) -> PiecewiseLinear:
    """Leave out nodes, as long as no value changes by more than ``tolerance``.

    From each node that is kept, the next is the farthest to which a straight line will do, so far
    as doubling and halving the stretch finds it.

    Examples
    --------
    >>> nodes, values = np.arange(4, dtype=np.float32), np.array([[0.0], [1.1], [2.0], [9.0]])
    >>> thinned(PiecewiseLinear(nodes, values), 0.2).nodes.tolist()
    [0.0, 2.0, 3.0]
    """
    last, kept = len(line.nodes) - 1, [0]
    while kept[-1] < last:
        kept.append(_farthest(line, kept[-1], tolerance))
    return PiecewiseLinear(line.nodes[kept], line.values[kept])


def _farthest(line: PiecewiseLinear, start: int, tolerance: float) -> int:
    last = len(line.nodes) - 1
    good, bad = start + 1, last + 1
    while good < last and bad > last:
        tried = min(start + 2 * (good - start), last)
        good, bad = (tried, bad) if _is_straight(line, start, tried, tolerance) else (good, tried)
    while bad - good > 1:
        tried = (good + bad) // 2
        good, bad = (tried, bad) if _is_straight(line, start, tried, tolerance) else (good, tried)
    return good


def _is_straight(line: PiecewiseLinear, start: int, end: int, tolerance: float) -> bool:
    """Say whether the values between two nodes are on the line between theirs."""
    nodes, values = line.nodes.astype(np.float64), line.values
    share = (nodes[start + 1 : end] - nodes[start]) / (nodes[end] - nodes[start])
    straight = values[start] + share[:, None] * (values[end] - values[start])
    return bool((np.abs(straight - values[start + 1 : end]) <= tolerance).all())


def _answers(chain: Sequence[Layer], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    values = numbers[:, None]
    for kernel, bias in chain:
        values = np.maximum(values @ kernel + bias, 0.0)
    return values


def _zeros(nodes: NDArray[np.float64], lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find where lines, given at the nodes and straight between, change their sign."""
    piece, unit = np.nonzero(lines[:-1] * lines[1:] < 0.0)
    left, right = lines[piece, unit], lines[piece + 1, unit]
    return np.asarray(nodes[piece] + left / (left - right) * (nodes[piece + 1] - nodes[piece]))
