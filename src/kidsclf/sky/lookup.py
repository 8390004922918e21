"""Which of many things lie where: found by bisection, so that a look costs the same on any sky."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.sky.margin import Stretches, distinct
from kidsclf.sky.partition import INDEX_ORDER, Partition
from kidsclf.sky.split import PixelCounts


@dataclass(frozen=True)
class SkyIndex:
    """Pixels in the order of the spatial index, each with the number of the thing it belongs to.

    Attributes
    ----------
    firsts, stops : int64 arrays (pixels,)
        First order-29 pixel and one past the last, both ascending: pixels are disjoint or equal.
    owners : int64 array (pixels,)
    """

    firsts: NDArray[np.int64]
    stops: NDArray[np.int64]
    owners: NDArray[np.int64]

    @classmethod
    def of_partitions(cls, partitions: Sequence[Partition]) -> "SkyIndex":
        """Look up disjoint partitions by their place in a sequence."""
        firsts = np.array([each.first_index for each in partitions], np.int64)
        stops = np.array([each.last_index for each in partitions], np.int64)
        order = np.argsort(firsts)
        return cls(firsts[order], stops[order], order)

    @classmethod
    def of_counts(cls, counts: Sequence[PixelCounts]) -> "SkyIndex":
        """Look up tables, by their place in a sequence, where they hold rows; all of one order."""
        if not counts:
            nothing = np.empty(0, np.int64)
            return cls(nothing, nothing, nothing)
        shift = 2 * (INDEX_ORDER - counts[0].order)
        pixels = np.concatenate([each.pixels for each in counts])
        owners = np.repeat(np.arange(len(counts)), [len(each.pixels) for each in counts])
        order = np.argsort(pixels, kind="stable")
        firsts = pixels[order] << shift
        return cls(firsts, firsts + (1 << shift), owners[order])

    def touching(self, stretches: Stretches) -> tuple[int, ...]:
        """List the owners of pixels that some stretches of the spatial index touch, ascending.

        >>> sky = SkyIndex.of_partitions([Partition(0, 1), Partition(1, 0), Partition(1, 3)])
        >>> sky.touching(np.array([[0, 1], [1 << 58, 3 << 57]]))
        (0, 1)
        """
        starts = np.searchsorted(self.stops, stretches[:, 0], side="right")
        hits = np.searchsorted(self.firsts, stretches[:, 1], side="left") - starts
        begun = np.cumsum(hits) - hits
        rows = np.repeat(starts - begun, hits) + np.arange(hits.sum())
        return tuple(distinct(self.owners[rows]).tolist())
