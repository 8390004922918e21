"""Labels of a sample near a partition: out of staged chunks, or out of a HATS catalogue itself.

Tables in any order are staged first, sorted along the sky. A HATS catalogue is sorted already, so
each task reads what it needs of it, and no row is copied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import pyarrow as pa
from upath import UPath

from kidsclf.ingest.select import Cut, finite_coordinates, has_label, select
from kidsclf.pipeline.reading import PlannedChunk, survey_cuts
from kidsclf.places import file_fingerprint
from kidsclf.schema import DEC, LABEL, NAME, RA, REDSHIFT, SPATIAL_INDEX, CutCount
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.margin import Stretches, stretches_around, within
from kidsclf.sky.partition import Partition, spatial_index
from kidsclf.store.row_groups import rows_within
from kidsclf.store.staging import StagedChunk
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.hats_folders import HatsFolder
from kidsclf.surveys.table_format import Extent
from kidsclf.surveys.tables import Chunk, read_chunk

_COLUMNS = pa.schema(
    {
        SPATIAL_INDEX: pa.int64(),
        NAME: pa.string(),
        RA: pa.float64(),
        DEC: pa.float64(),
        LABEL: pa.string(),
        REDSHIFT: pa.float32(),
    }
)
BORDER_DEPTH = 2
"""Orders finer than a partition at which its border is followed where few stretches are wanted:
16 pixels inside and 20 around."""

NO_CUTS: tuple[CutCount, ...] = ()


class Labels(Protocol):
    """Where a task finds the labels near its partition."""

    def read(
        self, partition: Partition, margin_arcsec: float
    ) -> tuple[pa.Table, tuple[CutCount, ...]]:
        """Read the labels in a partition and within a margin of it, and perhaps some more.

        Returns
        -------
        pyarrow.Table
            Spatial index, name, position, label and redshift; sorted by index, then name.
        tuple of CutCount
            Of the labels inside the partition, where they had still to be selected.
        """


@dataclass(frozen=True)
class StagedLabels:
    """Labels that were selected and sorted in chunks before."""

    chunks: tuple[StagedChunk, ...]

    def read(
        self, partition: Partition, margin_arcsec: float
    ) -> tuple[pa.Table, tuple[CutCount, ...]]:
        """Read the labels in and round a partition."""
        coarse = stretches_around(partition, margin_arcsec, BORDER_DEPTH).tolist()
        parts = [
            _canonical(chunk.read(first, stop)) for chunk in self.chunks for first, stop in coarse
        ]
        table = _sorted(parts)
        stretches = stretches_around(partition, margin_arcsec)
        near = within(table[SPATIAL_INDEX].to_numpy(), stretches)
        return table.filter(pa.array(near)), NO_CUTS


@dataclass(frozen=True)
class HatsLabels:
    """Labels in files of a HATS catalogue, selected as they are read."""

    files: tuple[UPath, ...]
    index_column: str
    column_map: ColumnMap
    classes: tuple[str, ...]

    def read(
        self, partition: Partition, margin_arcsec: float
    ) -> tuple[pa.Table, tuple[CutCount, ...]]:
        """Read the labels in and round a partition."""
        stretches = stretches_around(partition, margin_arcsec)
        cuts = label_cuts(self.column_map, self.classes)
        parts, counts = [], []
        for file in self.files:
            for first, near in rows_within(file, self.index_column, stretches):
                chunk = Chunk(file, Extent(first, len(near)), file.stem)
                table = _placed(read_chunk(chunk, self.column_map, only=near), stretches)
                table, counted = _select_counting(table, cuts, partition)
                parts.append(_canonical(table))
                counts.append(counted)
        return _sorted(parts), added(counts)


class LabelSource(Protocol):
    """A sample's labels, as the client knows them."""

    def near(self, stretches: Stretches) -> tuple[Labels, list[object]]:
        """Choose the labels that a task needs, and what its fingerprint shall say of them."""


class StagedSource:
    """Chunks of a sample, and where on the sky they hold rows."""

    def __init__(self, planned: Sequence[PlannedChunk]) -> None:
        self._planned = planned
        counts = [each.staged.read_counts(each.reading.count_order) for each in planned]
        self._sky = SkyIndex.of_counts(counts)

    def near(self, stretches: Stretches) -> tuple[Labels, list[object]]:
        """Choose the chunks that hold labels there."""
        found = [self._planned[k] for k in self._sky.touching(stretches)]
        labels = StagedLabels(tuple(chunk.staged for chunk in found))
        return labels, [chunk.fingerprint for chunk in found]


class HatsSource:
    """Files of a HATS catalogue, and where on the sky they lie."""

    def __init__(
        self, catalogue: HatsFolder, column_map: ColumnMap, classes: tuple[str, ...]
    ) -> None:
        self._catalogue = catalogue
        self._column_map = column_map
        self._classes = classes
        self._sky = SkyIndex.of_partitions(catalogue.partitions)
        self._fingerprint = cache(file_fingerprint)

    def near(self, stretches: Stretches) -> tuple[Labels, list[object]]:
        """Choose the files that may hold labels there."""
        catalogue = self._catalogue
        files = tuple(catalogue.files[k] for k in self._sky.touching(stretches))
        labels = HatsLabels(files, catalogue.index_column, self._column_map, self._classes)
        return labels, [self._fingerprint(file) for file in files]


def labels_only(column_map: ColumnMap) -> ColumnMap:
    """Leave the photometry out of a column map: a match has no use for it."""
    nothing = {"bands": (), "magnitudes": None, "reference_band": None, "half_light_radius": None}
    return column_map.model_copy(update=nothing)


def label_cuts(column_map: ColumnMap, classes: Sequence[str]) -> tuple[Cut, ...]:
    """List what is asked of a label: the survey's own cuts, and a class that counts."""
    return (*survey_cuts(column_map), has_label(classes))


def _placed(table: pa.Table, stretches: Stretches) -> pa.Table:
    """Give rows their spatial index and keep those in some stretches; it is not taken on trust."""
    table, _ = select(table, (finite_coordinates(),))
    index = spatial_index(table[RA].to_numpy(), table[DEC].to_numpy())
    placed = table.append_column(SPATIAL_INDEX, pa.array(index, pa.int64()))
    near = within(index, stretches)
    return placed if near.all() else placed.filter(pa.array(near))


def _select_counting(
    table: pa.Table, cuts: Sequence[Cut], partition: Partition
) -> tuple[pa.Table, tuple[CutCount, ...]]:
    """Apply cuts, but count only rows inside a partition: its neighbours count the others."""
    counts = []
    inside = partition.contains(table[SPATIAL_INDEX].to_numpy())
    for cut in cuts:
        keep = cut.keep(table)
        cut_rows = int((inside & ~keep).sum())
        counts.append(CutCount(cut.step, cut.reason, int(inside.sum()), cut_rows))
        if not keep.all():
            table, inside = table.filter(pa.array(keep)), inside[keep]
    return table, tuple(counts)


def _canonical(table: pa.Table) -> pa.Table:
    if REDSHIFT not in table.column_names:
        table = table.append_column(REDSHIFT, pa.nulls(table.num_rows, pa.float32()))
    return table.select(_COLUMNS.names).cast(_COLUMNS)


def _sorted(parts: Sequence[pa.Table]) -> pa.Table:
    """Join tables in the order of spatial index and name, whatever parts they came in."""
    table = pa.concat_tables([_COLUMNS.empty_table(), *parts])
    if (np.diff(table[SPATIAL_INDEX].to_numpy()) > 0).all():
        return table
    return table.sort_by([(SPATIAL_INDEX, "ascending"), (NAME, "ascending")])


def added(counts: Sequence[Sequence[CutCount]]) -> tuple[CutCount, ...]:
    """Add up the same cuts of several parts; parts without any add nothing."""
    return tuple(
        CutCount(
            same[0].step,
            same[0].reason,
            sum(each.rows_in for each in same),
            sum(each.rows_cut for each in same),
        )
        for same in zip(*filter(None, counts), strict=True)
    )
