"""Square stamps of pixels round sources, cut out of an image in memory.

Nearly all stamps lie whole on their image and hold no bad pixel. They are copied by a compiled loop
that says so; only the others are looked at pixel by pixel.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kidsclf.ingest.windows import all_positive, copy_windows
from kidsclf.schema import CutoutFlag

Pixels = NDArray[Any]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

ALL_BITS = -1
"""Every bit of a mask counts."""


def cut_stamps(
    image: Pixels,
    x: Floats,
    y: Floats,
    size_px: int,
    *,
    weight: Pixels | None = None,
    mask: Pixels | None = None,
    mask_bits: int = ALL_BITS,
    scale: float = 1.0,
    fill: float = 0.0,
    out: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut one stamp a source, centred on its nearest pixel.

    Parameters
    ----------
    image : array (ny, nx)
        Numbers of any type and byte order; other than float32 the whole image is converted first.
    x, y : float64 arrays (n,)
        Positions in pixels of ``image``; the centre of the first is 0. NaN: on no tile.
    size_px : int
        Side of the stamps; odd, or the source sits half a pixel off their middle.
    weight : array (ny, nx), optional
        Pixels whose weight is not above 0 hold no data. As ``image``.
    mask : integer array (ny, nx), optional
        What the survey warns of, as bits.
    mask_bits : int
        Bits of the mask that count.
    scale : float
        Factor on every pixel, applied in float32.
    fill : float
        What pixels without data become.
    out : float32 array (n, size_px, size_px), optional
        Gets the stamps: to use the same memory again is cheaper than to ask for more.

    Returns
    -------
    stamps : float32 array (n, size_px, size_px)
        ``out``, if given. All-NaN for sources on no tile.
    flags : uint8 array (n,)
        ``schema.CutoutFlag``: EDGE if the stamp reaches over the image, BAD_PIXEL if a pixel of it
        is NaN, infinite or without weight, MASKED if the mask is set in the 3 x 3 pixels round the
        central one (index ``size_px // 2``), MISSING_TILE if the position is NaN.

    Notes
    -----
    Pixels are those of ``astropy.nddata.Cutout2D(mode="partial")``: of two equally near central
    pixels the lower is taken.
    """
    top, left = _first(y, size_px, image.shape[0]), _first(x, size_px, image.shape[1])
    whole = (top >= 0) & (top <= image.shape[0] - size_px)
    whole &= (left >= 0) & (left <= image.shape[1] - size_px)
    flags = np.where(whole, 0, CutoutFlag.EDGE.value).astype(np.uint8)
    stamps = np.empty((len(x), size_px, size_px), np.float32) if out is None else out
    sound = np.zeros(len(x), np.bool_)
    copy_windows(*_bits(image), top, left, stamps.view(np.int32), sound)
    if weight is not None:
        weighted = np.zeros(len(x), np.bool_)
        all_positive(*_bits(weight), top, left, size_px, weighted)
        sound &= weighted
    stamps[~whole] = _nearest_pixels(image, top[~whole], left[~whole], size_px)
    if scale != 1.0:
        stamps *= np.float32(scale)
    rows = np.flatnonzero(~sound)
    if len(rows):
        usable = np.isfinite(stamps[rows])
        if weight is not None:
            usable &= _nearest_pixels(weight, top[rows], left[rows], size_px) > 0
        inside = _inside(top[rows], left[rows], size_px, image.shape)
        stamps[rows] = np.where(usable & inside, stamps[rows], np.float32(fill))
        bad = (~usable & inside).any(axis=(1, 2))
        flags[rows[bad]] |= CutoutFlag.BAD_PIXEL.value
    if mask is not None:
        flags[_masked(mask, top, left, size_px, mask_bits)] |= CutoutFlag.MASKED.value
    nowhere = ~(np.isfinite(x) & np.isfinite(y))
    stamps[nowhere] = np.nan
    flags[nowhere] = CutoutFlag.MISSING_TILE
    return stamps, flags


class DeepestTile:
    """For every source the tile in which it lies deepest, of tiles offered one after the other.

    Attributes
    ----------
    tile : int64 array (n,)
        Number of the tile, the first offered of equals; -1 where none holds the source.
    x, y : float64 arrays (n,)
        Where the source is on that tile, pixels; NaN where none holds it.

    Examples
    --------
    >>> deepest = DeepestTile(2)
    >>> deepest.offer(0, np.zeros(2), np.zeros(2), np.array([5.0, -1.0]))
    >>> deepest.offer(1, np.ones(2), np.ones(2), np.array([9.0, -2.0]))
    >>> deepest.tile.tolist(), deepest.x.tolist()
    ([1, -1], [1.0, nan])
    """

    def __init__(self, sources: int) -> None:
        self.tile = np.full(sources, -1, dtype=np.int64)
        self.x, self.y = np.full((2, sources), np.nan)
        self._depth = np.full(sources, -np.inf)

    def offer(self, number: int, x: Floats, y: Floats, depth: Floats) -> None:
        """Take a tile into account.

        Parameters
        ----------
        x, y, depth : float64 arrays (n,)
            Pixels, and the distance to the nearest edge in a unit that all tiles share; negative
            outside, NaN counts as outside.
        """
        better = (depth >= 0.0) & (depth > self._depth)
        self.tile[better] = number
        for held, offered in ((self.x, x), (self.y, y), (self._depth, depth)):
            held[better] = offered[better]


def _first(position: Floats, size: int, extent: int) -> Indices:
    """Give the first pixel of each stamp along one axis; may lie off the image."""
    first = np.ceil(np.where(np.isfinite(position), position, 0.0) - size / 2.0)
    # Far off is as good as just off, and does not overflow an integer.
    return np.clip(first, -size, extent).astype(np.int64)


def _bits(pixels: Pixels) -> tuple[NDArray[np.int32], bool]:
    """Give the bits of an image as float32, and whether its bytes stand the other way round."""
    if pixels.dtype.newbyteorder("=") != np.float32:
        pixels = pixels.astype(np.float32)
    return pixels.view(np.int32), not pixels.dtype.isnative


def _nearest_pixels(pixels: Pixels, top: Indices, left: Indices, size: int) -> Pixels:
    """Copy stamps; what lies off the image repeats its nearest pixel."""
    along = np.arange(size)
    rows = (top[:, None] + along).clip(0, pixels.shape[0] - 1)
    columns = (left[:, None] + along).clip(0, pixels.shape[1] - 1)
    return np.asarray(pixels[rows[:, :, None], columns[:, None, :]])


def _inside(top: Indices, left: Indices, size: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Say which pixels (n, size, size) of stamps lie on the image."""
    along = np.arange(size)
    rows, columns = top[:, None] + along, left[:, None] + along
    in_rows = (rows >= 0) & (rows < shape[0])
    in_columns = (columns >= 0) & (columns < shape[1])
    return np.asarray(in_rows[:, :, None] & in_columns[:, None, :])


def _masked(mask: Pixels, top: Indices, left: Indices, size: int, bits: int) -> NDArray[np.bool_]:
    """Say for which stamps a bit is set in the nine central pixels that lie on the image."""
    near = np.arange(max(size // 2 - 1, 0), min(size // 2 + 2, size))
    rows, columns = top[:, None] + near, left[:, None] + near
    in_rows = (rows >= 0) & (rows < mask.shape[0])
    in_columns = (columns >= 0) & (columns < mask.shape[1])
    held = rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)
    there = mask[held[0][:, :, None], held[1][:, None, :]].astype(np.int64)
    set_there = (there & bits != 0) & in_rows[:, :, None] & in_columns[:, None, :]
    return np.asarray(set_there.any(axis=(1, 2)))
