"""Where the classes lie in a colour-colour diagram (Feng et al., figure 7), as a 2-D histogram."""

from functools import partial

import numpy as np
import pyarrow as pa

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import Context
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.planes import Axis, cell_numbers, count_cells, plane_rows
from kidsclf.schema import ScoreFlag

AXES = (Axis(-1.0, 0.05, 80), Axis(-1.0, 0.05, 80))
"""Both colours run from -1 to 3 mag in cells of 0.05 mag: what Feng's figure 7 shows."""

_PARTS = {"within": False, "beyond": True}

SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("class", pa.string()),
        ("extrapolated", pa.bool_()),
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
    or far outside the diagram, have none. A survey that lacks a band gets no row at all. Sources
    flagged as extrapolated are counted by themselves, as Feng et al. part r <= 22 from the rest.
    """
    return Reduction("colour_colour", {}, partial(_local, context=context), add_states, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    if not {band for pair in context.colours for band in pair} <= set(block.bands):
        return {}
    x, y = (
        block.magnitude(blue).astype(np.float64) - block.magnitude(red)
        for blue, red in context.colours
    )
    cells, beyond = cell_numbers(x, y, AXES), (block.flags & ScoreFlag.EXTRAPOLATED) != 0
    return {
        name: count_cells(np.where(beyond == part, cells, -1), block, context)
        for name, part in _PARTS.items()
    }


def _finish(state: State, context: Context) -> pa.Table:
    x_colour, y_colour = ("-".join(pair) for pair in context.colours)
    named = {"x_colour": x_colour, "y_colour": y_colour}
    rows = [
        row | named | {"extrapolated": part}
        for name, part in _PARTS.items()
        for row in plane_rows(state.get(name, {}), AXES, context)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
