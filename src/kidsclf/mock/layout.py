"""Where the tiles of the mock survey lie, and which random numbers each of them draws.

The footprint is a grid of cells of equal size. A cell owns its sources: they stand in its tile's
catalogue. The tile's image covers the cell and half the overlap on each side.
"""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from kidsclf.mock.settings import MockSettings

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class Tile:
    """One tile: its place in the grid, its centre and the side of its cell, in degrees."""

    row: int
    column: int
    index: int
    ra_deg: float
    dec_deg: float
    side_deg: float

    @property
    def name(self) -> str:
        """The tile's name in the survey's manner, e.g. ``KIDS_359.74_-0.21``."""
        return f"KIDS_{self.ra_deg:.2f}_{self.dec_deg + 0.0:.2f}".replace("_-0.00", "_0.00")

    def file_name(self, ending: str) -> str:
        """Return a file name in the survey's manner, e.g. ``KiDS_DR4.0_0.05_0.00_r_sci.fits``."""
        return f"KiDS_DR4.0_{self.name.removeprefix('KIDS_')}_{ending}"


def survey_tiles(settings: MockSettings) -> tuple[Tile, ...]:
    """Cut the footprint into tiles, row by row from the lowest declination and right ascension."""
    width = math.sqrt(settings.footprint_deg2)
    count = max(1, math.ceil(width / settings.largest_tile_deg - 1e-9))
    side = width / count
    offsets = (np.arange(count) - (count - 1) / 2) * side
    tiles = []
    for row, column in np.ndindex(count, count):
        dec = settings.dec_deg + float(offsets[row])
        ra = (settings.ra_deg + float(offsets[column]) / math.cos(math.radians(dec))) % 360.0
        tiles.append(Tile(row, column, row * count + column, ra, dec, side))
    return tuple(tiles)


def neighbours(tiles: tuple[Tile, ...], tile: Tile) -> tuple[Tile, ...]:
    """Return the up to eight tiles round ``tile``."""
    return tuple(
        other
        for other in tiles
        if other != tile and abs(other.row - tile.row) <= 1 and abs(other.column - tile.column) <= 1
    )


def random_generator(
    settings: MockSettings, tile: Tile | None, purpose: str
) -> np.random.Generator:
    """Return the generator of one purpose in one tile, whoever asks for it and whenever."""
    index = 0 if tile is None else tile.index + 1
    return np.random.default_rng([settings.seed, index, zlib.crc32(purpose.encode())])


def scatter_over_cell(
    tile: Tile, count: int, rng: np.random.Generator, *, east_strip_deg: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Draw positions uniform on the sphere within a cell, or within a strip at its eastern edge.

    Returns
    -------
    ra, dec
        Degrees, shape (count,), ``0 <= ra < 360``.
    """
    north, east = rng.uniform(size=count), rng.uniform(size=count)
    if east_strip_deg is not None:
        east = 1.0 - east * east_strip_deg / tile.side_deg
    return _in_cell(tile, north, east)


def space_over_cell(
    tile: Tile, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw positions within a cell that keep apart: one each in the squares of a fine grid.

    Returns
    -------
    ra, dec
        Degrees, shape (count,), no two nearer than half the side of a square of the grid.
    """
    squares = math.ceil(math.sqrt(count)) if count else 1
    row, column = np.divmod(rng.permutation(squares**2)[:count], squares)
    north, east = np.stack([row, column]) + rng.uniform(0.25, 0.75, (2, count))
    return _in_cell(tile, north / squares, east / squares)


def _in_cell(tile: Tile, north: FloatArray, east: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn fractions of a cell, 0 to 1, into positions; equal areas stay equal."""
    half = tile.side_deg / 2
    low, high = np.sin(np.radians([tile.dec_deg - half, tile.dec_deg + half]))
    dec = np.degrees(np.arcsin(low + (high - low) * north))
    offset = (east - 0.5) * tile.side_deg / math.cos(math.radians(tile.dec_deg))
    return (tile.ra_deg + offset) % 360.0, dec


def image_side_px(settings: MockSettings, tile: Tile) -> int:
    """Return the width and height of a tile's image in pixels."""
    side_arcsec = tile.side_deg * 3600.0 + settings.overlap_arcmin * 60.0
    return math.ceil(side_arcsec / settings.pixel_scale_arcsec)


def tile_wcs(settings: MockSettings, tile: Tile) -> Any:
    """Return the gnomonic projection of a tile's image, north up and east left."""
    side = image_side_px(settings, tile)
    scale = settings.pixel_scale_arcsec / 3600.0
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [tile.ra_deg, tile.dec_deg]
    wcs.wcs.crpix = [(side + 1) / 2, (side + 1) / 2]
    wcs.wcs.cd = [[-scale, 0.0], [0.0, scale]]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.equinox = 2000.0
    return wcs
