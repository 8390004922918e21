"""Split the sky where it is crowded: no partition holds more than a given number of rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import PlanError
from kidsclf.sky.partition import INDEX_ORDER, Partition


@dataclass(frozen=True)
class PixelCounts:
    """How many rows each occupied pixel of one order holds; pixels ascending, NESTED."""

    order: int
    pixels: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of_indices(cls, index: NDArray[np.int64], order: int) -> "PixelCounts":
        """Count order-29 indices by pixel of a coarser order."""
        pixels, rows = np.unique(index >> (2 * (INDEX_ORDER - order)), return_counts=True)
        return cls(order, pixels.astype(np.int64), rows.astype(np.int64))

    @classmethod
    def merge(cls, parts: Sequence["PixelCounts"], order: int) -> "PixelCounts":
        """Add counts of the same order; the sum of none is empty."""
        if not parts:
            return cls(order, np.empty(0, np.int64), np.empty(0, np.int64))
        pixels = np.concatenate([part.pixels for part in parts])
        rows = np.concatenate([part.rows for part in parts])
        unique, place = np.unique(pixels, return_inverse=True)
        total = np.zeros(len(unique), np.int64)
        np.add.at(total, place, rows)
        return cls(order, unique, total)

    def coarsened(self, order: int) -> "PixelCounts":
        """Add up the pixels of a coarser (or the same) order."""
        if order > self.order:
            raise ValueError(f"counts of order {self.order} cannot be refined to {order}")
        pixels, place = np.unique(self.pixels >> (2 * (self.order - order)), return_inverse=True)
        rows = np.zeros(len(pixels), np.int64)
        np.add.at(rows, place, self.rows)
        return PixelCounts(order, pixels, rows)


def split_sky(counts: PixelCounts, max_rows: int) -> tuple[tuple[Partition, int], ...]:
    """Divide pixels until none holds more than ``max_rows`` rows.

    Parameters
    ----------
    counts : PixelCounts
        At the finest order that a partition may have.
    max_rows : int

    Returns
    -------
    tuple of (Partition, rows)
        Disjoint, occupied, in the order of the spatial index.

    Raises
    ------
    PlanError
        When one pixel of the finest order holds more than ``max_rows``.

    Examples
    --------
    >>> counts = PixelCounts(1, np.array([0, 1, 5]), np.array([4, 3, 2]))
    >>> [(p.label, n) for p, n in split_sky(counts, 5)]
    [('1/0', 4), ('1/1', 3), ('0/1', 2)]
    """
    summed = np.concatenate([[0], np.cumsum(counts.rows)])
    found: list[tuple[Partition, int]] = []
    waiting = [Partition(0, pixel) for pixel in range(11, -1, -1)]
    while waiting:
        partition = waiting.pop()
        shift = 2 * (counts.order - partition.order)
        first = np.searchsorted(counts.pixels, partition.pixel << shift)
        last = np.searchsorted(counts.pixels, (partition.pixel + 1) << shift)
        rows = int(summed[last] - summed[first])
        if rows == 0:
            continue
        if rows <= max_rows:
            found.append((partition, rows))
        elif partition.order == counts.order:
            raise PlanError(
                f"ingest.max_rows = {max_rows} cannot be kept: HEALPix pixel {partition.label} "
                f"holds {rows} rows; raise ingest.max_rows or ingest.max_order"
            )
        else:
            children = [
                Partition(partition.order + 1, partition.pixel * 4 + k) for k in (3, 2, 1, 0)
            ]
            waiting.extend(children)
    return tuple(found)
