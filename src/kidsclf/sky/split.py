"""Split the sky where it is crowded: no partition holds more than a given number of rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import PlanError
from kidsclf.sky.partition import INDEX_ORDER, Partition

_PIXELS_AT_ONCE = 4_000_000
"""Of this many pixels counts are sorted at once: 64 MB."""


@dataclass(frozen=True)
class PixelCounts:
    """How many rows pixels of one order hold; pixels ascending, NESTED.

    A pixel of 0 rows holds none of its own, but rows within a margin of it.
    """

    order: int
    pixels: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of_indices(cls, index: NDArray[np.int64], order: int) -> "PixelCounts":
        """Count order-29 indices by pixel of a coarser order."""
        pixels = np.sort(index >> (2 * (INDEX_ORDER - order)), kind="stable")
        starts = run_starts(pixels)
        return cls(order, pixels[starts], np.diff(starts, append=len(pixels)))

    @classmethod
    def merge(cls, parts: Iterable["PixelCounts"], order: int) -> "PixelCounts":
        """Add counts of the same order; the sum of none is empty.

        Parts are added up as they come, and their sum once as many pixels as it has have come anew:
        neither memory nor time grows with the number of parts times the size of the sky.
        """
        total = cls(order, np.empty(0, np.int64), np.empty(0, np.int64))
        waiting: list[PixelCounts] = []
        held = 0
        for part in parts:
            waiting.append(part)
            held += len(part.pixels)
            if held > max(_PIXELS_AT_ONCE, len(total.pixels)):
                total, waiting, held = cls._added([total, *waiting], order), [], 0
        return cls._added([total, *waiting], order)

    @classmethod
    def _added(cls, parts: Sequence["PixelCounts"], order: int) -> "PixelCounts":
        pixels = np.concatenate([part.pixels for part in parts])
        by_pixel = np.argsort(pixels, kind="stable")
        rows = np.concatenate([part.rows for part in parts])[by_pixel]
        return cls._summed(order, pixels[by_pixel], rows)

    @classmethod
    def _summed(
        cls, order: int, pixels: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> "PixelCounts":
        starts = run_starts(pixels)
        return cls(order, pixels[starts], np.add.reduceat(rows, starts) if len(rows) else rows)

    def coarsened(self, order: int) -> "PixelCounts":
        """Add up the pixels of a coarser (or the same) order."""
        if order > self.order:
            raise ValueError(f"counts of order {self.order} cannot be refined to {order}")
        return self._summed(order, self.pixels >> (2 * (self.order - order)), self.rows)


def run_starts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say where each run of equal values begins.

    >>> run_starts(np.array([3, 3, 5, 7, 7])).tolist()
    [0, 2, 3]
    """
    return np.flatnonzero(np.diff(values, prepend=values[:1] - 1)).astype(np.int64)


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
