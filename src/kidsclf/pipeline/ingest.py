"""Stage ``ingest``: survey catalogues to a HATS catalogue, split where the sky is crowded."""

import shutil

import pyarrow as pa

from kidsclf.errors import InputError, StoreError
from kidsclf.ingest.duplicates import SAME_PLACE_ARCSEC, doubled_rows, duplicates_cut
from kidsclf.ingest.select import Cut, all_bands_measured, magnitude_limit
from kidsclf.pipeline.context import (
    SUMMARY,
    Context,
    StageOutcome,
    code_fingerprint,
    ingest_settings,
)
from kidsclf.pipeline.mapping import Made, Mapped, Task
from kidsclf.pipeline.reading import (
    Reading,
    count_order,
    cut_rows,
    longest_name,
    reading_tasks,
    survey_cuts,
    total_cuts,
)
from kidsclf.schema import SPATIAL_INDEX, CutCount
from kidsclf.sky.margin import near_partition, same_order_neighbours
from kidsclf.sky.partition import Partition
from kidsclf.sky.split import PixelCounts, split_sky
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, fingerprint, is_finished, write_receipt
from kidsclf.store.staging import OCCUPANCY_ORDER, StagedChunk, concatenate, gather, touching


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
    folder = context.work.staging / "catalogue"
    reading = Reading(
        context.survey, _cuts(context), context.config.ingest.keep_columns, count_order(context)
    )
    chunks = reading_tasks(context, "ingest.read", context.config.survey.catalogue, reading, folder)
    wanted = fingerprint(
        code_fingerprint("store"),
        [task.fingerprint for task in chunks],
        context.config.ingest.max_rows,
        context.config.ingest.max_order,
    )
    kept = _finished(context, wanted)
    if kept is not None:
        context.engine.tell_kept("ingest", kept.tasks)
        return kept
    read = context.engine.map(chunks)
    written = _split(context, read, [task.fingerprint for task in chunks])
    cuts = _cut_flow(read, written)
    _check_rows(read, written, cuts)
    HatsCatalogue(context.work.catalogue).finish(
        "catalog", [(Partition.parse(receipt.task), receipt.rows) for receipt in written.receipts]
    )
    _sum_up(context, wanted, read, written, cuts)
    shutil.rmtree(folder, ignore_errors=True)
    return StageOutcome.of("ingest", read, written, rows=sum(r.rows for r in read.receipts))


def _cuts(context: Context) -> tuple[Cut, ...]:
    settings = context.config.ingest
    cuts = list(survey_cuts(context.survey))
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


def _finished(context: Context, wanted: str) -> StageOutcome | None:
    """Recognise a finished catalogue although its staged chunks are gone."""
    work = context.work
    summary = is_finished(work.receipts, work.root, "ingest", SUMMARY, wanted)
    if summary is None:
        return None
    receipts = []
    for label, task_fingerprint in summary.facts["partitions"].items():
        receipt = is_finished(work.receipts, work.root, "ingest", label, task_fingerprint)
        if receipt is None:
            return None
        receipts.append(receipt)
    return StageOutcome(
        "ingest", len(receipts), len(receipts), summary.rows, 0.0, summary.facts["task_seconds"]
    )


def _split(context: Context, read: Mapped, chunk_fingerprints: list[str]) -> Mapped:
    order = count_order(context)
    staged = [
        StagedChunk.at(context.work.staging / "catalogue", receipt.task)
        for receipt in read.receipts
    ]
    counts, occupied = PixelCounts.merge([], order), []
    for chunk in staged:
        of_chunk = chunk.read_counts(order)
        counts = PixelCounts.merge([counts, of_chunk], order)
        occupied.append(of_chunk.coarsened(OCCUPANCY_ORDER))
    settings = context.config.ingest
    split = split_sky(counts.coarsened(settings.max_order), settings.max_rows)
    if not split:
        raise InputError(_nothing_left(read))
    code = code_fingerprint("ingest", "sky", "store")
    tasks = []
    for partition, rows in split:
        around = (partition, *same_order_neighbours(partition))
        parts = [k for k, of_chunk in enumerate(occupied) if touching(of_chunk, around)]
        tasks.append(
            Task(
                "ingest",
                partition.label,
                fingerprint(code, [chunk_fingerprints[k] for k in parts]),
                write_partition,
                (
                    context.work,
                    partition,
                    tuple(staged[k] for k in parts),
                    context.survey.reference_band,
                ),
                rows,
            )
        )
    return context.engine.map(tasks)


def write_partition(
    work: WorkDirectory,
    partition: Partition,
    chunks: tuple[StagedChunk, ...],
    reference_band: str | None,
) -> Made:
    """Gather a partition from the staged chunks and publish it."""
    own = gather(chunks, partition)
    parts = [own]
    for other in same_order_neighbours(partition):
        table = gather(chunks, other)
        close = near_partition(partition, table[SPATIAL_INDEX].to_numpy(), SAME_PLACE_ARCSEC)
        parts.append(table.filter(pa.array(close)))
    doubled = doubled_rows(concatenate(parts), reference_band)[: own.num_rows]
    doubles = duplicates_cut(doubled)
    table = sort_rows(own.filter(pa.array(~doubled)))
    path = HatsCatalogue(work.catalogue).write(partition, table)
    facts = {
        "cuts": cut_rows([doubles]),
        "name_bytes": longest_name(table),
    }
    return Made(table.num_rows, (path,), facts)


def _nothing_left(read: Mapped) -> str:
    steps = ", ".join(
        f"{cut.step} cut {cut.rows_cut} of {cut.rows_in}" for cut in total_cuts(read.receipts)
    )
    total = sum(receipt.rows for receipt in read.receipts)
    return (
        f"the survey's catalogue was read for sources to classify, but of {total} rows none is "
        f"left ({steps}); loosen [ingest] or give other files"
    )


def _cut_flow(read: Mapped, written: Mapped) -> list[CutCount]:
    return [*total_cuts(read.receipts), *total_cuts(written.receipts)]


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
