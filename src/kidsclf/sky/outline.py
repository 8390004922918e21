"""Outlines of partitions, and a map of the whole sky to draw them on."""

import numpy as np
from numpy.typing import NDArray

from kidsclf.sky import healpix
from kidsclf.sky.partition import Partition

FloatArray = NDArray[np.float64]


def outline(
    partition: Partition, around_ra: float, points: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Give the border of a partition.

    Parameters
    ----------
    partition : Partition
    around_ra : float
        Degrees; the partition's centre is put within 180 of it.
    points : int
        Points a side.

    Returns
    -------
    ra, dec : float64 arrays (4 points,)
        Degrees; right ascension runs on across the border, so it may leave [0, 360).
    """
    nside = 1 << partition.order
    corners = healpix.boundaries(nside, partition.pixel, step=points, nest=True)
    ra, dec = healpix.vec2ang(corners.T, lonlat=True)
    own = float(healpix.pix2ang(nside, partition.pixel, nest=True, lonlat=True)[0])
    centre = around_ra + (own - around_ra + 180.0) % 360.0 - 180.0
    return centre + (ra - centre + 180.0) % 360.0 - 180.0, dec


def mean_ra(partitions: list[Partition]) -> float:
    """Give the right ascension round which partitions lie, degrees within [0, 360).

    >>> round(mean_ra([Partition(0, 4)]), 6)
    0.0
    """
    angles = [
        np.radians(healpix.pix2ang(1 << each.order, each.pixel, nest=True, lonlat=True)[0])
        for each in partitions
    ]
    return float(np.degrees(np.angle(np.exp(1j * np.array(angles)).sum())) % 360.0)


def hammer(ra: FloatArray, dec: FloatArray, centre_ra: float) -> tuple[FloatArray, FloatArray]:
    """Project positions with equal areas, east to the left (Hammer 1892; Snyder 1987, p. 232).

    Parameters
    ----------
    ra, dec : float64 arrays
        Degrees; right ascension beyond 180 from the centre is put on the map's edge.
    centre_ra : float
        Degrees.

    Returns
    -------
    x, y : float64 arrays
        Degrees at the map's centre; the whole sky spans 324 by 162.

    >>> x, y = hammer(np.array([30.0]), np.array([0.0]), 30.0)
    >>> (float(x[0]), float(y[0]))
    (-0.0, 0.0)
    """
    half = np.radians(np.clip(ra - centre_ra, -180.0, 180.0)) / 2
    north = np.radians(dec)
    scale = np.degrees(np.sqrt(2.0 / (1.0 + np.cos(north) * np.cos(half))))
    return -2.0 * scale * np.cos(north) * np.sin(half), scale * np.sin(north)
