"""Sorted chunks between reading a survey and splitting it over the sky.

A chunk is an Arrow file of small batches in the order of the sky, so that a task reads little more
than the rows of its own partition, from a disk as from an object store. Rows that lie close to the
border of a pixel are held a second time, among those of the pixel beyond it: whatever the sky is
split into, a partition and its margin are one range of the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.places import Place, open_to_read
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.borders import beyond_borders
from kidsclf.sky.partition import INDEX_ORDER, Partition
from kidsclf.sky.split import PixelCounts, run_starts
from kidsclf.store.publish import published_file
from kidsclf.store.tables import read_table, write_table

_BATCH_ROWS = 4_096
"""Half a megabyte of nine bands: a partition of 100,000 rows reads a twentieth too much."""
_PLACE = "_place"
"""Where a row stands in the file: its spatial index, or the first of the pixel it is close to."""
_STARTS = b"starts"


@dataclass(frozen=True)
class StagedChunk:
    """Rows of one chunk of input, sorted by the spatial index, and their counts by pixel."""

    rows: Place
    counts: Place

    def write(self, table: pa.Table, count_order: int, margin_arcsec: float = 0.0) -> None:
        """Publish the chunk's rows and counts.

        Parameters
        ----------
        table : pyarrow.Table
            With the spatial index.
        count_order : int
            Of the pixels that are counted, at least that of any partition to be gathered.
        margin_arcsec : float
            How far beyond its border a partition sees; 0 is not at all.
        """
        index = table[SPATIAL_INDEX].to_numpy()
        shift = 2 * (INDEX_ORDER - count_order)
        copied, beyond = np.empty(0, np.int64), np.empty(0, np.int64)
        if margin_arcsec:
            copied, beyond = beyond_borders(index, count_order, margin_arcsec)
        place = np.concatenate([index, beyond << shift])
        order = np.argsort(place, kind="stable")
        place = place[order]
        rows = np.concatenate([np.arange(len(index)), copied])[order]
        self._write_rows(table.take(rows).append_column(_PLACE, pa.array(place)))
        pixels = place >> shift
        starts = run_starts(pixels)
        own = (order < len(index)).astype(np.int64)
        counts = np.add.reduceat(own, starts) if len(starts) else own
        write_table(self.counts, pa.table({"pixel": pixels[starts], "rows": counts}))

    def _write_rows(self, table: pa.Table) -> None:
        starts = table[_PLACE].to_numpy()[::_BATCH_ROWS]
        schema = table.schema.with_metadata({_STARTS: starts.astype("<i8").tobytes()})
        table = table.combine_chunks()  # or a batch would end where a chunk of the table does
        with published_file(self.rows) as temporary, pa.ipc.new_file(temporary, schema) as writer:
            writer.write_table(table, max_chunksize=_BATCH_ROWS)

    def read_counts(self, count_order: int) -> PixelCounts:
        """Read the counts by pixel; 0 rows where only the margin of a pixel holds some."""
        table = read_table(self.counts)
        return PixelCounts(count_order, table["pixel"].to_numpy(), table["rows"].to_numpy())

    def read(self, first_index: int, last_index: int) -> pa.Table:
        """Read the rows of a range of the spatial index, whole pixels, and those of its margin.

        Raises
        ------
        StoreError
            When the chunk is missing or damaged.
        """
        try:
            with open_to_read(self.rows) as file, pa.ipc.open_file(file) as reader:
                starts = np.frombuffer(reader.schema.metadata[_STARTS], "<i8")
                # Rows of one place may begin at the end of the batch before.
                begin = max(0, int(starts.searchsorted(first_index)) - 1)
                end = int(starts.searchsorted(last_index))
                batches = [reader.get_batch(k) for k in range(begin, end)]
                table = pa.Table.from_batches(batches, reader.schema.remove_metadata())
        except StoreError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"staged rows were expected in {self.rows}, but they cannot be read ({error}); run "
                f"the same command again to make them anew"
            ) from error
        place = table[_PLACE].to_numpy()
        start, stop = place.searchsorted([first_index, last_index])
        return _each_once(table.slice(int(start), int(stop - start)), first_index, last_index)


def _each_once(table: pa.Table, first_index: int, last_index: int) -> pa.Table:
    """Leave out copies of rows that are in the range themselves, and second copies of others."""
    index, place = table[SPATIAL_INDEX].to_numpy(), table[_PLACE].to_numpy()
    table = table.drop_columns(_PLACE)
    copied = np.flatnonzero(place != index)
    if len(copied) == 0:
        return table
    outside = (index[copied] < first_index) | (index[copied] >= last_index)
    # Rows of one index are close to the same pixels: those of the first are the first copies.
    _, first, group = np.unique(index[copied], return_index=True, return_inverse=True)
    again = place[copied] != place[copied][first][group]
    kept = np.ones(len(index), np.bool_)
    kept[copied[~outside | again]] = False
    return table.filter(pa.array(kept))


def chunks_of(
    partitions: Sequence[Partition], occupied: Sequence[NDArray[np.int64]], order: int
) -> tuple[tuple[int, ...], ...]:
    """Say for each partition which chunks hold rows of it or of its margin.

    Parameters
    ----------
    partitions : sequence of Partition
        Disjoint, in the order of the spatial index.
    occupied : sequence of int64 arrays
        For each chunk the pixels that it counts, ascending.
    order : int
        Of those pixels.
    """
    shift = 2 * (INDEX_ORDER - order)
    firsts = np.array([partition.first_index for partition in partitions])
    lasts = np.array([partition.last_index for partition in partitions])
    found: list[list[int]] = [[] for _ in partitions]
    for number, pixels in enumerate(occupied):
        at = np.searchsorted(firsts, pixels << shift, side="right") - 1
        inside = (at >= 0) & (pixels << shift < lasts[at])
        for place in np.unique(at[inside]):
            found[place].append(number)
    return tuple(map(tuple, found))


def gather(chunks: Sequence[StagedChunk], partition: Partition) -> pa.Table:
    """Join what several chunks hold of one partition and its margin."""
    return concatenate(
        [chunk.read(partition.first_index, partition.last_index) for chunk in chunks]
    )


def concatenate(parts: list[pa.Table]) -> pa.Table:
    """Join tables; columns of other but like types are joined as one type."""
    return pa.concat_tables(parts, promote_options="permissive").combine_chunks()
