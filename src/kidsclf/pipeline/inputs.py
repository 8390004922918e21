"""Put together what a network is shown of a partition, or of a labelled sample."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.features.images import batches_in_block, rows_in_block
from kidsclf.models.description import InputDescription
from kidsclf.pipeline.read_ahead import read_ahead
from kidsclf.schema import (
    DEC,
    NAME,
    RA,
    SPATIAL_INDEX,
    Inputs,
    error_column,
    magnitude_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.stamp_reader import StampReader


def magnitudes_of(table: pa.Table, bands: Sequence[str]) -> NDArray[np.float32]:
    """Stack magnitudes, float32 array (n, bands); NaN where there is no column."""
    return _stacked(table, list(map(magnitude_column, bands)))


def errors_of(table: pa.Table, bands: Sequence[str]) -> NDArray[np.float32]:
    """Stack errors of magnitudes, float32 array (n, bands); NaN where there is no column."""
    return _stacked(table, list(map(error_column, bands)))


def _stacked(table: pa.Table, columns: Sequence[str]) -> NDArray[np.float32]:
    values = np.full((table.num_rows, len(columns)), np.nan, np.float32)
    for place, column in enumerate(columns):
        if column in table.column_names:
            values[:, place] = table[column].to_numpy()
    return values


def matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Read a column of lists of one length, float32 array (rows, length)."""
    flat = column.combine_chunks().flatten()
    return np.asarray(flat, np.float32).reshape(len(column), -1)


def as_lists(values: NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Make a column of lists of one length, which ``matrix`` reads, of an array (rows, length)."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def columns_read(bands: Sequence[str]) -> list[str]:
    """Name the columns of the catalogue that scoring reads or hands on."""
    return [SPATIAL_INDEX, NAME, RA, DEC, *map(magnitude_column, bands)]


@dataclass(frozen=True)
class Sources:
    """All sources of a partition, their stamps still on disk.

    Attributes
    ----------
    table : pa.Table
        ``columns_read`` of the catalogue, at least for the bands of the network.
    description : InputDescription
        Of the network that they are read for.
    stamps : StampReader or None
        Where the run has stamps, whether or not the network looks at them.
    """

    table: pa.Table
    description: InputDescription
    stamps: StampReader | None

    @cached_property
    def magnitudes(self) -> NDArray[np.float32]:
        """AB magnitudes in the bands of the network, (n, bands); NaN where not measured."""
        return magnitudes_of(self.table, self.description.bands)

    def magnitudes_in(self, bands: Sequence[str]) -> NDArray[np.float32]:
        """AB magnitudes in some of the bands that were read, (n, bands); NaN where not measured."""
        if tuple(bands) == self.description.bands:
            return self.magnitudes
        return magnitudes_of(self.table, bands)

    def magnitude(self, band: str) -> NDArray[np.float32] | None:
        """AB magnitude in any band, (n,); None where it was not read."""
        column = magnitude_column(band)
        return self.table[column].to_numpy() if column in self.table.column_names else None

    def blocks(self, batch_size: int, readers: int = 1) -> Iterator[Inputs]:
        """Give the inputs of all rows, block by block; the next are read while one is in use.

        A block has whole batches. Those being read have together stamps of at most
        ``BLOCK_BYTES``, or of one batch if that is more; stamps of a store of int16 stay packed.
        Networks of photometry get all rows at once. Errors, which no network looks at, are NaN.

        Parameters
        ----------
        batch_size : int
        readers : int
            Threads that read, at most; as many as there is memory for a batch each.
        """
        magnitudes, stamps = self.magnitudes, self.stamps
        errors = np.full_like(magnitudes, np.nan)
        bands, image_bands = self.description.bands, self.description.image_bands
        if stamps is None or not image_bands:
            yield Inputs(magnitudes, errors, bands)
            return

        def read(rows: slice) -> Inputs:
            images = stamps.read_packed(image_bands, rows)
            return Inputs(magnitudes[rows], errors[rows], bands, images)

        of_a_stamp = self.description.size_px, len(image_bands), batch_size
        readers = max(1, min(readers, batches_in_block(*of_a_stamp)))
        step = rows_in_block(*of_a_stamp, readers)
        starts = range(0, max(1, len(magnitudes)), step)
        yield from read_ahead(read, [slice(start, start + step) for start in starts], readers)


def open_sources(
    work: WorkDirectory,
    partition: Partition,
    description: InputDescription,
    *,
    stamps: bool,
    bands: Sequence[str] = (),
) -> Sources:
    """Read what the catalogue has of a partition, and open its stamps if the run has some.

    Magnitudes are read in the bands of the network and in ``bands``, whether or not the network
    looks at them.
    """
    read = list(dict.fromkeys([*description.bands, *bands]))
    table = HatsCatalogue(work.catalogue).read(partition, columns_read(read))
    reader = CutoutStore(work.cutouts).reader(partition, table[NAME]) if stamps else None
    return Sources(table, description, reader)


def rows_of(table: pa.Table, some: pa.Table, partition: Partition) -> NDArray[np.int64]:
    """Find sources, by place and name, in a catalogue partition; int64 row numbers.

    Raises
    ------
    StoreError
        When one is not there.
    """
    index, names = table[SPATIAL_INDEX].to_numpy(), table[NAME].combine_chunks()
    wanted, wanted_names = some[SPATIAL_INDEX].to_numpy(), some[NAME].combine_chunks()
    order = np.argsort(index, kind="stable")
    places = np.searchsorted(index, wanted, sorter=order)
    rows = np.full(len(wanted), -1, np.int64)
    left = np.arange(len(wanted))
    while len(left):  # once, but where several sources have one spatial index
        left = left[places[left] < len(order)]
        tried = order[places[left]]
        here = index[tried] == wanted[left]
        left, tried = left[here], tried[here]
        same = pc.equal(names.take(tried), wanted_names.take(left)).fill_null(False)
        same = same.to_numpy(zero_copy_only=False)
        rows[left[same]] = tried[same]
        left = left[~same]
        places[left] += 1
    if (rows < 0).any():
        raise StoreError(
            f"a sample names sources of partition {partition.label} that the catalogue does not "
            f"hold; run the stage 'match' again"
        )
    return rows
