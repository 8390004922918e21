"""Where the classes lie in a colour-colour diagram (Feng et al., figure 7), as a 2-D histogram."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.law import Reduction, State, add_states

CATALOGUE = "catalogue"
"""Sample name of all scored sources, by predicted class."""

LOW, STEP, CELLS = -1.0, 0.05, 80
"""Both colours run from -1 to 3 mag in cells of 0.05 mag: what Feng's figure 7 shows."""

SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("class", pa.string()),
        ("x_colour", pa.string()),
        ("y_colour", pa.string()),
        ("x_low", pa.float64()),
        ("x_high", pa.float64()),
        ("y_low", pa.float64()),
        ("y_high", pa.float64()),
        ("count", pa.int64()),
    ]
)


def colour_colour(context: Context) -> Reduction:
    """Ask for the density of each class in the plane of two colours.

    The sample "catalogue" has all sources by predicted class; every labelled sample has its own
    by true class. Only cells that hold a source have a row; sources without one of the colours,
    or far outside the diagram, have none. A survey that lacks a band gets no row at all.
    """
    return Reduction("colour_colour", {}, partial(_local, context=context), add_states, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    if not {band for pair in context.colours for band in pair} <= set(block.bands):
        return {}
    cells = _cells(block, context)
    samples = {CATALOGUE: block.scores.codes}
    samples |= {sample: label.codes for sample, label in block.labels.items()}
    state: State = {}
    for sample, codes in samples.items():
        for code, name in enumerate(context.classes):
            filled, counts = np.unique(cells[(codes == code) & (cells >= 0)], return_counts=True)
            if len(filled):
                pairs = zip(filled.tolist(), counts.tolist(), strict=True)
                state.setdefault(sample, {})[name] = {str(cell): n for cell, n in pairs}
    return state


def _cells(block: ScoredBlock, context: Context) -> NDArray[np.int64]:
    """Number the cell of each source, (n,); -1 where it lies in none."""
    number = np.zeros(len(block), np.int64)
    inside = np.ones(len(block), bool)
    for blue, red in context.colours:
        first, second = block.bands.index(blue), block.bands.index(red)
        magnitudes = block.magnitudes.astype(np.float64)
        place = np.floor((magnitudes[:, first] - magnitudes[:, second] - LOW) / STEP)
        here = (place >= 0) & (place < CELLS)  # False for NaN
        number = number * CELLS + np.where(here, place, 0).astype(np.int64)
        inside &= here
    return np.where(inside, number, -1)


def _finish(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    x_colour, y_colour = ("-".join(pair) for pair in context.colours)
    order = [CATALOGUE, *ordered_samples(set(state) - {CATALOGUE}, context)]
    for sample in (name for name in order if name in state):
        for name in (name for name in context.classes if name in state[sample]):
            for cell, count in sorted((int(k), n) for k, n in state[sample][name].items()):
                x, y = divmod(cell, CELLS)
                rows.append(
                    {
                        "sample": sample,
                        "class": name,
                        "x_colour": x_colour,
                        "y_colour": y_colour,
                        "x_low": _edge(x),
                        "x_high": _edge(x + 1),
                        "y_low": _edge(y),
                        "y_high": _edge(y + 1),
                        "count": count,
                    }
                )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _edge(cell: int) -> float:
    return round(LOW + STEP * cell, 9)
