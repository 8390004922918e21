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


def cap_of(order: int, pixels: NDArray[np.int64]) -> tuple[float, float, float]:
    """Give centre and radius, degrees, of a circle that holds NESTED pixels.

    The centre is the mean direction of the pixels; where they have none, as on the whole sky, it
    is (0, 0).

    >>> [round(each, 3) for each in cap_of(6, np.array([0]))]
    [45.0, 0.597, 0.954]
    """
    directions = pixel_directions(order, pixels)
    mean = directions.sum(axis=0)
    length = float(np.linalg.norm(mean))
    centre = mean / length if length > 1e-6 * max(len(pixels), 1) else np.array([1.0, 0.0, 0.0])
    ra, dec = healpy.vec2ang(centre, lonlat=True)
    furthest = np.arccos(np.clip(directions @ centre, -1, 1)).max(initial=0.0)
    radius = np.degrees(furthest + healpy.max_pixrad(1 << order))
    return float(ra[0]), float(dec[0]), float(min(radius, 180.0))
