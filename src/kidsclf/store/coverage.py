"""The sky that a catalogue covers, as a multi-order coverage map (IVOA MOC 2.0)."""

import numpy as np

from kidsclf.places import Place
from kidsclf.sky.split import PixelCounts
from kidsclf.store.publish import published_file

FINEST_ORDER = 11
"""Pixels of 1.7 arcmin: of the whole sky they are 50 million."""


def coverage_order(counts: PixelCounts, enough: float) -> int:
    """Find the finest order whose occupied pixels hold so many sources on average, 0 if none.

    >>> coverage_order(PixelCounts(2, np.array([0, 1, 9]), np.array([8, 8, 2])), 8.0)
    1
    """
    for order in range(counts.order, 0, -1):
        rows = counts.coarsened(order).rows
        if rows.sum() >= enough * len(rows):
            return order
    return 0


def write_coverage(path: Place, counts: PixelCounts, order: int) -> float:
    """Publish the pixels of an order that hold sources as a FITS MOC; return the sky's fraction."""
    from mocpy import MOC  # noqa: PLC0415  (heavy; only the products need it)

    pixels = counts.coarsened(order).pixels
    covered = MOC.from_healpix_cells(
        pixels.astype(np.uint64), np.full(len(pixels), order, np.uint8), max_depth=order
    )
    with published_file(path) as temporary:
        covered.save(temporary, format="fits")
    return float(covered.sky_fraction)
