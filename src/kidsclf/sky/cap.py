"""Circles that hold a partition, to find what may overlap it."""

import healpy
import numpy as np

from kidsclf.sky.partition import Partition


def partition_cap(partition: Partition) -> tuple[float, float, float]:
    """Give centre and radius, degrees, of a circle that holds a partition."""
    nside = 1 << partition.order
    ra, dec = healpy.pix2ang(nside, partition.pixel, nest=True, lonlat=True)
    return float(ra), float(dec), float(np.degrees(healpy.max_pixrad(nside)))


def separation_deg(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Angle between two positions, all in degrees (haversine formula).

    >>> round(separation_deg(359.5, 0.0, 0.5, 0.0), 9)
    1.0
    """
    phi1, phi2 = np.radians(dec1), np.radians(dec2)
    half = np.sin((phi2 - phi1) / 2) ** 2
    half += np.cos(phi1) * np.cos(phi2) * np.sin(np.radians(ra2 - ra1) / 2) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(min(1.0, half)))))
