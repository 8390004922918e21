"""Where sources fall on tiles, and strips of pixels.

Pixels are read strip by strip, so a tile of any size costs no more memory than was asked for.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.wcs import WCS, NoConvergence
from numpy.typing import NDArray

from kidsclf.places import Place
from kidsclf.sky.cap import separation_deg
from kidsclf.surveys.damage import named_errors
from kidsclf.surveys.pixel_rows import PixelRows, open_rows
from kidsclf.surveys.tiles import TileHeader, celestial_wcs, check_whole


@dataclass(frozen=True)
class TileStrip:
    """Rows of a tile from ``y0`` on, whole.

    ``image`` is in the file's own unit (``TileHeader.maggies``), ``weight`` holds no data where it
    is not above 0: both float32 of any byte order. ``mask`` holds bits, of any type. All are (rows,
    nx), and the last two None where the tile has none.
    """

    y0: int
    image: NDArray[Any]
    weight: NDArray[Any] | None
    mask: NDArray[Any] | None


def footprint_contains(
    header: TileHeader, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find where sources fall on a tile.

    Parameters
    ----------
    ra, dec : float64 arrays (n,)
        Degrees.

    Returns
    -------
    x, y : float64 arrays (n,)
        Pixel coordinates; the centre of the first pixel is 0. NaN far from the tile, and where its
        distortion cannot be undone.
    depth : float64 array (n,)
        Pixels to the nearest edge of the image; negative outside, -inf or NaN where x and y are.
    """
    x, y = np.full((2, len(ra)), np.nan)
    depth = np.full(len(ra), -np.inf)
    # Projections diverge far from the tangent point, and say nothing beyond 90 degrees.
    near = separation_deg(ra, dec, header.ra, header.dec) <= 1.5 * header.radius_deg
    if near.any():
        x[near], y[near] = _pixels(celestial_wcs(header.wcs_header), ra[near], dec[near])
        ny, nx = header.shape
        sides = (x[near] + 0.5, nx - 0.5 - x[near], y[near] + 0.5, ny - 0.5 - y[near])
        depth[near] = np.min(sides, axis=0)
    return x, y, depth


def _pixels(
    wcs: WCS, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project positions; NaN where that does not converge.

    A polynomial (SIP) that is fitted on an image bends back beyond it, where sources of other tiles
    are: one of them must not stop the work on all.
    """
    try:
        x, y = wcs.all_world2pix(ra, dec, 0)
    except NoConvergence as error:
        x, y = np.transpose(error.best_solution)
        for rows in (error.divergent, error.slow_conv):
            if rows is not None:
                x[rows] = y[rows] = np.nan
    return x, y


class OpenTile:
    """A tile whose files are open; made by ``open_tile``."""

    def __init__(self, header: TileHeader, stack: ExitStack) -> None:
        self._image = _open(stack, header, header.path, header.hdu)
        self._weight = header.weight_path and _open(stack, header, header.weight_path, None)
        self._mask = header.mask_path and _open(stack, header, header.mask_path, None)

    def read(self, y0: int, y1: int) -> TileStrip:
        """Read rows ``[y0:y1]``; ascending from call to call, or gzipped files begin anew.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        image = _as_float32(self._image.read(y0, y1))
        weight = _as_float32(self._weight.read(y0, y1)) if self._weight else None
        mask = self._mask.read(y0, y1) if self._mask else None
        if mask is not None and mask.dtype.kind == "f":
            mask = np.nan_to_num(mask).astype(np.int64)
        return TileStrip(y0, image, weight, mask)

    def finish(self) -> None:
        """Say that all was read, so that checksums can be looked at.

        Raises
        ------
        InputError
            If one does not fit.
        """
        for file in (self._image, self._weight, self._mask):
            if file:
                file.finish()


def _as_float32(pixels: NDArray[Any]) -> NDArray[Any]:
    """Convert what is neither float32 nor that in the byte order of FITS."""
    return pixels if pixels.dtype.newbyteorder("=") == np.float32 else pixels.astype(np.float32)


@contextmanager
def open_tile(header: TileHeader) -> Iterator[OpenTile]:
    """Open a tile with its weight and mask.

    Raises
    ------
    InputError
        If one is missing, damaged, cut short or of another shape than the tile.
    """
    check_whole(header)
    with ExitStack() as stack:
        yield OpenTile(header, stack)


@dataclass(frozen=True)
class _NamedRows:
    """Rows whose damage is told with the file's name."""

    rows: PixelRows
    path: Place

    def read(self, y0: int, y1: int) -> NDArray[Any]:
        with named_errors(f"{self.path} rows {y0}-{y1}"):
            return self.rows.read(y0, y1)

    def finish(self) -> None:
        with named_errors(str(self.path)):
            self.rows.finish()


def _open(stack: ExitStack, header: TileHeader, path: Place, hdu: int | None) -> _NamedRows:
    with named_errors(str(path)):
        rows = stack.enter_context(open_rows(path, hdu))
        if rows.shape != header.shape:
            (ny, nx), (tile_ny, tile_nx) = rows.shape, header.shape
            raise ValueError(f"it holds {nx} x {ny} pixels, its tile {tile_nx} x {tile_ny}")
        return _NamedRows(rows, path)
