"""Square stamps of pixels round sources, cut out of an image in memory.

Nearly all stamps lie whole on their image and hold no bad pixel. They are copied by one gather from
a view of all windows, and one sum a stamp tells whether a pixel is NaN or infinite; only the others
are looked at pixel by pixel.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

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
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut one stamp a source, centred on its nearest pixel.

    Parameters
    ----------
    image : array (ny, nx)
        Numbers of any type and byte order.
    x, y : float64 arrays (n,)
        Positions in pixels of ``image``; the centre of the first is 0. NaN: on no tile.
    size_px : int
        Side of the stamps; odd, or the source sits half a pixel off their middle.
    weight : array (ny, nx), optional
        Pixels whose weight is not above 0 hold no data.
    mask : integer array (ny, nx), optional
        What the survey warns of, as bits.
    mask_bits : int
        Bits of the mask that count.
    scale : float
        Factor on every pixel, applied in float32.
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
    top, left = _first(y, size_px, image.shape[0]), _first(x, size_px, image.shape[1])
    whole = (top >= 0) & (top <= image.shape[0] - size_px)
    whole &= (left >= 0) & (left <= image.shape[1] - size_px)
    flags = np.where(whole, 0, CutoutFlag.EDGE.value).astype(np.uint8)
    stamps = _gather(image, top, left, size_px, whole)
    suspect = ~whole | ~np.isfinite(_sums(stamps))
    if scale != 1.0:
        stamps *= np.float32(scale)
    if weight is not None:
        weights = _gather(weight, top, left, size_px, whole)
        suspect |= ~(weights.reshape(-1, size_px**2).min(axis=1) > 0)
    rows = np.flatnonzero(suspect)
    if len(rows):
        usable = np.isfinite(stamps[rows])
        if weight is not None:
            usable &= weights[rows] > 0
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


def _gather(
    pixels: Pixels, top: Indices, left: Indices, size: int, whole: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Copy stamps as float32; what lies off the image repeats its nearest pixel."""
    if whole.all() and len(whole):
        return _native(sliding_window_view(pixels, (size, size))[top, left])
    stamps = np.empty((len(whole), size, size), np.float32)
    if whole.any():
        windows = sliding_window_view(pixels, (size, size))
        stamps[whole] = _native(windows[top[whole], left[whole]])
    along = np.arange(size)
    rows = (top[~whole, None] + along).clip(0, pixels.shape[0] - 1)
    columns = (left[~whole, None] + along).clip(0, pixels.shape[1] - 1)
    stamps[~whole] = pixels[rows[:, :, None], columns[:, None, :]]
    return stamps


def _native(values: Pixels) -> NDArray[np.float32]:
    if values.dtype.kind == "f" and values.itemsize == 4 and not values.dtype.isnative:
        # As FITS has them; several times faster than a conversion out of place.
        return values.byteswap(inplace=True).view(np.float32)
    return values.astype(np.float32, copy=False)


def _sums(stamps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add up each stamp: the sum is finite only if every pixel is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.add.reduce(stamps.reshape(-1, stamps.shape[1] ** 2), axis=1))


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
