"""The solid angle that the sources cover, from how many HEALPix pixels hold any.

Pixels no coarser than a partition belong to one partition each, so their number adds up exactly;
the few coarser ones are kept by number, so that the area does not depend on how the sky was split
(this list is the one state that grows with the number of partitions: a few bytes each). Two things
stand between that number and the area, and both are estimated:

*Empty by chance.* N sources thrown on M pixels occupy ``K = M (1 - exp(-N / M))`` of them; this
is solved for M (the occupancy problem; e.g. Feller 1968, "An Introduction to Probability Theory",
vol. 1, section IV.2).

*Half outside.* A pixel on the border is occupied although a part of it is not covered. With f,
the covered part, spread evenly over 0..1, each adds ``e(L)`` of a pixel too much, where L is the
mean number of sources in a whole pixel (see `_border_excess`). The number of border pixels
doubles from one order to the next, so two orders give two equations for area and border.

The coarser of the two is the finest with 8 sources in an occupied pixel or more: one order below
2 to 8 are left, so that neither chance nor the clustering of galaxies empties many pixels.
Holes smaller than a fine pixel (masks of faint stars) count as covered.

*Where it fails.* A few pixels tell little of a border, and sources that were picked (the targets
of a spectroscopic survey) leave gaps at all scales, so that there is no area to be found: the
finer the pixels, the smaller it comes out. Both give NaN, see `FEWEST_PIXELS` and `MOST_SHRINKING`.
"""

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import lambertw

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.cells import distinct
from kidsclf.reduce.context import Context
from kidsclf.reduce.law import Reduction, State
from kidsclf.sky.partition import INDEX_ORDER, Partition

FINEST_ORDER = 15
"""Finest pixels that are counted, 6.4 arcsec wide; `config` allows no finer partition."""

ENOUGH_SOURCES = 8.0
"""Sources in an occupied pixel. Measured on simulated squares of 1 to 100 square degrees, 2,000 to
20,000 sources per square degree and 8,000 or more in all: with 4, clumps of a few sources make the
area up to 14 % too small; with 16 the border is seen too coarsely, up to 5 % wrong; with 8 the
error is 3.2 % at worst with clumps, 2.1 % without."""

FEWEST_PIXELS = 40
"""Occupied pixels at the coarser order, of `ENOUGH_SOURCES` each. Measured on simulated squares:
from 60 pixels the error of sources spread at random is 6 % at worst, with 25 to 40 it is 22 %,
with 10 it is 50 %, and with 1 the estimate may be thousands of square degrees, or negative."""

MOST_SHRINKING = 1.25
"""Largest ratio of the estimate from one order coarser to the estimate itself. Measured: 1.13 or
less at random; up to 1.18 with 4,000 sources or more, half of them in clumps of four 10 arcsec
wide, where the error is 17 % at worst. It is 2.0 for 10,000 spectroscopic targets of SDSS."""

RELATIVE_ERROR = 0.032
"""Of the area: the largest error on simulated squares with 8,000 sources or more, clumped or not,
with or without holes wider than a pixel. Smaller holes are not in it: they count as covered."""

SCHEMA = pa.schema(
    [
        ("area_sq_deg", pa.float64()),
        ("area_error_sq_deg", pa.float64()),
        ("order", pa.int64()),
        ("occupied", pa.int64()),
        ("rows", pa.int64()),
    ]
)


def area(_context: Context) -> Reduction:
    """Ask for the area that the catalogue covers, one row.

    ``order`` and ``occupied`` are those of the coarser pixels used, and ``area_error_sq_deg`` is
    `RELATIVE_ERROR` of the area. Where the sources cannot tell,
    being too few or too unevenly spread, area and error are NaN and the others null.
    """
    return Reduction("area", {}, occupancy_of, merge_occupancy, _finish)


def occupancy_of(block: ScoredBlock) -> State:
    """Count the occupied pixels in a partition, of every order at which it is a pixel or more.

    At coarser orders it shares its pixel with neighbours; its parent is noted instead.
    """
    return block.once("occupancy", lambda: occupancy(block.index29, block.partition))


def occupancy(index29: NDArray[np.int64], partition: Partition) -> State:
    """Count the pixels of a partition that positions, given by their spatial index, occupy."""
    if len(index29) == 0:
        return {}
    pixels = index29 >> (2 * (INDEX_ORDER - FINEST_ORDER))
    occupied = [0] * (FINEST_ORDER + 1)
    for order in range(FINEST_ORDER, partition.order - 1, -1):
        pixels = distinct(pixels)
        occupied[order] = len(pixels)
        pixels = pixels >> 2
    parents = {str(partition.order - 1): [partition.pixel >> 2]} if partition.order else {}
    return {"rows": len(index29), "occupied": occupied, "parents": parents}


def merge_occupancy(left: State, right: State) -> State:
    """Add the pixels of disjoint partitions, and unite the parents."""
    if not left or not right:
        return left or right
    pairs = zip(left["occupied"], right["occupied"], strict=True)
    orders = sorted({*left["parents"], *right["parents"]}, key=int)
    return {
        "rows": left["rows"] + right["rows"],
        "occupied": [one + other for one, other in pairs],
        "parents": {
            order: sorted({*left["parents"].get(order, ()), *right["parents"].get(order, ())})
            for order in orders
        },
    }


def area_sq_deg(state: State) -> float:
    """Estimate the area from the occupancy; NaN where the sources cannot tell."""
    return math.nan if not state else _measured(state["rows"], _occupied(state))[1]


def _measured(rows: int, occupied: list[int]) -> tuple[int | None, float]:
    """Give the order used and the area; None and NaN where the sources cannot tell."""
    order = _best_order(rows, occupied)
    if order is not None:
        here, coarser = (_estimate(rows, occupied, each) for each in (order, order - 1))
        if here > 0.0 and coarser <= MOST_SHRINKING * here:
            return order, here
    return None, math.nan


def _estimate(rows: int, occupied: list[int], order: int) -> float:
    """Solve two adjacent orders, of which ``order`` is the coarser, for the area (sq. deg.)."""
    coarse, fine = _pixels(rows, occupied[order]), _pixels(rows, occupied[order + 1])
    excess, fine_excess = _border_excess(rows / coarse), _border_excess(rows / fine)
    # In coarse pixels: coarse = area + excess * border, fine / 4 = area + fine_excess * border / 2
    border = (coarse - fine / 4) / (excess - fine_excess / 2)
    pixels = fine / 4 - max(border, 0.0) * fine_excess / 2
    return pixels * Partition(order, 0).area_sq_deg


def _occupied(state: State) -> list[int]:
    """Count the occupied pixels of every order, shared ones once."""
    shared: NDArray[np.int64] = np.empty(0, np.int64)
    occupied: list[int] = list(state["occupied"])
    for order in range(FINEST_ORDER - 1, -1, -1):
        parents = np.array(state["parents"].get(str(order), ()), np.int64)
        shared = np.unique(np.concatenate([shared >> 2, parents]))
        occupied[order] += len(shared)
    return occupied


def _best_order(rows: int, occupied: list[int]) -> int | None:
    """Pick the coarser of two adjacent orders; None where it has too few pixels."""
    crowded = (
        order
        for order in range(FINEST_ORDER)
        if rows / occupied[order] >= ENOUGH_SOURCES and rows > occupied[order + 1]
    )
    best = max(crowded, default=0)
    return best if occupied[best] >= FEWEST_PIXELS else None


def _pixels(rows: int, occupied: int) -> float:
    """Solve ``occupied = M (1 - exp(-rows / M))`` for M, with Lambert's W (principal branch)."""
    mean = rows / occupied
    return rows / float((mean + lambertw(-mean * math.exp(-mean))).real)


def _border_excess(mean: float) -> float:
    """Give the mean overestimate of a border pixel, in pixels; 1/6 (sparse) to 1/2 (crowded).

    A pixel of which f is covered adds ``1 - exp(-L f)`` to the occupied and ``L f`` to the rows.
    To first order the solution M grows by ``(1 - exp(-L f) - exp(-L) L f) / (1 - exp(-L) (1+L))``
    instead of f; averaged over f.
    """
    empty = math.exp(-mean)
    grown = 1.0 + math.expm1(-mean) / mean - empty * mean / 2.0
    return float(grown / (1.0 - empty * (1.0 + mean)) - 0.5)


def _finish(state: State, _context: Context) -> pa.Table:
    if not state:
        return SCHEMA.empty_table()
    occupied = _occupied(state)
    order, sky = _measured(state["rows"], occupied)
    row = {
        "area_sq_deg": sky,
        "area_error_sq_deg": RELATIVE_ERROR * sky,
        "order": order,
        "occupied": None if order is None else occupied[order],
        "rows": state["rows"],
    }
    return pa.Table.from_pylist([row], schema=SCHEMA)
