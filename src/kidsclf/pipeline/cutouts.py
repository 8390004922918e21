"""Stage ``cutouts``: a stamp of every source from the image tile in which it lies deepest."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kidsclf.config import CutoutSettings
from kidsclf.ingest.stamps import choose_tile, cut_stamps
from kidsclf.pipeline.context import (
    Context,
    StageOutcome,
    code_fingerprint,
    file_fingerprint,
    finished_partitions,
    settings_of,
)
from kidsclf.pipeline.mapping import Made, Task
from kidsclf.schema import DEC, NAME, RA, CutoutFlag
from kidsclf.sky.cap import partition_cap, separation_deg
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint
from kidsclf.surveys.tables import find_files
from kidsclf.surveys.tile_pixels import footprint_contains, read_window
from kidsclf.surveys.tiles import TileHeader, read_tile_headers

_WINDOW_PIXELS = 16_000_000
"""Largest piece of a tile read at once: 64 MB of float32."""

Tiles = dict[str, tuple[TileHeader, ...]]


def run(context: Context) -> StageOutcome:
    """Cut the stamps of all partitions.

    Raises
    ------
    InputError
        When the tiles are missing or cannot be read.
    """
    if not context.has_images:
        return StageOutcome("cutouts", 0, 0, 0, 0.0, 0.0)
    settings = context.config.cutouts
    files = find_files(context.config.survey.tiles)
    tiles = {band: read_tile_headers(files, band) for band in settings.bands}
    stamps = {
        tile.path: [file_fingerprint(path) for path in _files_of(tile)]
        for band in settings.bands
        for tile in tiles[band]
    }
    code = code_fingerprint("ingest", "surveys", "sky", "store")
    tasks = []
    for partition, receipt in finished_partitions(context).items():
        near = {band: _near(partition, tiles[band]) for band in settings.bands}
        used = [stamps[tile.path] for band in settings.bands for tile in near[band]]
        tasks.append(
            Task(
                "cutouts",
                partition.label,
                fingerprint(code, receipt.fingerprint, settings_of(settings), used),
                cut_partition,
                (context.work, partition, near, settings),
                receipt.rows,
            )
        )
    made = context.engine.map(tasks)
    CutoutStore(context.work.cutouts).keep_only(
        Partition.parse(receipt.task) for receipt in made.receipts
    )
    return StageOutcome.of("cutouts", made)


def _files_of(tile: TileHeader) -> list[str]:
    return [path for path in (tile.path, tile.weight_path, tile.mask_path) if path is not None]


def _near(partition: Partition, tiles: Sequence[TileHeader]) -> tuple[TileHeader, ...]:
    ra, dec, radius = partition_cap(partition)
    return tuple(
        tile
        for tile in tiles
        if separation_deg(ra, dec, tile.ra, tile.dec) <= radius + tile.radius_deg
    )


def cut_partition(
    work: WorkDirectory, partition: Partition, tiles: Tiles, settings: CutoutSettings
) -> Made:
    """Cut and publish the stamps of one partition."""
    table = HatsCatalogue(work.catalogue).read(partition, [NAME, RA, DEC])
    ra, dec = table[RA].to_numpy(), table[DEC].to_numpy()
    flags = np.zeros(len(ra), np.uint8)
    stamps = {}
    for band in settings.bands:
        stamps[band], band_flags = cut_band(tiles[band], ra, dec, settings.size_px)
        flags |= band_flags
    names = table[NAME].to_numpy(zero_copy_only=False)
    scales = {tile.pixel_scale_arcsec for band in settings.bands for tile in tiles[band]}
    scales_arcsec = sorted(round(scale, 6) for scale in scales)
    attributes = {"pixel_scale_arcsec": scales_arcsec}
    path = CutoutStore(work.cutouts).write(
        partition, names, stamps, flags, encoding=settings.encoding, attributes=attributes
    )
    counts = {flag.name: int(np.count_nonzero(flags & flag.value)) for flag in CutoutFlag}
    return Made(len(ra), (path,), {"flags": counts, "pixel_scales_arcsec": scales_arcsec})


def cut_band(
    tiles: Sequence[TileHeader],
    ra: NDArray[np.float64],
    dec: NDArray[np.float64],
    size_px: int,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut stamps of one band, each from the tile in which its source lies deepest.

    Parameters
    ----------
    tiles : sequence of TileHeader
    ra, dec : float64 arrays (n,)
        Degrees.

    Returns
    -------
    stamps : float32 array (n, size_px, size_px)
        Maggies; NaN where no tile holds the source.
    flags : uint8 array (n,)
        ``CutoutFlag`` bits.
    """
    stamps = np.full((len(ra), size_px, size_px), np.nan, np.float32)
    flags = np.full(len(ra), CutoutFlag.MISSING_TILE, np.uint8)
    if not tiles:
        return stamps, flags
    places = [footprint_contains(tile, ra, dec) for tile in tiles]
    chosen = choose_tile(np.stack([depth for _, _, depth in places]))
    for number, tile in enumerate(tiles):
        rows = np.flatnonzero(chosen == number)
        x, y, _ = places[number]
        for some, window in _windows(tile, rows, x, y, size_px):
            x0, x1, y0, y1 = window
            pixels = read_window(tile, x0, x1, y0, y1)
            stamps[some], flags[some] = cut_stamps(
                pixels.image,
                x[some] - pixels.x0,
                y[some] - pixels.y0,
                size_px,
                weight=pixels.weight,
                mask=pixels.mask,
            )
    return stamps, flags


def _windows(
    tile: TileHeader,
    rows: NDArray[np.int64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    size_px: int,
) -> Iterator[tuple[NDArray[np.int64], tuple[int, int, int, int]]]:
    """Group sources into windows of bounded size, in strips along y."""
    if len(rows) == 0:
        return
    half = size_px // 2 + 2
    rows = rows[np.argsort(y[rows], kind="stable")]
    x0, x1 = int(np.floor(x[rows].min())) - half, int(np.ceil(x[rows].max())) + half + 1
    height = max(2 * half + 1, _WINDOW_PIXELS // max(1, x1 - x0))
    start = 0
    while start < len(rows):
        y0 = int(np.floor(y[rows[start]])) - half
        limit = y0 + height - half - 1
        stop = max(start + 1, int(np.searchsorted(y[rows], limit, side="right")))
        some = rows[start:stop]
        y1 = int(np.ceil(y[some[-1]])) + half + 1
        yield some, (max(0, x0), min(tile.shape[1], x1), max(0, y0), min(tile.shape[0], y1))
        start = stop
