"""Who lies close to a partition's border: matching needs its neighbours' outermost sources."""

from collections.abc import Sequence

import healpy
import numpy as np
from numpy.typing import NDArray

from kidsclf.sky.partition import INDEX_ORDER, Partition

_SAFETY = 4.0
"""A HEALPix pixel's inner width is at least a quarter of the square root of its area."""


def margin_order(margin_arcsec: float) -> int:
    """Give the finest order whose pixels are nowhere narrower than the margin."""
    least = _SAFETY * margin_arcsec / 60.0
    wide = [k for k in range(INDEX_ORDER + 1) if healpy.nside2resol(1 << k, arcmin=True) >= least]
    return max(wide)


def near_partition(
    partition: Partition, index: NDArray[np.int64], margin_arcsec: float
) -> NDArray[np.bool_]:
    """Say which order-29 pixels lie inside a partition or within a margin of it.

    Everything within the margin is found; what lies up to a few margins further may be too.
    """
    order = margin_order(margin_arcsec)
    near: NDArray[np.bool_] = partition.contains(index)
    if order <= partition.order:  # the partition is smaller than the margin: compare coarse pixels
        coarse = partition.pixel >> (2 * (partition.order - order))
        around = healpy.get_all_neighbours(1 << order, coarse, nest=True)
        cells = index >> (2 * (INDEX_ORDER - order))
        return near | np.isin(cells, np.append(around, coarse))
    outside = np.flatnonzero(~near)
    cells, place = np.unique(index[outside] >> (2 * (INDEX_ORDER - order)), return_inverse=True)
    if len(cells) == 0:
        return near
    around = healpy.get_all_neighbours(1 << order, cells, nest=True)
    inside = (around >> (2 * (order - partition.order))) == partition.pixel
    near[outside] = (inside & (around >= 0)).any(axis=0)[place]
    return near


def neighbours(
    partition: Partition, partitions: Sequence[Partition], margin_arcsec: float
) -> tuple[Partition, ...]:
    """Find the other partitions that hold sources within a margin of this one.

    Parameters
    ----------
    partitions : sequence of Partition
        Disjoint, sorted by the spatial index.
    """
    finest = max(other.order for other in partitions)
    order = min(max(finest, partition.order), margin_order(margin_arcsec))
    if order >= partition.order:
        own = partition.pixels_at(order)
    else:
        own = np.array([partition.pixel >> (2 * (partition.order - order))])
    ring = np.unique(np.append(healpy.get_all_neighbours(1 << order, own, nest=True), own))
    ring = ring[ring >= 0]
    shift = 2 * (INDEX_ORDER - order)
    firsts = np.array([other.first_index for other in partitions])
    lasts = np.array([other.last_index for other in partitions])
    start = np.searchsorted(lasts, ring << shift, side="right")
    stop = np.searchsorted(firsts, (ring + 1) << shift, side="left")
    touched = sorted({k for a, b in zip(start, stop, strict=True) for k in range(a, b)})
    return tuple(partitions[k] for k in touched if partitions[k] != partition)


def same_order_neighbours(partition: Partition) -> tuple[Partition, ...]:
    """List the pixels of the same order that touch a partition: eight, or seven at a corner."""
    around = healpy.get_all_neighbours(1 << partition.order, partition.pixel, nest=True)
    pixels = sorted({int(pixel) for pixel in around if pixel >= 0} - {partition.pixel})
    return tuple(Partition(partition.order, pixel) for pixel in pixels)
