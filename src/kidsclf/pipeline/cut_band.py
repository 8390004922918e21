"""Cut the stamps of one band: choose tiles, read them strip by strip, cut, encode."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.ingest.stamps import DeepestTile, cut_stamps
from kidsclf.schema import CutoutFlag
from kidsclf.store.stamp_encoding import StampBuffer
from kidsclf.surveys.tile_pixels import TileStrip, footprint_contains, open_tile
from kidsclf.surveys.tiles import TileHeader

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

STRIP_PIXELS = 16_000_000
"""Largest piece of a tile read at once: 64 MB of float32, as much again of its weight and mask."""

_BLOCK_ROWS = 128
"""Stamps of 41 x 41 pixels that stay in the cache of a core between cutting and encoding."""
_THREADS = 2
"""Threads that cut and encode: Zarr packs with all there are, and this keeps up with two."""


def cut_band(
    tiles: Sequence[TileHeader],
    ra: Floats,
    dec: Floats,
    size_px: int,
    stamps: StampBuffer,
) -> NDArray[np.uint8]:
    """Cut stamps of one band, each from the tile in which its source lies deepest.

    Parameters
    ----------
    tiles : sequence of TileHeader
    ra, dec : float64 arrays (n,)
        Degrees.
    size_px : int
        Side of the stamps.
    stamps : StampBuffer
        What takes the n stamps, in maggies; NaN where no tile holds the source.

    Returns
    -------
    uint8 array (n,)
        ``CutoutFlag`` bits.
    """
    deepest = DeepestTile(len(ra))
    for number, tile in enumerate(tiles):
        x, y, depth = footprint_contains(tile, ra, dec)
        deepest.offer(number, x, y, depth * tile.pixel_scale_arcsec)
    band = _Band(size_px, stamps, np.full(len(ra), CutoutFlag.MISSING_TILE, np.uint8))
    band.leave_empty(np.flatnonzero(deepest.tile < 0))
    with ThreadPoolExecutor(_THREADS) as threads:
        for number, tile in enumerate(tiles):
            rows = np.flatnonzero(deepest.tile == number)
            for some, strip in _strips(tile, rows, deepest.y, size_px):
                blocks = [_Block(k, deepest.x[k], deepest.y[k]) for k in _blocks(some)]
                shares = [blocks[k::_THREADS] for k in range(_THREADS)]
                list(threads.map(lambda share, t=tile, s=strip: band.cut(t, s, share), shares))
    return band.flags


@dataclass(frozen=True)
class _Block:
    """A few sources, and where they are on a tile, pixels."""

    rows: Rows
    x: Floats
    y: Floats


@dataclass(frozen=True)
class _Band:
    """The stamps of a band on their way."""

    size_px: int
    stamps: StampBuffer
    flags: NDArray[np.uint8]

    def leave_empty(self, rows: Rows) -> None:
        shape = (min(len(rows), _BLOCK_ROWS), self.size_px, self.size_px)
        empty = np.full(shape, np.nan, np.float32)
        for block in _blocks(rows):
            self.stamps.put(block, empty[: len(block)])

    def cut(self, tile: TileHeader, strip: TileStrip, blocks: Sequence[_Block]) -> None:
        room = np.empty((_BLOCK_ROWS, self.size_px, self.size_px), np.float32)
        for block in blocks:
            pixels, self.flags[block.rows] = cut_stamps(
                strip.image,
                block.x,
                block.y - strip.y0,
                self.size_px,
                weight=strip.weight,
                mask=strip.mask,
                mask_bits=tile.mask_bits,
                scale=tile.maggies,
                out=room[: len(block.rows)],
            )
            self.stamps.put(block.rows, pixels)


def _blocks(rows: Rows) -> Iterator[Rows]:
    return (rows[start : start + _BLOCK_ROWS] for start in range(0, len(rows), _BLOCK_ROWS))


def _strips(
    tile: TileHeader, rows: Rows, y: Floats, size_px: int
) -> Iterator[tuple[Rows, TileStrip]]:
    """Read a tile in ascending strips of bounded size, each with the sources it holds whole."""
    if len(rows) == 0:
        return
    ny, nx = tile.shape
    half = size_px // 2 + 2
    height = max(2 * half + 1, STRIP_PIXELS // nx)
    rows = rows[np.argsort(y[rows], kind="stable")]
    with open_tile(tile) as pixels:
        start = 0
        while start < len(rows):
            y0 = int(np.floor(y[rows[start]])) - half
            limit = y0 + height - half - 1
            stop = max(start + 1, int(np.searchsorted(y[rows], limit, side="right")))
            y1 = int(np.ceil(y[rows[stop - 1]])) + half + 1
            yield rows[start:stop], pixels.read(max(0, y0), min(ny, y1))
            start = stop
        pixels.finish()
