"""Square stamps of pixels round sources, cut out of an image in memory."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kidsclf.schema import CutoutFlag

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_Pixel = TypeVar("_Pixel", bound=np.generic)


def cut_stamps(
    image: NDArray[np.float32],
    x: Floats,
    y: Floats,
    size_px: int,
    *,
    weight: NDArray[np.float32] | None = None,
    mask: NDArray[np.integer] | None = None,
    fill: float = 0.0,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut one stamp a source, centred on its nearest pixel.

    Parameters
    ----------
    image : float32 array (ny, nx)
    x, y : float64 arrays (n,)
        Positions in pixels of ``image``; the centre of the first is 0. NaN: on no tile.
    size_px : int
        Side of the stamps; odd, or the source sits half a pixel off their middle.
    weight : float32 array (ny, nx), optional
        0 or NaN marks pixels without data.
    mask : integer array (ny, nx), optional
        Non-zero marks what the survey warns of.
    fill : float
        What pixels without data become.

    Returns
    -------
    stamps : float32 array (n, size_px, size_px)
        All-NaN for sources on no tile.
    flags : uint8 array (n,)
        ``schema.CutoutFlag``: EDGE if the stamp reaches over the image, BAD_PIXEL if a pixel of it
        is NaN, infinite or without weight, MASKED if the mask is set in the 3 x 3 pixels round the
        central one (index ``size_px // 2``), MISSING_TILE if the position is NaN.

    Notes
    -----
    Pixels are those of ``astropy.nddata.Cutout2D(mode="partial")``: of two equally near central
    pixels the lower is taken.
    """
    rows, columns = _window(y, size_px, image.shape[0]), _window(x, size_px, image.shape[1])
    inside = _inside(rows, columns, image.shape)
    stamps = _gather(image, rows, columns).astype(np.float32, copy=False)
    bad = ~np.isfinite(stamps)
    if weight is not None:
        bad |= ~(_gather(weight, rows, columns) > 0)
    bad &= inside
    stamps[bad | ~inside] = fill
    flags = np.zeros(len(x), dtype=np.uint8)
    flags[~inside.all(axis=(1, 2))] |= CutoutFlag.EDGE.value
    flags[bad.any(axis=(1, 2))] |= CutoutFlag.BAD_PIXEL.value
    if mask is not None:
        middle = slice(max(size_px // 2 - 1, 0), size_px // 2 + 2)
        set_there = _gather(mask, rows[:, middle], columns[:, middle]) != 0
        flags[(set_there & inside[:, middle, middle]).any(axis=(1, 2))] |= CutoutFlag.MASKED.value
    nowhere = ~(np.isfinite(x) & np.isfinite(y))
    stamps[nowhere] = np.nan
    flags[nowhere] = CutoutFlag.MISSING_TILE
    return stamps, flags


def choose_tile(depths: Floats) -> Indices:
    """Choose for every source the tile in which it lies deepest.

    Parameters
    ----------
    depths : float64 array (tiles, n)
        Pixels to the nearest edge; negative outside, NaN counts as outside.

    Returns
    -------
    int64 array (n,)
        Index of the tile, the lowest of equals; -1 where none holds the source.

    >>> choose_tile(np.array([[5.0, -1.0, 3.0], [9.0, -2.0, 3.0]])).tolist()
    [1, -1, 0]
    """
    if len(depths) == 0:
        return np.full(depths.shape[1], -1, dtype=np.int64)
    known = np.where(np.isnan(depths), -np.inf, depths)
    deepest = known.argmax(axis=0)
    return np.where(known.max(axis=0) >= 0.0, deepest, -1).astype(np.int64)


def _window(position: Floats, size: int, extent: int) -> Indices:
    """List the pixels (n, size) along one axis; may lie off the image."""
    first = np.ceil(np.where(np.isfinite(position), position, 0.0) - size / 2.0)
    # Far off is as good as just off, and does not overflow an integer.
    first = np.clip(first, -size, extent)
    return first.astype(np.int64)[:, None] + np.arange(size)


def _inside(rows: Indices, columns: Indices, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    in_rows = (rows >= 0) & (rows < shape[0])
    in_columns = (columns >= 0) & (columns < shape[1])
    return np.asarray(in_rows[:, :, None] & in_columns[:, None, :])


def _gather(pixels: NDArray[_Pixel], rows: Indices, columns: Indices) -> NDArray[_Pixel]:
    """Take stamps; what lies off the image repeats its nearest pixel."""
    held = rows.clip(0, pixels.shape[0] - 1), columns.clip(0, pixels.shape[1] - 1)
    taken: NDArray[_Pixel] = pixels[held[0][:, :, None], held[1][:, None, :]]
    return taken
