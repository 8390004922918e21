"""Circles that hold a partition, to find what may overlap it."""

import healpy
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kidsclf.sky.partition import Partition


def partition_cap(partition: Partition) -> tuple[float, float, float]:
    """Give centre and radius, degrees, of a circle that holds a partition."""
    nside = 1 << partition.order
    ra, dec = healpy.pix2ang(nside, partition.pixel, nest=True, lonlat=True)
    return float(ra), float(dec), float(np.degrees(healpy.max_pixrad(nside)))


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
    return np.stack(healpy.pix2vec(1 << order, pixels, nest=True), axis=-1)
