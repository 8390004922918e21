"""Where on the sky the sources are, in HEALPix cells whose size follows the survey's.

The state must not grow with the survey, so cells are made coarser until there are few enough.
The order that is reached is the finest at which all sources together fit; a part of them never
needs a coarser one than the whole, so the result does not depend on what was merged first.
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import Context
from kidsclf.reduce.law import Reduction, State, fixed_point
from kidsclf.sky.partition import INDEX_ORDER

FINEST_ORDER = 10
"""Cells of 0.05 square degrees: a field of one square degree still has some twenty."""

MOST_CELLS = 3000
"""More would neither be seen on a map nor fit a state of kilobytes."""

_FIRST_CLASS = 4
"""A cell is [count, x, y, z, count of each class...], x, y, z in fixed point."""

Cells = dict[str, list[int]]


def sky(context: Context) -> Reduction:
    """Ask for a map of counts: all sources, and those of each predicted class.

    ``ra`` and ``dec`` (degrees, ICRS) are the mean direction of the sources in the cell, which
    lies inside the survey even where the cell's centre does not. Pixels are NESTED; one column
    per class, its name in lower case.
    """
    return Reduction("sky", {}, partial(_local, context=context), _merge, _finish)


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
    pixels, place = np.unique(
        block.index29 >> (2 * (INDEX_ORDER - FINEST_ORDER)), return_inverse=True
    )
    summed = np.zeros((len(pixels), len(columns)), np.int64)
    np.add.at(summed, place, np.stack(columns, axis=1))
    return _bounded(FINEST_ORDER, pixels, summed)


def _bounded(order: int, pixels: NDArray[np.int64], summed: NDArray[np.int64]) -> State:
    """Coarsen until there are few enough cells."""
    while len(pixels) > MOST_CELLS:
        order -= 1
        pixels, summed = _added(pixels >> 2, summed)
    cells: Cells = {
        str(pixel): row for pixel, row in zip(pixels.tolist(), summed.tolist(), strict=True)
    }
    return {"order": order, "cells": cells}


def _added(
    pixels: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add up the rows of equal pixels."""
    unique, place = np.unique(pixels, return_inverse=True)
    summed = np.zeros((len(unique), rows.shape[1]), np.int64)
    np.add.at(summed, place, rows)
    return unique, summed


def _merge(left: State, right: State) -> State:
    if not left or not right:
        return left or right
    order = min(left["order"], right["order"])
    pixels, rows = [], []
    for state in (left, right):
        shift = 2 * (state["order"] - order)
        pixels.append(np.array([int(pixel) for pixel in state["cells"]], np.int64) >> shift)
        rows.append(np.array(list(state["cells"].values()), np.int64))
    return _bounded(order, *_added(np.concatenate(pixels), np.concatenate(rows)))


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
