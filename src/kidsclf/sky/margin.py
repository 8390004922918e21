"""What lies close to a place: matching needs the outermost sources of a partition's neighbours.

What lies near some place is given as stretches of the spatial index, int64 arrays (n, 2) of first
order-29 pixels and one past the last, ascending and disjoint: files are sorted by that index, so a
stretch is what can be read of them.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kidsclf.sky import healpix
from kidsclf.sky.partition import INDEX_ORDER, Partition

Stretches = NDArray[np.int64]

_SAFETY = 4.0
"""A HEALPix pixel's inner width is at least a quarter of the square root of its area."""


@lru_cache
def margin_order(margin_arcsec: float) -> int:
    """Give the finest order whose pixels are nowhere narrower than the margin."""
    least = _SAFETY * margin_arcsec / 60.0
    wide = [k for k in range(INDEX_ORDER + 1) if healpix.nside2resol(1 << k, arcmin=True) >= least]
    return max(wide)


def stretches_around(partition: Partition, margin_arcsec: float, depth: int = 12) -> Stretches:
    """Find the stretches that hold a partition and everything within a margin of it.

    Parameters
    ----------
    partition : Partition
    margin_arcsec : float
        Of any size; it may be wider than the partition.
    depth : int
        The border is followed in pixels as wide as the margin, but at most ``depth`` orders finer
        than the partition: the less, the fewer stretches, with more than is needed.

    Examples
    --------
    >>> stretches_around(Partition(1, 0), 1.0, depth=0) >> 56
    array([[ 0,  1],
           [ 1,  4],
           [17, 18],
           [19, 20],
           [22, 24],
           [35, 36]])
    """
    order = min(margin_order(margin_arcsec), partition.order + depth)
    shift = 2 * (INDEX_ORDER - order)
    if order < partition.order:
        return stretches_of_pixels(
            _with_neighbours(order, np.array([partition.first_index >> shift])), shift
        )
    ring = _with_neighbours(order, _border(partition, order))
    beyond = ring[~partition.contains(ring << shift)]
    own = np.array([[partition.first_index, partition.last_index]])
    stretches = np.concatenate([stretches_of_pixels(beyond, shift), own])
    return stretches[np.argsort(stretches[:, 0])]


def _border(partition: Partition, order: int) -> NDArray[np.int64]:
    """List the pixels of a finer (or the same) order along the inside of a partition's border."""
    levels = order - partition.order
    along = np.arange(1 << levels)
    # In the NESTED scheme the bits of x and y take turns.
    x = np.zeros(len(along), np.int64)
    for bit in range(levels):
        x |= ((along >> bit) & 1) << (2 * bit)
    y, last = x << 1, x[-1]
    return (partition.pixel << (2 * levels)) + np.concatenate([x, x | (last << 1), y, y | last])


def stretches_near(
    index: NDArray[np.int64], margin_arcsec: float, finest: int = INDEX_ORDER
) -> Stretches:
    """Find the stretches that hold everything within a margin of some order-29 pixels.

    They are of pixels as wide as the margin, or of order ``finest`` where that is coarser.
    """
    shift = 2 * (INDEX_ORDER - min(margin_order(margin_arcsec), finest))
    return stretches_of_pixels(_with_neighbours(INDEX_ORDER - shift // 2, index >> shift), shift)


def within(index: NDArray[np.int64], stretches: Stretches) -> NDArray[np.bool_]:
    """Say which order-29 pixels lie in one of some stretches.

    >>> within(np.array([0, 4, 5, 9]), np.array([[0, 2], [5, 6]])).tolist()
    [True, False, True, False]
    """
    place = np.searchsorted(stretches[:, 0], index, side="right") - 1
    if len(stretches) == 0:
        return np.zeros(len(index), np.bool_)
    return np.asarray((place >= 0) & (index < stretches[place, 1]))


def _with_neighbours(order: int, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add to some pixels those that touch them, ascending."""
    pixels = distinct(pixels)
    if len(pixels) == 0:
        return pixels
    around = healpix.get_all_neighbours(1 << order, pixels, nest=True)
    return distinct(np.append(around[around >= 0], pixels))


def stretches_of_pixels(pixels: NDArray[np.int64], shift: int) -> Stretches:
    """Join ascending pixels that follow each other; ``shift`` bits finer is the spatial index."""
    starts = np.flatnonzero(np.diff(pixels, prepend=-2) > 1)
    ends = np.append(starts[1:], len(pixels))[: len(starts)]
    stretches = np.stack([pixels[starts], pixels[ends - 1] + 1], axis=1)
    return np.asarray(stretches << shift, np.int64)


def distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort integers and drop repeated ones; ``np.unique`` hashes, which takes 40 times longer."""
    values = np.sort(values)
    new = np.ones(len(values), np.bool_)
    new[1:] = values[1:] != values[:-1]
    return values[new]
