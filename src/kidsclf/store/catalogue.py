"""HATS catalogues: HEALPix-partitioned Parquet that LSDB, TOPCAT and plain readers open."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hats.catalog import PartitionInfo, TableProperties
from hats.io import file_io, parquet_metadata, paths, skymap
from hats.pixel_math import HealpixPixel
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX
from kidsclf.sky.partition import INDEX_ORDER, Partition
from kidsclf.sky.split import PixelCounts
from kidsclf.store.publish import published_file, remove_unfinished

_ROW_GROUP = 65_536
SKYMAP_ORDER = 8


@dataclass(frozen=True)
class HatsCatalogue:
    """One HATS catalogue on disk."""

    root: Path

    def path(self, partition: Partition) -> Path:
        """Say where a partition's file lies."""
        folder = (partition.pixel // 10_000) * 10_000
        return (
            self.root / "dataset" / f"Norder={partition.order}" / f"Dir={folder}"
        ) / f"Npix={partition.pixel}.parquet"

    def write(self, partition: Partition, table: pa.Table) -> Path:
        """Publish a partition whose rows are sorted and inside it.

        Raises
        ------
        StoreError
            When a row lies outside the partition or the rows are not sorted by the spatial
            index: such a file would be read wrongly by everybody.
        """
        fault = _fault(partition, table.num_rows, table[SPATIAL_INDEX].to_numpy())
        if fault:
            raise StoreError(
                f"partition {partition.label} was to be written with its own rows in order, but "
                f"{fault}; this is a defect of the program, report it"
            )
        path = self.path(partition)
        with published_file(path) as temporary:
            pq.write_table(
                table, temporary, compression="zstd", row_group_size=_ROW_GROUP, store_schema=True
            )
        return path

    def read(self, partition: Partition, columns: Sequence[str] | None = None) -> pa.Table:
        """Read a partition, or some of its columns.

        Raises
        ------
        StoreError
            When the file is missing or damaged.
        """
        path = self.path(partition)
        try:
            with pq.ParquetFile(path) as file:
                return file.read(columns=list(columns) if columns is not None else None)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"partition {partition.label} of {self.root} was expected at {path}, but it "
                f"cannot be read ({error}); run the same command again to make it anew"
            ) from error

    def exists(self, partition: Partition) -> bool:
        """Say whether a partition has a file."""
        return self.path(partition).exists()

    def partitions(self) -> tuple[Partition, ...]:
        """List the partitions of a finished catalogue in the order of the spatial index."""
        path = self.root / "partition_info.csv"
        try:
            with path.open(encoding="utf-8") as file:
                rows = [(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(file)]
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(
                f"a HATS catalogue was expected at {self.root}, but {path.name} cannot be read; "
                f"run the stage that makes it"
            ) from error
        return in_sky_order(Partition(order, pixel) for order, pixel in rows)

    def check(self, partitions: Iterable[tuple[Partition, int]]) -> PixelCounts:
        """Hold every partition's file against its receipt; count rows by pixel on the way.

        Raises
        ------
        StoreError
            When a file is missing or damaged, holds another number of rows than its receipt, a
            row of another partition, or rows out of the order of the spatial index.
        """
        parts = []
        for partition, rows in partitions:
            index = self.read(partition, [SPATIAL_INDEX])[SPATIAL_INDEX].to_numpy()
            fault = _fault(partition, rows, index)
            if fault:
                raise StoreError(
                    f"partition {partition.label} of {self.root} should hold {rows} rows of its "
                    f"own in order, but {fault}; run again with --fresh"
                )
            parts.append(PixelCounts.of_indices(index, SKYMAP_ORDER))
        return PixelCounts.merge(parts, SKYMAP_ORDER)

    def finish(self, name: str, partitions: Sequence[tuple[Partition, int]]) -> None:
        """Remove files of other partitions and write the catalogue's metadata.

        Parameters
        ----------
        name : str
        partitions : sequence of (Partition, rows)
            All of them; those without rows have no file and are left out by the caller.

        Raises
        ------
        StoreError
            When the files hold another number of rows than the receipts say.
        """
        wanted = {self.path(partition) for partition, _ in partitions}
        dataset = self.root / "dataset"
        dataset.mkdir(parents=True, exist_ok=True)
        for path in dataset.rglob("Npix=*.parquet"):
            if path not in wanted:
                path.unlink()
        remove_unfinished(dataset)  # of workers killed in this run; hats would take it for ours
        if not partitions:
            for old in ("partition_info.csv", "hats.properties", "properties"):
                (self.root / old).unlink(missing_ok=True)
            return
        counts = self.check(partitions)
        pixels = [HealpixPixel(partition.order, partition.pixel) for partition, _ in partitions]
        PartitionInfo.from_healpix(pixels).write_to_file(
            paths.get_partition_info_pointer(self.root)
        )
        parquet_metadata.write_parquet_metadata(self.root)
        histogram = _skymap(counts)
        skymap.write_skymap(histogram, self.root)
        file_io.write_fits_image(histogram, paths.get_point_map_file_pointer(self.root))
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
        ).to_properties_file(self.root)


def _fault(partition: Partition, rows: int, index: NDArray[np.int64]) -> str:
    """Say what is wrong with a partition's spatial index; nothing is an empty string."""
    if len(index) != rows:
        return f"it holds {len(index)}"
    strangers = int((~partition.contains(index)).sum())
    if strangers:
        return f"{strangers} lie outside it"
    return "they are not sorted" if (np.diff(index) < 0).any() else ""


def _skymap(counts: PixelCounts) -> NDArray[np.int64]:
    coarse = counts.coarsened(SKYMAP_ORDER)
    histogram = np.zeros(12 * 4**SKYMAP_ORDER, np.int64)
    histogram[coarse.pixels] = coarse.rows
    return histogram


def in_sky_order(partitions: Iterable[Partition]) -> tuple[Partition, ...]:
    """Sort partitions along the spatial index."""
    return tuple(sorted(partitions, key=lambda partition: partition.first_index))


def sort_rows(table: pa.Table) -> pa.Table:
    """Sort rows by the spatial index, then by identifier."""
    return table.sort_by([(SPATIAL_INDEX, "ascending"), (NAME, "ascending")])
