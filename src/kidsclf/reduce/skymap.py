"""Where on the sky the sources are, in HEALPix cells whose size follows the survey's."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.cells import cell_state, merge_cells
from kidsclf.reduce.context import Context
from kidsclf.reduce.law import Reduction, State, fixed_point
from kidsclf.sky.partition import INDEX_ORDER

FINEST_ORDER = 10
"""Cells of 0.003 square degrees: a field of a tenth of a square degree still has some thirty."""

MOST_CELLS = 3000
"""More would neither be seen on a map nor fit a state of kilobytes."""

_FIRST_CLASS = 4
"""A cell is [count, x, y, z, count of each class...], x, y, z in fixed point."""


def sky(context: Context) -> Reduction:
    """Ask for a map of counts: all sources, and those of each predicted class.

    ``ra`` and ``dec`` (degrees, ICRS) are the mean direction of the sources in the cell, which
    lies inside the survey even where the cell's centre does not. Pixels are NESTED; one column
    per class, its name in lower case.
    """
    merge = partial(merge_cells, most=MOST_CELLS)
    return Reduction("sky", {}, partial(_local, context=context), merge, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    if len(block) == 0:
        return {}
    ra, dec = np.radians(block.ra), np.radians(block.dec)
    columns = [np.ones(len(block), np.int64)]
    columns += [
        fixed_point(axis)
        for axis in (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec))
    ]
    columns += [
        (block.scores.codes == code).astype(np.int64) for code in range(len(context.classes))
    ]
    pixels = block.index29 >> (2 * (INDEX_ORDER - FINEST_ORDER))
    return cell_state(FINEST_ORDER, pixels, np.stack(columns, axis=1), MOST_CELLS)


def _finish(state: State, context: Context) -> pa.Table:
    names = [name.lower() for name in context.classes]
    fields: list[tuple[str, Any]] = [("order", pa.int64()), ("pixel", pa.int64())]
    fields += [("ra", pa.float64()), ("dec", pa.float64()), ("count", pa.int64())]
    fields += [(name, pa.int64()) for name in names]
    rows: list[dict[str, Any]] = []
    for pixel, cell in sorted((int(k), row) for k, row in state.get("cells", {}).items()):
        x, y, z = cell[1:_FIRST_CLASS]
        row = {
            "order": state["order"],
            "pixel": pixel,
            "ra": float(np.degrees(np.arctan2(y, x)) % 360.0),
            "dec": float(np.degrees(np.arctan2(z, np.hypot(x, y)))),
            "count": cell[0],
        }
        rows.append(row | dict(zip(names, cell[_FIRST_CLASS:], strict=True)))
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))
