"""Where the classes lie by their shapes: size and magnitude, Gini and M20, as 2-D histograms."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import Context
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.planes import Axes, Axis, cell_numbers, count_cells, plane_rows

Values = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Plane:
    """Two numbers of a source, and the columns of its shape that they are made of."""

    name: str
    columns: tuple[str, ...]
    values: Callable[[ScoredBlock], Values]
    axes: Axes


def _size_magnitude(block: ScoredBlock) -> Values:
    radius = block.shapes["half_light_radius"]
    known = np.where(radius > 0, radius, np.nan).astype(np.float64)
    return block.reference_magnitude, np.log10(known)


def _gini_m20(block: ScoredBlock) -> Values:
    return block.shapes["m20"], block.shapes["gini"]


PLANES = (
    Plane(
        "size_magnitude",
        ("half_light_radius",),
        _size_magnitude,
        (Axis(14.0, 0.1, 110), Axis(-0.8, 0.02, 80)),
    ),
    Plane("gini_m20", ("gini", "m20"), _gini_m20, (Axis(-3.0, 0.04, 75), Axis(0.2, 0.01, 60))),
)
"""Feng et al., figure 8 (log10 of the half-light radius in arcsec against magnitude), and the plane
of Lotz, Primack & Madau (2004, AJ 128, 163)."""

SHAPES = tuple(name for plane in PLANES for name in plane.columns)
"""Columns of shapes that are looked at."""

SCHEMA = pa.schema(
    [
        ("plane", pa.string()),
        ("sample", pa.string()),
        ("class", pa.string()),
        ("x_low", pa.float64()),
        ("x_high", pa.float64()),
        ("y_low", pa.float64()),
        ("y_high", pa.float64()),
        ("count", pa.int64()),
    ]
)


def morphology(context: Context) -> Reduction:
    """Ask for the density of each class in the planes of shapes.

    Samples and cells are as in ``colour_colour``. A plane whose columns were not measured has no
    row; a source with a number that was withheld, or outside the plane, is in no cell.
    """
    return Reduction("morphology", {}, partial(_local, context=context), add_states, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    return {
        plane.name: count_cells(cell_numbers(*plane.values(block), plane.axes), block, context)
        for plane in PLANES
        if block.shapes.keys() >= set(plane.columns)
    }


def _finish(state: State, context: Context) -> pa.Table:
    rows = [
        {"plane": plane.name} | row
        for plane in PLANES
        for row in plane_rows(state.get(plane.name, {}), plane.axes, context)
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
