"""Where the classes lie in a plane of two numbers: a 2-D histogram of few bytes.

Only cells that hold a source are kept. The sample "catalogue" has all sources by predicted class;
every labelled sample has its own by true class.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.law import State
from kidsclf.reduce.metrics import count_each

CATALOGUE = "catalogue"
"""Sample name of all scored sources, by predicted class."""


@dataclass(frozen=True)
class Axis:
    """Cells along one side of a plane: ``low`` to ``low + cells * step``."""

    low: float
    step: float
    cells: int

    def edge(self, cell: int) -> float:
        """Give the lower edge of a cell.

        >>> Axis(-1.0, 0.05, 80).edge(3)
        -0.85
        """
        return round(self.low + self.step * cell, 9)


Axes = tuple[Axis, Axis]


def cell_numbers(
    x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]], axes: Axes
) -> NDArray[np.int64]:
    """Number the cell of each source, (n,); -1 where it lies in none or a value is NaN.

    >>> cell_numbers(np.array([0.5, 9.0]), np.array([1.5, 0.0]), (Axis(0, 1, 2), Axis(0, 1, 3)))
    array([ 1, -1])
    """
    number = np.zeros(len(x), np.int64)
    inside = np.ones(len(x), bool)
    for values, axis in zip((x, y), axes, strict=True):
        place = np.floor((values.astype(np.float64) - axis.low) / axis.step)
        here = (place >= 0) & (place < axis.cells)  # False for NaN
        number = number * axis.cells + np.where(here, place, 0).astype(np.int64)
        inside &= here
    return np.where(inside, number, -1)


def count_cells(cells: NDArray[np.int64], block: ScoredBlock, context: Context) -> State:
    """Count the sources of each sample and class in each cell: ``{sample: {class: {cell: n}}}``."""
    samples = {CATALOGUE: block.scores.codes}
    samples |= {sample: label.codes for sample, label in block.labels.items()}
    state: State = {}
    for sample, codes in samples.items():
        for code, name in enumerate(context.classes):
            counted = count_each(cells[codes == code])
            if counted:
                state.setdefault(sample, {})[name] = counted
    return state


def plane_rows(state: State, axes: Axes, context: Context) -> Iterator[dict[str, Any]]:
    """List the cells that hold a source: sample, class, edges and count, in a fixed order."""
    x_axis, y_axis = axes
    order = [CATALOGUE, *ordered_samples(set(state) - {CATALOGUE}, context)]
    for sample in (name for name in order if name in state):
        for name in (name for name in context.classes if name in state[sample]):
            for cell, count in sorted((int(k), n) for k, n in state[sample][name].items()):
                x, y = divmod(cell, y_axis.cells)
                yield {
                    "sample": sample,
                    "class": name,
                    "x_low": x_axis.edge(x),
                    "x_high": x_axis.edge(x + 1),
                    "y_low": y_axis.edge(y),
                    "y_high": y_axis.edge(y + 1),
                    "count": count,
                }
