"""Circles that hold a partition, to find what may overlap it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kidsclf.sky import healpix
from kidsclf.sky.partition import Partition


def partition_cap(partition: Partition) -> tuple[float, float, float]:
    """Give centre and radius, degrees, of a circle that holds a partition."""
    nside = 1 << partition.order
    ra, dec = healpix.pix2ang(nside, partition.pixel, nest=True, lonlat=True)
    return float(ra), float(dec), float(np.degrees(healpix.max_pixrad(nside)))


def separation_deg(ra: ArrayLike, dec: ArrayLike, ra0: float, dec0: float) -> NDArray[np.float64]:
    """Compute angular distances from one position by the haversine formula, all in degrees.

    >>> float(separation_deg(359.5, 0.0, 0.5, 0.0).round(9))
    1.0
    """
    half_ra = np.radians(np.asarray(ra, np.float64) - ra0) / 2
    phi = np.radians(np.asarray(dec, np.float64))
    half_dec = (phi - np.radians(dec0)) / 2
    cosines = np.cos(phi) * np.cos(np.radians(dec0))
    haversine = np.sin(half_dec) ** 2 + cosines * np.sin(half_ra) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))), np.float64)


def pixel_directions(order: int, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the unit vectors to the centres of NESTED pixels, (n, 3).

    >>> pixel_directions(0, np.array([4])).round(6).tolist()
    [[1.0, 0.0, 0.0]]
    """
    return np.stack(healpix.pix2vec(1 << order, pixels, nest=True), axis=-1)


def cap_of(order: int, pixels: NDArray[np.int64]) -> tuple[float, float, float]:
    """Give centre and radius, degrees, of a circle that holds NESTED pixels.

    The centre is the mean direction of the pixels; where they have none, as on the whole sky, it
    is (0, 0).

    >>> [round(each, 3) for each in cap_of(6, np.array([0]))]
    [45.0, 0.597, 0.954]
    """
    directions = pixel_directions(order, pixels)
    return _cap_round(directions, np.full(len(pixels), healpix.max_pixrad(1 << order)))


def cap_of_partitions(partitions: Sequence[Partition]) -> tuple[float, float, float]:
    """Give centre and radius, degrees, of a circle that holds partitions of any orders.

    >>> [round(each, 3) for each in cap_of_partitions([Partition(6, 0)])]
    [45.0, 0.597, 0.954]
    """
    caps = np.array([partition_cap(each) for each in partitions]).reshape(-1, 3)
    directions = np.asarray(healpix.ang2vec(caps[:, 0], caps[:, 1], lonlat=True), np.float64)
    return _cap_round(directions, np.radians(caps[:, 2]))


def _cap_round(
    directions: NDArray[np.float64], radii: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Give a circle round others, of radii in radians."""
    mean = directions.sum(axis=0)
    length = float(np.linalg.norm(mean))
    centre = mean / length if length > 1e-6 * max(len(radii), 1) else np.array([1.0, 0.0, 0.0])
    ra, dec = healpix.vec2ang(centre, lonlat=True)
    apart = np.arccos(np.clip(directions @ centre, -1, 1))
    radius = np.degrees((apart + radii).max(initial=0.0))
    return float(ra[0]), float(dec[0]), float(min(radius, 180.0))
