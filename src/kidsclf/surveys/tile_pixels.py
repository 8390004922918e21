"""Where sources fall on tiles, and windows of pixels.

Pixels are read window by window, so a tile of any size costs no more memory than was asked for.
"""

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from kidsclf.errors import InputError
from kidsclf.sky.cap import separation_deg
from kidsclf.surveys.damage import named_errors
from kidsclf.surveys.tiles import TileHeader, celestial_wcs


@dataclass(frozen=True)
class TileWindow:
    """Pixels ``[y0:y0 + ny, x0:x0 + nx]`` of a tile.

    ``image`` is float32 in maggies (AB zero point 0), ``weight`` float32 in maggy^-2, ``mask``
    integer; the last two are None where the tile has none.
    """

    x0: int
    y0: int
    image: NDArray[np.float32]
    weight: NDArray[np.float32] | None
    mask: NDArray[np.int32] | None


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
        Pixel coordinates; the centre of the first pixel is 0. NaN far from the tile.
    depth : float64 array (n,)
        Pixels to the nearest edge of the image; negative outside, -inf far from it.
    """
    x, y = np.full((2, len(ra)), np.nan)
    depth = np.full(len(ra), -np.inf)
    # Projections diverge far from the tangent point, and say nothing beyond 90 degrees.
    near = separation_deg(ra, dec, header.ra, header.dec) <= 1.5 * header.radius_deg
    if near.any():
        wcs = celestial_wcs(header.wcs_header)
        x[near], y[near] = wcs.all_world2pix(ra[near], dec[near], 0)
        ny, nx = header.shape
        sides = (x[near] + 0.5, nx - 0.5 - x[near], y[near] + 0.5, ny - 0.5 - y[near])
        depth[near] = np.min(sides, axis=0)
    return x, y, depth


def read_window(header: TileHeader, x0: int, x1: int, y0: int, y1: int) -> TileWindow:
    """Read pixels ``[y0:y1, x0:x1]`` of a tile, clipped to its edges, with weight and mask.

    Raises
    ------
    InputError
        If the window does not touch the tile, or a file cannot be read.
    """
    ny, nx = header.shape
    rows, columns = slice(max(y0, 0), min(y1, ny)), slice(max(x0, 0), min(x1, nx))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        raise InputError(
            f"pixels x {x0}-{x1}, y {y0}-{y1} of {header.path} were asked for but it has "
            f"{nx} x {ny}; ask for sources that lie on it"
        )
    maggies = 10.0 ** (-0.4 * header.zero_point)
    image = _section(header.path, header.shape, rows, columns) * maggies
    weight = mask = None
    if header.weight_path:
        weight = _section(header.weight_path, header.shape, rows, columns) / maggies**2
    if header.mask_path:
        mask = _section(header.mask_path, header.shape, rows, columns).astype(np.int32)
    return TileWindow(
        x0=columns.start,
        y0=rows.start,
        image=image.astype(np.float32),
        weight=None if weight is None else weight.astype(np.float32),
        mask=mask,
    )


def _section(path: str, shape: tuple[int, int], rows: slice, columns: slice) -> NDArray[np.float64]:
    """Read a window of a file's first image."""
    where = f"{path} pixels x {columns.start}-{columns.stop}, y {rows.start}-{rows.stop}"
    with named_errors(where), fits.open(path) as units:
        image = next((hdu for hdu in units if hdu.is_image and len(hdu.shape) == 2), None)
        if image is None or image.shape != shape:
            found = "no image" if image is None else f"{image.shape[1]} x {image.shape[0]} pixels"
            raise ValueError(f"it holds {found}, its tile {shape[1]} x {shape[0]}")
        return np.asarray(image.section[rows, columns], dtype=np.float64)
