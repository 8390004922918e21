"""The unit of work: one HEALPix pixel of the sky, NESTED, ICRS."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kidsclf.sky import healpix

INDEX_ORDER = 29
"""Order of the spatial index; its pixels are 0.4 milliarcseconds wide."""


@dataclass(frozen=True, order=True)
class Partition:
    """A HEALPix pixel that names a task, a file and a field of a log at once."""

    order: int
    pixel: int

    @property
    def label(self) -> str:
        """Write it as in logs: ``order/pixel``."""
        return f"{self.order}/{self.pixel}"

    @property
    def first_index(self) -> int:
        """First order-29 pixel inside."""
        return self.pixel << (2 * (INDEX_ORDER - self.order))

    @property
    def last_index(self) -> int:
        """One past the last order-29 pixel inside."""
        return (self.pixel + 1) << (2 * (INDEX_ORDER - self.order))

    @property
    def area_sq_deg(self) -> float:
        """Solid angle in square degrees."""
        return float(healpix.nside2pixarea(1 << self.order, degrees=True))

    def contains(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which order-29 pixels lie inside."""
        return (index >= self.first_index) & (index < self.last_index)

    def pixels_at(self, order: int) -> NDArray[np.int64]:
        """List the pixels of a finer (or the same) order inside.

        >>> Partition(0, 2).pixels_at(1).tolist()
        [8, 9, 10, 11]
        """
        shift = 2 * (order - self.order)
        return np.arange(self.pixel << shift, (self.pixel + 1) << shift, dtype=np.int64)

    @classmethod
    def parse(cls, label: str) -> "Partition":
        """Read ``order/pixel``.

        >>> Partition.parse("6/1234")
        Partition(order=6, pixel=1234)
        """
        order, pixel = label.split("/")
        return cls(int(order), int(pixel))


def spatial_index(ra: ArrayLike, dec: ArrayLike) -> NDArray[np.int64]:
    """Compute the order-29 NESTED pixel of positions in degrees (ICRS).

    Parameters
    ----------
    ra, dec : array_like (n,)
        Degrees; dec within [-90, 90], both finite.
    """
    nside = 1 << INDEX_ORDER
    index = healpix.ang2pix(nside, np.asarray(ra), np.asarray(dec), nest=True, lonlat=True)
    return np.asarray(index, dtype=np.int64)
