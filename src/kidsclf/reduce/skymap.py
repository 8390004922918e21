"""Where on the sky the sources are, how deep, and what failed, in HEALPix cells.

The size of a cell follows the survey's.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.cells import cell_state, merge_cells
from kidsclf.reduce.context import Context
from kidsclf.reduce.law import FIXED_POINT, Reduction, State, fixed_point
from kidsclf.schema import ScoreFlag
from kidsclf.sky.partition import INDEX_ORDER

FINEST_ORDER = 10
"""Cells of 0.003 square degrees: a field of a tenth of a square degree still has some thirty."""

MOST_CELLS = 3000
"""More would neither be seen on a map nor fit a state of kilobytes."""

DEPTH_ERRORS = (0.02, 0.5)
"""Magnitude errors of sources that tell the depth: those of brighter ones are the calibration's."""

FAILED = (
    ScoreFlag.CUTOUT_EDGE | ScoreFlag.CUTOUT_MASKED | ScoreFlag.CUTOUT_MISSING
    | ScoreFlag.CUTOUT_BAD_PIXEL | ScoreFlag.MISSING_BAND
)  # fmt: skip
"""Flags that tell of what the network could not see."""

_FIRST_CLASS = 8
"""A cell is [count, x, y, z, sources that tell the depth, sum of what they tell, unclassified,
flagged, count of each class...]; x, y, z and the sum in fixed point."""


def sky(context: Context) -> Reduction:
    """Ask for a map of counts: all sources, and those of each predicted class.

    ``ra`` and ``dec`` (degrees, ICRS) are the mean direction of the sources in the cell, which
    lies inside the survey even where the cell's centre does not. Pixels are NESTED; one column
    per class, its name in lower case. ``depth`` is the magnitude of 5 sigma, the mean of what each
    source says whose error sigma is within `DEPTH_ERRORS`, m + 2.5 log10(1.0857 / (5 sigma)); NaN
    where none is. ``unclassified`` counts sources without a class, ``flagged`` those with any of
    `FAILED`.
    """
    merge = partial(merge_cells, most=MOST_CELLS)
    return Reduction("sky", {}, partial(_local, context=context), merge, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    if len(block) == 0:
        return {}
    ra, dec = np.radians(block.ra), np.radians(block.dec)
    columns = [np.ones(len(block), np.int64)]
    across = np.cos(dec)
    columns += [
        fixed_point(axis) for axis in (across * np.cos(ra), across * np.sin(ra), np.sin(dec))
    ]
    columns += [*_depth(block), (block.scores.codes < 0).astype(np.int64)]
    columns.append(((block.flags & FAILED) != 0).astype(np.int64))
    columns += [
        (block.scores.codes == code).astype(np.int64) for code in range(len(context.classes))
    ]
    pixels = block.index29 >> (2 * (INDEX_ORDER - FINEST_ORDER))
    return cell_state(FINEST_ORDER, pixels, np.stack(columns, axis=1), MOST_CELLS)


def _depth(block: ScoredBlock) -> Iterator[NDArray[np.int64]]:
    """Give 1 where a source tells the depth, and the depth that it tells, in fixed point."""
    if block.reference_error is None:
        yield from (np.zeros(len(block), np.int64),) * 2
        return
    error = block.reference_error.astype(np.float64)
    low, high = DEPTH_ERRORS
    tells = (error > low) & (error < high) & np.isfinite(block.reference_magnitude)
    signal = 2.5 / np.log(10) / np.where(tells, error, 1.0)
    depth = block.reference_magnitude + 2.5 * np.log10(signal / 5)
    yield tells.astype(np.int64)
    yield fixed_point(np.where(tells, depth, 0.0))


def _finish(state: State, context: Context) -> pa.Table:
    names = [name.lower() for name in context.classes]
    fields: list[tuple[str, Any]] = [("order", pa.int64()), ("pixel", pa.int64())]
    fields += [("ra", pa.float64()), ("dec", pa.float64()), ("count", pa.int64())]
    fields += [("depth", pa.float64()), ("unclassified", pa.int64()), ("flagged", pa.int64())]
    fields += [(name, pa.int64()) for name in names]
    rows: list[dict[str, Any]] = []
    for pixel, cell in sorted((int(k), row) for k, row in state.get("cells", {}).items()):
        x, y, z, tell, depth = cell[1:6]
        row = {
            "order": state["order"],
            "pixel": pixel,
            "ra": float(np.degrees(np.arctan2(y, x)) % 360.0),
            "dec": float(np.degrees(np.arctan2(z, np.hypot(x, y)))),
            "count": cell[0],
            "depth": depth / FIXED_POINT / tell if tell else float("nan"),
            "unclassified": cell[6],
            "flagged": cell[7],
        }
        rows.append(row | dict(zip(names, cell[_FIRST_CLASS:], strict=True)))
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))
