"""Stage ``ingest``: survey catalogues to a HATS catalogue, split where the sky is crowded.

Chunks are read, selected and staged; their counts by pixel, which stay, say how the sky is split
and which chunks a partition is made of. So files that are added later are read alone, with those
that share a partition with them, and all other partitions stay as they are.
"""

from dataclasses import replace

import pyarrow as pa

from kidsclf.errors import InputError, StoreError
from kidsclf.ingest.duplicates import DuplicateRule, doubled_rows, duplicates_cut
from kidsclf.ingest.select import Cut, all_bands_measured, magnitude_limit
from kidsclf.pipeline.context import (
    SUMMARY,
    Context,
    StageOutcome,
    code_fingerprint,
    ingest_settings,
)
from kidsclf.pipeline.mapping import Made, Mapped, Task, made_as
from kidsclf.pipeline.reading import (
    FILE,
    PlannedChunk,
    Reading,
    count_chunk,
    count_order,
    cut_rows,
    longest_name,
    plan_reading,
    rule_cuts,
    stage_chunk,
    survey_cuts,
    total_cuts,
)
from kidsclf.places import Place, remove_tree
from kidsclf.schema import SPATIAL_INDEX, CutCount, canonical_names
from kidsclf.sky.borders import check_margin
from kidsclf.sky.partition import Partition
from kidsclf.sky.split import PixelCounts, split_sky
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, all_finished, fingerprint, is_finished, write_receipt
from kidsclf.store.staging import StagedChunk, chunks_of, gather

_READ = "ingest.read"
_AGAIN = "ingest.again"


def run(context: Context) -> StageOutcome:
    """Read, select, split and write the catalogue.

    Raises
    ------
    InputError
        When the survey has no files, or the selection keeps nothing.
    PlanError
        When the sky cannot be split finely enough.
    StoreError
        When rows were lost or doubled.
    """
    planned = plan_chunks(context)
    wanted = wanted_summary(context, planned)
    kept = _finished(context, wanted)
    if kept is not None:
        context.engine.tell_kept("ingest", kept.tasks)
        return kept
    read, again_tasks, tasks = plan(context, planned)
    again = context.engine.map(again_tasks)
    written = context.engine.map(tasks)
    cuts = [*total_cuts(read.receipts), *_left_out(written), *total_cuts(written.receipts)]
    _check_rows(read, written, cuts)
    HatsCatalogue(context.work.catalogue).finish(
        "catalog", [(Partition.parse(receipt.task), receipt.rows) for receipt in written.receipts]
    )
    _sum_up(context, made_as(wanted, read, written), read, written, cuts)
    remove_tree(_staging(context))
    rows = sum(receipt.rows for receipt in read.receipts)
    return StageOutcome.of("ingest", read, again, written, rows=rows)


def plan_chunks(context: Context) -> tuple[PlannedChunk, ...]:
    """Divide the survey's tables into chunks."""
    return plan_reading(
        context,
        context.config.survey.catalogue,
        _reading(context),
        _staging(context),
        context.work.receipts / _READ,
    )


def _staging(context: Context) -> Place:
    return context.work.staging / "catalogue"


def wanted_summary(context: Context, planned: tuple[PlannedChunk, ...]) -> str:
    """Give the fingerprint that the stage's summary has when all is done."""
    return fingerprint(
        code_fingerprint("store"),
        sorted(chunk.fingerprint for chunk in planned),
        _split_settings(context),
    )


def plan(
    context: Context, planned: tuple[PlannedChunk, ...]
) -> tuple[Mapped, list[Task], list[Task]]:
    """Have chunks read and counted; plan those to be read once more, and a task a partition."""
    read = context.engine.map([chunk.task(_READ, count_chunk) for chunk in planned])
    were_read = {receipt.task for receipt in read.receipts}
    planned = tuple(chunk for chunk in planned if chunk.name in were_read)
    tasks, parts = _partition_tasks(context, read, planned)
    return read, _again(context, read, planned, tasks, parts), tasks


def _reading(context: Context) -> Reading:
    settings, duplicates = context.config.ingest, context.config.ingest.duplicates
    canonical = canonical_names(context.survey.bands)
    of_cuts = (column for rule in settings.cuts for column in rule.columns)
    tile = (duplicates.tile_column,) if duplicates.tile_column is not None else ()
    return Reading(
        context.survey,
        _cuts(context),
        tuple(dict.fromkeys((*settings.keep_columns, *tile))),
        count_order(context),
        tuple(dict.fromkeys(column for column in of_cuts if column not in canonical)),
        duplicates.radius_arcsec,
        tell_files=duplicates.by == "position" and not tile,
    )


def _cuts(context: Context) -> tuple[Cut, ...]:
    settings = context.config.ingest
    cuts = [*survey_cuts(context.survey), *rule_cuts(settings.cuts)]
    required = settings.require_bands if settings.require_bands is not None else context.bands
    unknown = [band for band in required if band not in context.bands]
    if unknown:
        raise InputError(
            f"ingest.require_bands asks for {unknown}, but the survey has the bands "
            f"{list(context.bands)}; name some of those"
        )
    if required:
        cuts.append(all_bands_measured(required))
    if settings.magnitude_limit is not None and context.survey.reference_band is not None:
        cuts.append(magnitude_limit(context.survey.reference_band, settings.magnitude_limit))
    return tuple(cuts)


def _split_settings(context: Context) -> list[object]:
    settings = context.config.ingest
    return [settings.max_rows, settings.max_order, settings.duplicates.model_dump()]


def _finished(context: Context, wanted: str) -> StageOutcome | None:
    """Recognise a finished catalogue although its staged chunks are gone."""
    work = context.work
    summary = is_finished(work.receipts, work.root, "ingest", SUMMARY, wanted)
    if summary is None:
        return None
    receipts = all_finished(work.receipts, work.root, "ingest", summary.facts["partitions"])
    if receipts is None:
        return None
    return StageOutcome(
        "ingest", len(receipts), len(receipts), summary.rows, 0.0, summary.facts["task_seconds"]
    )


def _partition_tasks(
    context: Context, read: Mapped, planned: tuple[PlannedChunk, ...]
) -> tuple[list[Task], tuple[tuple[int, ...], ...]]:
    """Split the sky; plan one task a partition, and say which chunks each is made of."""
    order, settings = count_order(context), context.config.ingest
    check_margin(order, settings.duplicates.radius_arcsec)
    counts = [chunk.staged.read_counts(order) for chunk in planned]
    split = split_sky(
        PixelCounts.merge(counts, order).coarsened(settings.max_order), settings.max_rows
    )
    if not split:
        raise InputError(_nothing_left(read))
    parts = chunks_of(
        [partition for partition, _ in split], [each.pixels for each in counts], order
    )
    rule, left_out = _duplicate_rule(context)
    code = code_fingerprint("ingest", "sky", "store")
    tasks = [
        Task(
            "ingest",
            partition.label,
            # The order of the files changes no row.
            fingerprint(
                code,
                settings.duplicates.model_dump(),
                sorted(planned[k].fingerprint for k in chunks),
            ),
            write_partition,
            (context.work, partition, tuple(planned[k].staged for k in chunks), rule, left_out),
            rows,
        )
        for (partition, rows), chunks in zip(split, parts, strict=True)
    ]
    return tasks, parts


def _duplicate_rule(context: Context) -> tuple[DuplicateRule, tuple[str, ...]]:
    """Give the rule of duplicates, and the columns that are staged for it alone."""
    settings = context.config.ingest
    column = None
    if settings.duplicates.by == "position":
        column = settings.duplicates.tile_column or FILE
    rule = DuplicateRule(
        settings.duplicates.by,
        settings.duplicates.radius_arcsec,
        context.survey.reference_band,
        column,
    )
    return rule, (column,) if column is not None and column not in settings.keep_columns else ()


def _again(
    context: Context,
    read: Mapped,
    planned: tuple[PlannedChunk, ...],
    tasks: list[Task],
    parts: tuple[tuple[int, ...], ...],
) -> list[Task]:
    """Stage anew what an earlier run has read, where partitions made of it are to be written."""
    if not read.skipped:
        return []
    work = context.work
    needed = {
        chunk
        for task, chunks in zip(tasks, parts, strict=True)
        if is_finished(work.receipts, work.root, "ingest", task.name, task.fingerprint) is None
        for chunk in chunks
    }
    lost = [planned[k] for k in sorted(needed) if not planned[k].staged.rows.exists()]
    again = [chunk.task(_AGAIN, stage_chunk) for chunk in lost]
    return [replace(task, essential=True) for task in again]


def write_partition(
    work: WorkDirectory,
    partition: Partition,
    chunks: tuple[StagedChunk, ...],
    rule: DuplicateRule,
    left_out: tuple[str, ...],
) -> Made:
    """Gather a partition from the staged chunks and publish it."""
    table = gather(chunks, partition)
    doubled = doubled_rows(table, rule)
    inside = partition.contains(table[SPATIAL_INDEX].to_numpy())
    doubles = duplicates_cut(doubled[inside], rule)
    table = sort_rows(table.drop_columns(left_out).filter(pa.array(inside & ~doubled)))
    path = HatsCatalogue(work.catalogue).write(partition, table)
    facts = {"cuts": cut_rows([doubles]), "name_bytes": longest_name(table)}
    return Made(table.num_rows, (path,), facts)


def _left_out(written: Mapped) -> list[CutCount]:
    """Count the rows of partitions that were put in quarantine."""
    rows = sum(each.rows for each in written.quarantined)
    kept = sum(receipt.facts["cuts"][0][2] for receipt in written.receipts)
    reason = "their partition killed every worker; see the folder quarantine"
    return [CutCount("partitions", reason, rows + kept, rows)] if rows else []


def _nothing_left(read: Mapped) -> str:
    steps = ", ".join(
        f"{cut.step} cut {cut.rows_cut} of {cut.rows_in}" for cut in total_cuts(read.receipts)
    )
    total = sum(receipt.rows for receipt in read.receipts)
    return (
        f"the survey's catalogue was read for sources to classify, but of {total} rows none is "
        f"left ({steps}); loosen [ingest] or give other files"
    )


def _check_rows(read: Mapped, written: Mapped, cuts: list[CutCount]) -> None:
    rows_in = sum(receipt.rows for receipt in read.receipts)
    rows_out = sum(receipt.rows for receipt in written.receipts)
    rows_cut = sum(cut.rows_cut for cut in cuts)
    if rows_in != rows_out + rows_cut:
        raise StoreError(
            f"ingest read {rows_in} rows, wrote {rows_out} and cut {rows_cut}: "
            f"{rows_in - rows_out - rows_cut} are lost; run again with --fresh and report it"
        )


def _sum_up(
    context: Context, wanted: str, read: Mapped, written: Mapped, cuts: list[CutCount]
) -> None:
    facts = {
        "asked": ingest_settings(context),
        "partitions": {receipt.task: receipt.fingerprint for receipt in written.receipts},
        "rows_out": sum(receipt.rows for receipt in written.receipts),
        "name_bytes": max(receipt.facts["name_bytes"] for receipt in written.receipts),
        "cuts": cut_rows(cuts),
        "task_seconds": sum(r.seconds for r in (*read.receipts, *written.receipts)),
    }
    rows = sum(receipt.rows for receipt in read.receipts)
    write_receipt(
        context.work.receipts,
        Receipt("ingest", SUMMARY, wanted, rows, read.seconds + written.seconds, {}, facts),
    )
