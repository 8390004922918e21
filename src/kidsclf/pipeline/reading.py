"""Read survey tables in chunks: select, sort and stage them. Ingest and match share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from kidsclf.ingest.select import Cut, finite_coordinates, select, survey_cut
from kidsclf.pipeline.context import Context, code_fingerprint, file_fingerprint
from kidsclf.pipeline.mapping import Made, Task
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX, CutCount, canonical_names
from kidsclf.sky.partition import spatial_index
from kidsclf.store.catalogue import SKYMAP_ORDER
from kidsclf.store.receipts import Receipt, fingerprint
from kidsclf.store.staging import StagedChunk
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.tables import Chunk, find_files, plan_chunks, read_chunk


@dataclass(frozen=True)
class Reading:
    """How the chunks of one table are read."""

    column_map: ColumnMap
    cuts: tuple[Cut, ...]
    keep_columns: tuple[str, ...]
    count_order: int


def count_order(context: Context) -> int:
    """Give the order at which rows are counted: that of the finest partition or of the map."""
    return max(context.config.ingest.max_order, SKYMAP_ORDER)


def survey_cuts(column_map: ColumnMap) -> tuple[Cut, ...]:
    """Make the cuts that a column map asks for, after that on coordinates."""
    rules = [survey_cut(rule.name, rule.columns, rule.op, rule.value) for rule in column_map.cuts]
    return (finite_coordinates(), *rules)


def reading_tasks(
    context: Context, stage: str, patterns: Sequence[str], reading: Reading, folder: Path
) -> tuple[Task, ...]:
    """Plan one task a chunk of the files that the patterns name.

    Raises
    ------
    InputError
        When a pattern names no file, or a file cannot be read.
    """
    files = find_files(patterns)
    stamps = {path: file_fingerprint(path) for path in files}
    chunks = plan_chunks(files, context.config.ingest.chunk_rows)
    base = fingerprint(
        code_fingerprint("ingest", "surveys", "sky"),
        reading.column_map.model_dump(),
        [(cut.step, cut.reason) for cut in reading.cuts],
        reading.keep_columns,
        reading.count_order,
    )
    return tuple(
        Task(
            stage,
            f"chunk-{number:05d}",
            fingerprint(base, stamps[chunk.path], chunk.first_row, chunk.rows),
            stage_chunk,
            (chunk, reading, folder, f"chunk-{number:05d}"),
            chunk.rows,
        )
        for number, chunk in enumerate(chunks)
    )


def stage_chunk(chunk: Chunk, reading: Reading, folder: Path, name: str) -> Made:
    """Read, select and stage one chunk."""
    table = read_chunk(chunk, reading.column_map, reading.keep_columns)
    table, counts = select(table, reading.cuts)
    index = spatial_index(table[RA].to_numpy(), table[DEC].to_numpy())
    table = table.add_column(0, SPATIAL_INDEX, pa.array(index, pa.int64()))
    only_for_cuts = set(reading.column_map.cut_columns()) - set(reading.keep_columns)
    own = {SPATIAL_INDEX, *canonical_names(reading.column_map.bands)}
    table = table.select([c for c in table.column_names if c in own or c not in only_for_cuts])
    staged = StagedChunk.at(folder, name)
    staged.write(table, reading.count_order)
    facts = {
        "kept": table.num_rows,
        "cuts": cut_rows(counts),
    }
    return Made(chunk.rows, (staged.rows, staged.counts), facts)


def total_cuts(receipts: Sequence[Receipt]) -> list[CutCount]:
    """Add up the cuts of several chunks or partitions, step by step."""
    total: dict[str, CutCount] = {}
    for receipt in receipts:
        for step, reason, rows_in, rows_cut in receipt.facts["cuts"]:
            before = total.get(step, CutCount(step, reason, 0, 0))
            total[step] = CutCount(
                step, reason, before.rows_in + rows_in, before.rows_cut + rows_cut
            )
    return list(total.values())


def cut_rows(cuts: Sequence[CutCount]) -> list[list[object]]:
    """Write cuts as a receipt holds them."""
    return [[cut.step, cut.reason, cut.rows_in, cut.rows_cut] for cut in cuts]


def longest_name(table: pa.Table) -> int:
    """Measure the longest identifier, bytes."""
    return max((len(name.encode()) for name in table[NAME].to_pylist()), default=0)
