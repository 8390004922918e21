"""Stamps that the user has cut already, aligned with the catalogue by the names of its sources."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kidsclf.config import CutoutSettings, ReadyMadeSettings, StoreSettings
from kidsclf.errors import InputError
from kidsclf.pipeline.context import (
    Context,
    code_fingerprint,
    finished_partitions,
    settings_of,
)
from kidsclf.pipeline.mapping import Made, Task
from kidsclf.places import file_fingerprint, files_below, place
from kidsclf.schema import NAME, CutoutFlag, count_flags
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint
from kidsclf.store.stamp_arrays import ZarrStamps
from kidsclf.store.stamp_encoding import StampBuffer
from kidsclf.surveys.ready_made import CUBE_SUFFIXES, NameIndex, open_cube
from kidsclf.surveys.tables import read_names

_BLOCK_ROWS = 256
_NAMES_AT_ONCE = 500_000


def ready_made_tasks(context: Context) -> list[Task]:
    """Plan one task a partition.

    Raises
    ------
    InputError
        When stamps are missing, or have another size than was asked for.
    """
    settings, store = context.config.cutouts, context.config.store
    files = [
        _files(text, store)
        for band in settings.bands
        for text in (settings.ready_made[band].stamps, settings.ready_made[band].names)
    ]
    for band in settings.bands:
        _open_stamps(settings.ready_made[band], settings.size_px, store)
    base = fingerprint(
        code_fingerprint("ingest", "surveys", "sky", "store"), settings_of(settings), files
    )
    return [
        Task(
            "cutouts",
            partition.label,
            fingerprint(base, receipt.fingerprint),
            take_partition,
            (context.work, partition, settings, store),
            receipt.rows,
        )
        for partition, receipt in finished_partitions(context).items()
    ]


def take_partition(
    work: WorkDirectory, partition: Partition, settings: CutoutSettings, store: StoreSettings
) -> Made:
    """Find, encode and publish the stamps of one partition."""
    table = HatsCatalogue(work.catalogue).read(partition, [NAME])
    names = table[NAME].to_numpy(zero_copy_only=False)
    scales = sorted({settings.ready_made[band].pixel_scale_arcsec for band in settings.bands})
    cutouts = CutoutStore(work.cutouts)
    attributes = {"pixel_scale_arcsec": scales}
    with cutouts.writing(
        partition, names, encoding=settings.encoding, attributes=attributes
    ) as group:
        for band in settings.bands:
            given = settings.ready_made[band]
            stamps = _open_stamps(given, settings.size_px, store)
            index = _index(given, store, stamps.shape[0], _files(given.names, store))
            buffer = group.buffer(settings.size_px)
            maggies = 10.0 ** (-0.4 * given.zero_point)
            flags = take_stamps(stamps, index.rows_of(names), maggies, buffer)
            group.add(band, buffer, flags)
    facts = {
        "flags": count_flags(group.flags),
        "pixel_scales_arcsec": scales,
        "sizes_px": dict.fromkeys(settings.bands, settings.size_px),
    }
    return Made(len(names), (cutouts.path(partition),), facts)


def take_stamps(
    stamps: Any, rows: NDArray[np.int64], maggies: float, buffer: StampBuffer
) -> NDArray[np.uint8]:
    """Hand stamps on, in maggies.

    Parameters
    ----------
    stamps : array (m, size, size)
        What is indexed is read.
    rows : int64 array (n,)
        Row of each source; -1 where it has none.
    maggies : float
        Flux of one unit of the stamps.
    buffer : StampBuffer
        What takes the n stamps: NaN for sources without one, other NaN and infinite pixels 0.

    Returns
    -------
    uint8 array (n,)
        ``CutoutFlag`` bits: MISSING_TILE without a stamp or with one of NaN alone, BAD_PIXEL.
    """
    flags = np.zeros(len(rows), np.uint8)
    for some in _in_order_of(rows):
        there = np.flatnonzero(rows[some] >= 0)
        pixels = np.full((len(some), *stamps.shape[1:]), np.nan, np.float32)
        pixels[there] = stamps[rows[some[there]]]
        pixels *= np.float32(maggies)
        usable = np.isfinite(pixels)
        empty = np.asarray(~usable.any(axis=(1, 2)))
        bad = ~empty & ~usable.all(axis=(1, 2))
        pixels[~usable & ~empty[:, None, None]] = 0.0
        pixels[empty] = np.nan
        flags[some[empty]] = CutoutFlag.MISSING_TILE
        flags[some[bad]] = CutoutFlag.BAD_PIXEL
        buffer.put(some, pixels)
    return flags


def _in_order_of(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Go through the file in its own order."""
    order = np.argsort(rows, kind="stable")
    return (order[k : k + _BLOCK_ROWS] for k in range(0, len(order), _BLOCK_ROWS))


def _open_stamps(given: ReadyMadeSettings, size_px: int, store: StoreSettings) -> Any:
    path = place(given.stamps, store)
    stamps = open_cube(path) if path.suffix in CUBE_SUFFIXES else ZarrStamps(path)
    if tuple(stamps.shape[1:]) != (size_px, size_px):
        found = " x ".join(map(str, stamps.shape[1:]))
        raise InputError(
            f"stamps of {size_px} x {size_px} pixels were asked for (cutouts.size_px), but "
            f"those at {path} have {found}; set cutouts.size_px to their size"
        )
    return stamps


@lru_cache(maxsize=4)
def _index(
    given: ReadyMadeSettings, store: StoreSettings, rows: int, _files: tuple[Any, ...]
) -> NameIndex:
    """Read the names once a worker; the fingerprint of their file is part of the key."""
    path = place(given.names, store)
    index = NameIndex(read_names(path, given.name_column, _NAMES_AT_ONCE), str(path))
    if len(index) != rows:
        raise InputError(
            f"a name for each of the {rows} stamps at {given.stamps} was asked for, but {path} "
            f"holds {len(index)}; give the table that belongs to them"
        )
    return index


def _files(text: str, store: StoreSettings) -> tuple[Any, ...]:
    """Identify a file, or all files of a Zarr array."""
    path = place(text, store)
    if path.is_file():
        return file_fingerprint(path)
    found = tuple(file_fingerprint(file) for file in sorted(files_below(path), key=str))
    if not found:
        raise InputError(f"{path} was asked for but is not there; correct cutouts.ready_made")
    return found
