"""A circle on the sky: what lies in it, and where that stands in files sorted by the sky."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.sky import healpix
from kidsclf.sky.cap import separation_deg
from kidsclf.sky.margin import Stretches, stretches_of_pixels
from kidsclf.sky.partition import INDEX_ORDER

_PIXELS_ACROSS = 8.0
"""Pixels in a radius: some 200 in the circle, whatever its size."""


@dataclass(frozen=True)
class Cone:
    """All positions within a radius of one; all in degrees."""

    ra: float
    dec: float
    radius_deg: float

    def holds(self, ra: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which positions lie inside; the border belongs to it."""
        return np.asarray(separation_deg(ra, dec, self.ra, self.dec) <= self.radius_deg)

    def stretches(self) -> Stretches:
        """Give stretches of the spatial index that hold all of it, and a little more.

        >>> Cone(10.0, 90.0, 180.0).stretches() >> 58
        array([[ 0, 12]])
        """
        least = np.radians(max(self.radius_deg, 1e-7)) / _PIXELS_ACROSS
        order = int(np.clip(np.floor(np.log2(np.sqrt(np.pi / 3) / least)), 0, INDEX_ORDER - 2))
        centre = healpix.ang2vec(self.ra, self.dec, lonlat=True)
        radius = min(np.radians(self.radius_deg) * (1 + 1e-9) + 1e-9, np.pi)
        pixels = healpix.query_disc(1 << order, centre, radius, inclusive=True, nest=True)
        return stretches_of_pixels(np.sort(pixels), 2 * (INDEX_ORDER - order))
