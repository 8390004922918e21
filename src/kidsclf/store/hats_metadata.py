"""What stands in a HATS catalogue beside its partitions: who holds what, and where on the sky.

The library ``hats`` takes as long to import as all else that a worker needs, so it is imported by
the functions that write with it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.places import Place, open_parquet
from kidsclf.schema import DEC, RA, SPATIAL_INDEX
from kidsclf.sky.partition import INDEX_ORDER, Partition
from kidsclf.sky.split import PixelCounts

SKYMAP_ORDER = 8
_AT_ONCE = 16
"""Files opened side by side: nearly all of it is waiting for the disk or the network."""
_LARGEST_METADATA = 4_000
"""Partitions up to which ``_metadata`` repeats all their footers: 20 kB each for nine bands. HATS
leaves it out of large catalogues, and ``partition_info.csv`` tells the same."""

Held = tuple[Partition, int]
"""A partition and its rows."""


@dataclass(frozen=True)
class Footer:
    """What a partition's file holds, without its rows."""

    partition: Partition
    counts: PixelCounts
    metadata: pq.FileMetaData


def file_of(partition: Partition) -> str:
    """Name a partition's file below ``dataset/``.

    >>> file_of(Partition(9, 123456))
    'Norder=9/Dir=120000/Npix=123456.parquet'
    """
    folder = (partition.pixel // 10_000) * 10_000
    return f"Norder={partition.order}/Dir={folder}/Npix={partition.pixel}.parquet"


def index_fault(partition: Partition, rows: int, index: NDArray[np.int64]) -> str:
    """Say what is wrong with a partition's spatial index; nothing is an empty string."""
    if len(index) != rows:
        return f"it holds {len(index)}"
    strangers = int((~partition.contains(index)).sum())
    if strangers:
        return f"{strangers} lie outside it"
    return "they are not sorted" if (np.diff(index) < 0).any() else ""


def read_footers(
    path_of: Callable[[Partition], Place], partitions: Sequence[Held]
) -> Iterator[Footer]:
    """Hold every partition's file against the rows it should have; a few are open at a time.

    Raises
    ------
    StoreError
        When a file is missing or damaged, holds another number of rows than its receipt, a row of
        another partition, or rows out of the order of the spatial index.
    """

    def read(held: Held) -> Footer:
        partition, rows = held
        path = path_of(partition)
        try:
            with open_parquet(path) as file:
                index = file.read(columns=[SPATIAL_INDEX])[SPATIAL_INDEX].to_numpy()
                metadata = file.metadata
        except StoreError:
            raise
        except (OSError, ValueError, pa.ArrowException) as error:
            raise StoreError(
                f"partition {partition.label} was expected at {path}, but it cannot be read "
                f"({error}); run the same command again to make it anew"
            ) from error
        fault = index_fault(partition, rows, index)
        if fault:
            raise StoreError(
                f"partition {partition.label} at {path} should hold {rows} rows of its own in "
                f"order, but {fault}; run again with --fresh"
            )
        return Footer(partition, PixelCounts.of_indices(index, SKYMAP_ORDER), metadata)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for start in range(0, len(partitions), 64 * _AT_ONCE):
            yield from threads.map(read, partitions[start : start + 64 * _AT_ONCE])


def write_metadata(
    root: Place, name: str, partitions: Sequence[Held], footers: Iterator[Footer]
) -> None:
    """Write all files of a HATS catalogue that are not partitions.

    Parameters
    ----------
    root : path
    name : str
        Of the catalogue.
    partitions : sequence of (Partition, rows)
        At least one.
    footers : iterator of Footer
        Of these partitions, in their order.
    """
    from hats.catalog import PartitionInfo, TableProperties  # noqa: PLC0415
    from hats.io import file_io, paths, skymap  # noqa: PLC0415
    from hats.pixel_math import HealpixPixel  # noqa: PLC0415

    pixels = [HealpixPixel(partition.order, partition.pixel) for partition, _ in partitions]
    PartitionInfo.from_healpix(pixels).write_to_file(paths.get_partition_info_pointer(root))
    histogram = skymap_of(_write_parquet_metadata(root, partitions, footers))
    skymap.write_skymap(histogram, root)
    file_io.write_fits_image(histogram, paths.get_point_map_file_pointer(root))
    TableProperties(
        catalog_name=name,
        catalog_type="object",
        total_rows=sum(rows for _, rows in partitions),
        ra_column=RA,
        dec_column=DEC,
        healpix_column=SPATIAL_INDEX,
        healpix_order=INDEX_ORDER,
        skymap_order=SKYMAP_ORDER,
        hats_max_rows=max(rows for _, rows in partitions),
        moc_sky_fraction=float(np.mean(histogram > 0)),
    ).to_properties_file(root)


def _write_parquet_metadata(
    root: Place, partitions: Sequence[Held], footers: Iterator[Footer]
) -> PixelCounts:
    """Write ``_common_metadata``, and ``_metadata`` if it is not too large; add counts up."""
    from hats.io import file_io, paths  # noqa: PLC0415

    kept: list[tuple[Partition, pq.FileMetaData]] = []
    schema = None
    small = len(partitions) <= _LARGEST_METADATA
    parts = []
    for footer in footers:
        parts.append(footer.counts)
        schema = schema or footer.metadata.schema.to_arrow_schema()
        if small:
            footer.metadata.set_file_path(file_of(footer.partition))
            kept.append((footer.partition, footer.metadata))
    file_io.write_parquet_metadata(schema, paths.get_common_metadata_pointer(root))
    whole = paths.get_parquet_metadata_pointer(root)
    if small:
        collected = [metadata for _, metadata in sorted(kept, key=lambda each: each[0])]
        file_io.write_parquet_metadata(schema, whole, metadata_collector=collected)
    else:
        whole.unlink(missing_ok=True)
    return PixelCounts.merge(parts, SKYMAP_ORDER)


def skymap_of(counts: PixelCounts) -> NDArray[np.int64]:
    """Spread counts over all pixels of the map's order, int64 array (786432,)."""
    coarse = counts.coarsened(SKYMAP_ORDER)
    histogram = np.zeros(12 * 4**SKYMAP_ORDER, np.int64)
    histogram[coarse.pixels] = coarse.rows
    return histogram
