"""Headers of all tiles, read by the workers once and kept in receipts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kidsclf.config import CutoutSettings
from kidsclf.errors import InputError
from kidsclf.pipeline.context import Context, code_fingerprint
from kidsclf.pipeline.mapping import Made, Mapped, Task
from kidsclf.places import file_fingerprint
from kidsclf.sky.cap import partition_cap, separation_deg
from kidsclf.sky.partition import Partition
from kidsclf.store.receipts import fingerprint
from kidsclf.surveys.tables import find_files
from kidsclf.surveys.tile_names import TileFiles, pair_tiles
from kidsclf.surveys.tiles import TileHeader, check_whole, read_tile_header

_TILES_PER_TASK = 64


@dataclass(frozen=True)
class BandTiles:
    """The tiles of one band, and where on the sky they are."""

    tiles: tuple[TileHeader, ...]

    def near(self, partition: Partition) -> tuple[TileHeader, ...]:
        """List the tiles that may hold sources of a partition, in the order of their files."""
        ra, dec, radius = partition_cap(partition)
        apart = separation_deg(
            np.array([tile.ra for tile in self.tiles]),
            np.array([tile.dec for tile in self.tiles]),
            ra,
            dec,
        )
        reach = radius + np.array([tile.radius_deg for tile in self.tiles])
        return tuple(self.tiles[k] for k in np.flatnonzero(apart <= reach))


def read_tiles(context: Context) -> tuple[dict[str, BandTiles], Mapped]:
    """Read the headers of the tiles of all bands that stamps are asked for.

    Raises
    ------
    InputError
        When a band has no tile, or a header cannot be read; and when a tile is cut short, unless
        the run puts bad input in quarantine: then each partition on it says so.
    """
    settings = context.config.cutouts
    files = pair_tiles(find_files(context.config.survey.tiles, context.config.store))
    wanted = [each for each in files if each.band in (None, *settings.bands)]
    mapped = context.engine.map(_tasks(wanted, settings))
    records = (record for receipt in mapped.receipts for record in receipt.facts["tiles"])
    headers = [TileHeader.from_record(record, context.config.store) for record in records]
    by_band = {}
    for band in settings.bands:
        tiles = tuple(header for header in headers if header.band == band)
        if not tiles:
            raise _no_tiles(band, files, headers)
        if context.config.run.on_bad_input == "stop":
            for tile in tiles:
                check_whole(tile)
        by_band[band] = BandTiles(tiles)
    return by_band, mapped


def read_headers(tiles: Sequence[TileFiles], settings: CutoutSettings) -> Made:
    """Read the headers of some tiles."""
    headers = [read_tile_header(each, settings.hdu, settings.mask_bits) for each in tiles]
    return Made(len(headers), (), {"tiles": [header.to_record() for header in headers]})


def _tasks(tiles: Sequence[TileFiles], settings: CutoutSettings) -> list[Task]:
    code = code_fingerprint("surveys")
    tasks = []
    for number, start in enumerate(range(0, len(tiles), _TILES_PER_TASK)):
        some = tuple(tiles[start : start + _TILES_PER_TASK])
        stamps = [
            file_fingerprint(path)
            for each in some
            for path in (each.path, each.weight, each.mask)
            if path is not None
        ]
        tasks.append(
            Task(
                "cutouts.tiles",
                f"part-{number:05d}",
                fingerprint(code, settings.hdu, settings.mask_bits, stamps),
                read_headers,
                (some, settings),
                len(some),
                essential=True,
            )
        )
    return tasks


def _no_tiles(band: str, files: Sequence[TileFiles], headers: Sequence[TileHeader]) -> InputError:
    found = {each.band for each in files if each.band} | {header.band for header in headers}
    return InputError(
        f"tiles of band {band} were asked for but {len(files)} tiles are of "
        f"{', '.join(sorted(found)) or 'no band'}; correct survey.tiles or cutouts.bands"
    )
