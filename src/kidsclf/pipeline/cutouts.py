"""Stage ``cutouts``: a stamp of every source, from tiles or from stamps cut before."""

from collections.abc import Mapping, Sequence

import numpy as np

from kidsclf.config import CutoutSettings
from kidsclf.errors import InputError
from kidsclf.pipeline.context import (
    Context,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    settings_of,
)
from kidsclf.pipeline.cut_band import cut_band
from kidsclf.pipeline.mapping import Made, Mapped, Task
from kidsclf.pipeline.ready_made import ready_made_tasks
from kidsclf.pipeline.tile_headers import BandTiles, read_tiles
from kidsclf.places import file_fingerprint
from kidsclf.schema import DEC, NAME, RA, count_flags
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint
from kidsclf.surveys.tiles import TileHeader

_SCALE_TOLERANCE = 0.01

Tiles = Mapping[str, tuple[TileHeader, ...]]


def run(context: Context) -> StageOutcome:
    """Cut the stamps of all partitions.

    Raises
    ------
    InputError
        When tiles or ready-made stamps are missing or cannot be read.
    """
    if not context.has_images:
        return StageOutcome("cutouts", 0, 0, 0, 0.0, 0.0)
    tasks, *headers = plan(context)
    made = context.engine.map(tasks)
    CutoutStore(context.work.cutouts).keep_only(
        Partition.parse(receipt.task) for receipt in made.receipts
    )
    rows = sum(receipt.rows for receipt in made.receipts)
    return StageOutcome.of("cutouts", *headers, made, rows=rows)


def plan(context: Context) -> tuple[list[Task], *tuple[Mapped, ...]]:
    """Plan one task a partition, after the headers of tiles were read."""
    if context.config.cutouts.ready_made:
        return (ready_made_tasks(context),)
    tiles, headers = read_tiles(context)
    return _tasks(context, tiles), headers


def _tasks(context: Context, tiles: Mapping[str, BandTiles]) -> list[Task]:
    settings = context.config.cutouts
    sizes = {band: stamp_size(band, tiles[band].tiles, settings) for band in settings.bands}
    code = code_fingerprint("ingest", "surveys", "sky", "store")
    base = fingerprint(code, settings_of(settings), sizes)
    stamps = {
        tile.path: [file_fingerprint(path) for path in tile.files]
        for band in settings.bands
        for tile in tiles[band].tiles
    }
    tasks = []
    for partition, receipt in finished_partitions(context).items():
        near = {band: tiles[band].near(partition) for band in settings.bands}
        used = [stamps[tile.path] for band in settings.bands for tile in near[band]]
        tasks.append(
            Task(
                "cutouts",
                partition.label,
                fingerprint(base, receipt.fingerprint, used),
                cut_partition,
                (context.work, partition, near, sizes, settings),
                receipt.rows,
            )
        )
    return tasks


def stamp_size(band: str, tiles: Sequence[TileHeader], settings: CutoutSettings) -> int:
    """Say how many pixels the side of a band's stamps has.

    Raises
    ------
    InputError
        When it was given in arcsec, but the tiles of the band have several pixel scales.
    """
    if settings.size_arcsec is None:
        return settings.size_px
    scales = [tile.pixel_scale_arcsec for tile in tiles]
    low, high = min(scales), max(scales)
    if high > (1 + _SCALE_TOLERANCE) * low:
        raise InputError(
            f"stamps of {settings.size_arcsec} arcsec in {band} were asked for, but its tiles have "
            f"pixels of {low:.4f} to {high:.4f} arcsec; set cutouts.size_px or give tiles of one "
            f"scale"
        )
    # Odd, so that the source sits on the middle pixel.
    return 2 * round((settings.size_arcsec / float(np.median(scales)) - 1.0) / 2.0) + 1


def cut_partition(
    work: WorkDirectory,
    partition: Partition,
    tiles: Tiles,
    sizes: Mapping[str, int],
    settings: CutoutSettings,
) -> Made:
    """Cut and publish the stamps of one partition."""
    table = HatsCatalogue(work.catalogue).read(partition, [NAME, RA, DEC])
    ra, dec = table[RA].to_numpy(), table[DEC].to_numpy()
    names = table[NAME].to_numpy(zero_copy_only=False)
    scales = {tile.pixel_scale_arcsec for band in settings.bands for tile in tiles[band]}
    scales_arcsec = sorted({round(scale, 6) for scale in scales})
    store = CutoutStore(work.cutouts)
    with store.writing(
        partition,
        names,
        encoding=settings.encoding,
        attributes={"pixel_scale_arcsec": scales_arcsec},
    ) as group:
        for band in settings.bands:
            stamps = group.buffer(sizes[band])
            group.add(band, stamps, cut_band(tiles[band], ra, dec, sizes[band], stamps))
    facts = {
        "flags": count_flags(group.flags),
        "pixel_scales_arcsec": scales_arcsec,
        "sizes_px": dict(sizes),
    }
    return Made(len(ra), (store.path(partition),), facts)
