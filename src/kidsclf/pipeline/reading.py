"""Read survey tables in chunks: select, sort and stage them. Ingest and match share it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.config import CutRule
from kidsclf.ingest.select import Cut, finite_coordinates, select, survey_cut
from kidsclf.pipeline.context import Context, code_fingerprint
from kidsclf.pipeline.mapping import Made, Task
from kidsclf.places import Place, file_fingerprint
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX, CutCount, canonical_names
from kidsclf.sky.partition import spatial_index
from kidsclf.store.hats_metadata import SKYMAP_ORDER
from kidsclf.store.receipts import Receipt, fingerprint
from kidsclf.store.staging import StagedChunk
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.tables import Chunk, find_files, plan_chunks, read_chunk

FILE = "_file"
"""Column of staged rows that tells the files apart, where that is asked for."""


@dataclass(frozen=True)
class Reading:
    """How the chunks of one table are read.

    Attributes
    ----------
    keep_columns, cut_columns : tuple of str
        The survey's own columns that are staged, and those that only cuts need, besides those of
        the column map's cuts.
    count_order : int
        HEALPix order at which rows are counted.
    margin_arcsec : float
        How far beyond its border a partition will see.
    tell_files : bool
        Whether rows say which file they are of.
    """

    column_map: ColumnMap
    cuts: tuple[Cut, ...]
    keep_columns: tuple[str, ...]
    count_order: int
    cut_columns: tuple[str, ...] = ()
    margin_arcsec: float = 0.0
    tell_files: bool = False


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk that is to be read: what it is called, and where its rows and counts are put."""

    chunk: Chunk
    name: str
    fingerprint: str
    reading: Reading
    staged: StagedChunk

    def task(self, stage: str, work: "Callable[[PlannedChunk], Made]") -> Task:
        """Make a task of it."""
        return Task(stage, self.name, self.fingerprint, work, (self,), self.chunk.rows)


def count_order(context: Context) -> int:
    """Give the order at which rows are counted: that of the finest partition or of the map."""
    return max(context.config.ingest.max_order, SKYMAP_ORDER)


def survey_cuts(column_map: ColumnMap) -> tuple[Cut, ...]:
    """Make the cuts that a column map asks for, after that on coordinates."""
    return (finite_coordinates(), *rule_cuts(column_map.cuts))


def rule_cuts(rules: Sequence[CutRule]) -> tuple[Cut, ...]:
    """Make the cuts of a column map or of ``[[ingest.cuts]]``."""
    return tuple(survey_cut(rule.name, rule.columns, rule.op, rule.value) for rule in rules)


def plan_reading(
    context: Context,
    patterns: Sequence[str],
    reading: Reading,
    rows: Place,
    counts: Place,
) -> tuple[PlannedChunk, ...]:
    """Divide the files that patterns name into chunks.

    Nothing of a chunk depends on the files beside its own: where one is added, the others keep
    their names and fingerprints.

    Parameters
    ----------
    rows, counts : Place
        Folders of the staged rows and of their counts by pixel.

    Raises
    ------
    InputError
        When a pattern names no file, or a file cannot be read.
    """
    files = find_files(patterns, context.config.store)
    stamps = {path: file_fingerprint(path) for path in files}
    base = fingerprint(
        code_fingerprint("ingest", "surveys", "sky"),
        reading.column_map.model_dump(),
        [(cut.step, cut.reason) for cut in reading.cuts],
        [reading.keep_columns, reading.cut_columns],
        [reading.count_order, reading.margin_arcsec, reading.tell_files],
    )
    planned = []
    for chunk in plan_chunks(files, context.config.ingest.chunk_rows):
        title = chunk.title if reading.column_map.identifier.from_rows else ""
        made_of = fingerprint(base, stamps[chunk.path], chunk.first_row, chunk.rows, title)
        name = chunk_name(chunk)
        staged = StagedChunk(rows / f"{name}-{made_of}.arrow", counts / f"{name}.counts.parquet")
        planned.append(PlannedChunk(chunk, name, made_of, reading, staged))
    return tuple(planned)


def chunk_name(chunk: Chunk) -> str:
    """Name a chunk by its file and first row, in letters that a file name may have."""
    stem = re.sub(r"\W+", "_", chunk.path.name.partition(".")[0])[:60]
    return f"{stem}-{fingerprint(str(chunk.path))[:8]}-{chunk.first_row:012d}"


def stage_chunk(planned: PlannedChunk) -> Made:
    """Read, select and stage one chunk."""
    return _stage(planned, (planned.staged.rows, planned.staged.counts))


def count_chunk(planned: PlannedChunk) -> Made:
    """Stage a chunk too, but be finished as long as its counts stand, though its rows may not."""
    return _stage(planned, (planned.staged.counts,))


def _stage(planned: PlannedChunk, outputs: tuple[Place, ...]) -> Made:
    chunk, reading = planned.chunk, planned.reading
    wanted = (*reading.cut_columns, *reading.keep_columns)
    table = read_chunk(chunk, reading.column_map, wanted)
    table, counts = select(table, reading.cuts)
    own = (*reading.column_map.cut_columns(), *reading.cut_columns)
    only_for_cuts = set(own) - set(reading.keep_columns) - canonical_names(reading.column_map.bands)
    table = table.select([name for name in table.column_names if name not in only_for_cuts])
    index = spatial_index(table[RA].to_numpy(), table[DEC].to_numpy())
    table = table.add_column(0, SPATIAL_INDEX, pa.array(index, pa.int64()))
    if reading.tell_files:
        file = pa.scalar(int(fingerprint(str(chunk.path))[:15], 16), pa.int64())
        table = table.append_column(FILE, pa.repeat(file, table.num_rows))
    planned.staged.write(table, reading.count_order, reading.margin_arcsec)
    facts = {"kept": table.num_rows, "cuts": cut_rows(counts)}
    return Made(chunk.rows, outputs, facts)


def total_cuts(receipts: Sequence[Receipt]) -> list[CutCount]:
    """Add up the cuts of several chunks or partitions, step by step."""
    total: list[CutCount] = []
    for receipt in receipts:
        cuts = [CutCount(*cut) for cut in receipt.facts["cuts"]]
        if not total:
            total = cuts
            continue
        total = [
            CutCount(a.step, a.reason, a.rows_in + b.rows_in, a.rows_cut + b.rows_cut)
            for a, b in zip(total, cuts, strict=True)
        ]
    return total


def cut_rows(cuts: Sequence[CutCount]) -> list[list[object]]:
    """Write cuts as a receipt holds them."""
    return [[cut.step, cut.reason, cut.rows_in, cut.rows_cut] for cut in cuts]


def longest_name(table: pa.Table) -> int:
    """Measure the longest identifier, bytes."""
    return int(pc.max(pc.binary_length(table[NAME])).as_py() or 0)
