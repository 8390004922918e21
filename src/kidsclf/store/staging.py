"""Sorted chunks between reading a survey and splitting it over the sky."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import Partition
from kidsclf.sky.split import PixelCounts
from kidsclf.store.publish import published_file
from kidsclf.store.tables import read_rows_between, read_table, write_table

_ROW_GROUP = 16_384
OCCUPANCY_ORDER = 6
"""Pixels of 0.8 square degrees in which a chunk is remembered to hold rows."""


@dataclass(frozen=True)
class StagedChunk:
    """Rows of one chunk of input, sorted by the spatial index, and their counts by pixel."""

    rows: Path
    counts: Path

    @classmethod
    def at(cls, folder: Path, name: str) -> "StagedChunk":
        """Say where a chunk of this name lies."""
        return cls(folder / f"{name}.parquet", folder / f"{name}.counts.parquet")

    def write(self, table: pa.Table, count_order: int) -> None:
        """Publish the chunk's rows and counts."""
        table = table.sort_by(SPATIAL_INDEX)
        with published_file(self.rows) as temporary:
            pq.write_table(table, temporary, compression="zstd", row_group_size=_ROW_GROUP)
        counts = PixelCounts.of_indices(table[SPATIAL_INDEX].to_numpy(), count_order)
        write_table(self.counts, pa.table({"pixel": counts.pixels, "rows": counts.rows}))

    def read_counts(self, count_order: int) -> PixelCounts:
        """Read the counts by pixel."""
        table = read_table(self.counts)
        return PixelCounts(count_order, table["pixel"].to_numpy(), table["rows"].to_numpy())

    def read(self, first_index: int, last_index: int) -> pa.Table:
        """Read the rows of a range of the spatial index."""
        return read_rows_between(self.rows, SPATIAL_INDEX, first_index, last_index)


def touching(counts: PixelCounts, partitions: Iterable[Partition]) -> bool:
    """Say whether any counted row may lie in one of some partitions.

    Coarse counts answer yes too often, never no wrongly.
    """
    for partition in partitions:
        shift = 2 * (counts.order - partition.order)
        if shift >= 0:
            bounds = [partition.pixel << shift, (partition.pixel + 1) << shift]
        else:
            bounds = [partition.pixel >> -shift, (partition.pixel >> -shift) + 1]
        start, stop = np.searchsorted(counts.pixels, bounds)
        if stop > start:
            return True
    return False


def gather(chunks: tuple[StagedChunk, ...], partition: Partition) -> pa.Table:
    """Join what several chunks hold of one partition."""
    return concatenate(
        [chunk.read(partition.first_index, partition.last_index) for chunk in chunks]
    )


def concatenate(parts: list[pa.Table]) -> pa.Table:
    """Join tables; columns of other but like types are joined as one type."""
    return pa.concat_tables(parts, promote_options="permissive").combine_chunks()
