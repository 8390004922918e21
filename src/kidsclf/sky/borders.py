"""Rows that lie so close to a pixel's border that the pixel on the other side must see them too."""

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import PlanError
from kidsclf.sky import healpix
from kidsclf.sky.margin import margin_order
from kidsclf.sky.partition import INDEX_ORDER

_ODD_BITS = 0x5555555555555555
"""In the NESTED scheme the bits of a pixel's x and y within its base pixel take turns."""


def beyond_borders(
    index: NDArray[np.int64], order: int, margin_arcsec: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List which rows lie within a margin of which pixels other than their own.

    Parameters
    ----------
    index : int64 array (n,)
        Order-29 pixels.
    order : int
        Of the pixels.
    margin_arcsec : float
        Everything within the margin is found; what lies up to a few margins further may be too.

    Returns
    -------
    rows, pixels : int64 arrays (m,)
        Pairs; rows ascending, no pair twice.

    Raises
    ------
    PlanError
        When the pixels are too narrow for the margin, so that rows further away matter.
    """
    fine = check_margin(order, margin_arcsec)
    cells = index >> (2 * (INDEX_ORDER - fine))
    rows = np.flatnonzero(_on_border(cells, fine - order))
    border, place = np.unique(cells[rows], return_inverse=True)
    if len(border) == 0:
        return rows, rows.copy()
    around = healpix.get_all_neighbours(1 << fine, border, nest=True)
    shift = 2 * (fine - order)
    other = np.where((around >= 0) & (around >> shift != border >> shift), around >> shift, -1)
    other.sort(axis=0)
    other[1:][other[1:] == other[:-1]] = -1  # one pixel may be reached in several directions
    reached = other[:, place].T
    which, direction = np.nonzero(reached >= 0)
    return rows[which], reached[which, direction].astype(np.int64)


def check_margin(order: int, margin_arcsec: float) -> int:
    """Make sure that pixels are wider than a margin; give the finest order that is.

    Raises
    ------
    PlanError
    """
    finest = margin_order(margin_arcsec)
    if finest < order:
        raise PlanError(
            f"sources within {margin_arcsec:g} arcsec are to be compared, but pixels of order "
            f"{order} are too narrow for that; lower ingest.max_order to {finest}, or the radius"
        )
    return finest


def _on_border(cells: NDArray[np.int64], levels: int) -> NDArray[np.bool_]:
    """Say which cells lie at the border of the pixel ``levels`` orders above them."""
    inside = (1 << (2 * levels)) - 1
    found = np.zeros(len(cells), np.bool_)
    for axis in (_ODD_BITS & inside, (_ODD_BITS << 1) & inside):
        along = cells & axis
        found |= (along == 0) | (along == axis)
    return found
