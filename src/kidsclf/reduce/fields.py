"""Surface densities in fields drawn at random inside a footprint with holes.

Feng et al. (section 4.1.2, footnote 4) take the density of quasars in Stripe 82 as the median over
100 random fields of 4 square degrees. Here a field is a circle; it is made of the HEALPix cells
whose centres lie in it, for counts and covered area alike, so that a hole takes from both. How much
fields differ beyond Poisson's noise is what clustering and uneven selection do.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.reduce.cells import add_rows
from kidsclf.sky.cap import pixel_directions
from kidsclf.sky.partition import INDEX_ORDER, Partition, spatial_index

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

FIELD_SQ_DEG = 4.0
FIELDS = 100
"""Feng et al., footnote 4."""

LARGEST_SHARE = 0.25
"""Of the footprint in one field: of larger ones any two would hold the same sources."""
FEWEST_CELLS = 16
"""Cells in a field: with fewer its border is too coarse."""
LEAST_COVERED = 0.75
"""Part of a field that is covered: a field that hangs over the edge is none."""
_TRIES = 40
"""Centres tried for each field."""
_FINER = 8
"""Orders by which a random place is finer than its cell."""


@dataclass(frozen=True)
class Coverage:
    """Which part of each HEALPix cell a survey has looked at.

    Attributes
    ----------
    order : int
        Of the cells, NESTED, ICRS.
    pixels : int64 array (n,)
        Ascending.
    covered : float64 array (n,)
        Above 0, at most 1.
    """

    order: int
    pixels: Integers
    covered: Floats

    @classmethod
    def of_pixels(cls, pixels: Integers, fine_order: int, order: int) -> "Coverage":
        """Count covered pixels of a fine order in the cells of a coarser one.

        >>> Coverage.of_pixels(np.array([0, 1, 2, 8]), 2, 1)
        Coverage(order=1, pixels=array([0, 2]), covered=array([0.75, 0.25]))
        """
        fine = np.unique(pixels).astype(np.int64)
        return cls(fine_order, fine, np.ones(len(fine))).coarsened(order)

    @classmethod
    def of_positions(cls, ra: Floats, dec: Floats, fine_order: int, order: int) -> "Coverage":
        """Take pixels that hold a source as covered; give many sources a pixel, ten or more.

        Parameters
        ----------
        ra, dec : float64 arrays (n,)
            Degrees, ICRS, of everything that the survey has seen.
        fine_order, order : int
            Of the pixels that are covered or not, and of the cells.
        """
        fine = spatial_index(ra, dec) >> (2 * (INDEX_ORDER - fine_order))
        return cls.of_pixels(fine, fine_order, order)

    @property
    def cell_sq_deg(self) -> float:
        """Area of a whole cell."""
        return Partition(self.order, 0).area_sq_deg

    @property
    def area_sq_deg(self) -> float:
        """Area covered."""
        return float(self.covered.sum()) * self.cell_sq_deg

    def coarsened(self, order: int) -> "Coverage":
        """Join cells to those of a coarser (or the same) order."""
        shift = 2 * (self.order - order)
        cells, place = np.unique(self.pixels >> shift, return_inverse=True)
        covered = np.bincount(place, self.covered) / float(1 << shift)
        return Coverage(order, cells, covered)

    def shrunk_to(self, area_sq_deg: float) -> "Coverage":
        """Take a part off every cell so that they sum to an area; larger or NaN changes nothing.

        Pixels that an edge or a hole cuts count wholly, so cells cover somewhat too much.
        """
        if not area_sq_deg < self.area_sq_deg:
            return self
        return Coverage(self.order, self.pixels, self.covered * (area_sq_deg / self.area_sq_deg))

    def within(self, order: int, pixels: Integers) -> "Coverage":
        """Keep the cells that lie in pixels of a coarser (or the same) order."""
        kept = np.isin(self.pixels >> (2 * (self.order - order)), pixels)
        return Coverage(self.order, self.pixels[kept], self.covered[kept])


@dataclass(frozen=True)
class Fields:
    """Densities in random fields.

    Attributes
    ----------
    field_sq_deg : float
        Size of a field; smaller than asked for where the footprint is small.
    densities : float64 array (fields, bins)
        Per square degree.
    covered_sq_deg : float64 array (fields,)
    independent : float
        Fields that fit into the footprint side by side.
    """

    field_sq_deg: float
    densities: Floats
    covered_sq_deg: Floats
    independent: float


def random_fields(
    coverage: Coverage,
    counts: Integers,
    rng: np.random.Generator,
    *,
    field_sq_deg: float = FIELD_SQ_DEG,
    fields: int = FIELDS,
) -> Fields | None:
    """Draw fields inside a footprint and measure the density in each.

    Parameters
    ----------
    coverage : Coverage
        Of n cells.
    counts : int64 array (n, bins)
        Sources in each of its cells.
    rng : numpy.random.Generator
    field_sq_deg : float
        Size of a field; at most `LARGEST_SHARE` of the footprint is taken, and at least
        `FEWEST_CELLS` cells.
    fields : int

    Returns
    -------
    Fields or None
        None where the footprint is too small or too ragged for such fields.
    """
    area = coverage.area_sq_deg
    size = max(min(field_sq_deg, LARGEST_SHARE * area), FEWEST_CELLS * coverage.cell_sq_deg)
    if size > LARGEST_SHARE * area:
        return None
    places = pixel_directions(coverage.order, coverage.pixels)
    # A circle of that solid angle: 2 pi (1 - cos radius).
    nearest = 1.0 - size / (2.0 * math.pi * math.degrees(1.0) ** 2)
    sky = coverage.covered * coverage.cell_sq_deg
    found, covered = [], []
    for centre in _centres(coverage, fields * _TRIES, rng):
        inside = places @ centre >= nearest
        held = float(sky[inside].sum())
        if held >= LEAST_COVERED * size:
            found.append(counts[inside].sum(axis=0) / held)
            covered.append(held)
        if len(found) == fields:
            return Fields(size, np.array(found), np.array(covered), area / size)
    return None


def _centres(coverage: Coverage, number: int, rng: np.random.Generator) -> Floats:
    """Draw directions evenly over what is covered, (number, 3)."""
    share = coverage.covered / coverage.covered.sum()
    cells = rng.choice(coverage.pixels, number, p=share)
    within = rng.integers(0, 1 << (2 * _FINER), number)
    return pixel_directions(coverage.order + _FINER, (cells << (2 * _FINER)) + within)


def count_in_cells(
    ra: Floats, dec: Floats, slots: Integers, bins: int, coverage: Coverage
) -> Integers:
    """Count sources by cell and magnitude bin, (cells, bins); those outside are left out.

    Parameters
    ----------
    ra, dec : float64 arrays (n,)
        Degrees, ICRS.
    slots : int64 array (n,)
        Bin of each source; what is not within 0 and ``bins`` is left out.
    bins : int
    coverage : Coverage
    """
    counted = (slots >= 0) & (slots < bins)
    pixels = spatial_index(ra[counted], dec[counted]) >> (2 * (INDEX_ORDER - coverage.order))
    rows = np.eye(bins, dtype=np.int64)[slots[counted]]
    return in_cells(coverage, *add_rows(pixels, rows))


def in_cells(coverage: Coverage, pixels: Integers, rows: Integers) -> Integers:
    """Bring rows of pixels (ascending) into the order of the coverage's cells; 0 elsewhere."""
    placed = np.zeros((len(coverage.pixels), rows.shape[1]), np.int64)
    _, here, there = np.intersect1d(coverage.pixels, pixels, True, return_indices=True)
    placed[here] = rows[there]
    return placed
