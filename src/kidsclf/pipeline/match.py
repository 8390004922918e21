"""Stage ``match``: labels of other surveys to the sources of the catalogue.

A pair counts when each is the other's nearest within the radius. Sources and labels beyond a
partition's border are looked at too, so the pairs do not depend on how the sky is split.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.config import Config
from kidsclf.errors import ConfigError, PlanError
from kidsclf.ingest.crossmatch import mutual_nearest
from kidsclf.ingest.select import has_label
from kidsclf.pipeline.context import (
    SUMMARY,
    Context,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    settings_of,
    stage_summary,
)
from kidsclf.pipeline.mapping import Made, Mapped, Task
from kidsclf.pipeline.reading import (
    Reading,
    count_order,
    cut_rows,
    reading_tasks,
    survey_cuts,
    total_cuts,
)
from kidsclf.schema import DEC, LABEL, NAME, RA, REDSHIFT, SPATIAL_INDEX
from kidsclf.sky.margin import margin_order, near_partition, neighbours, same_order_neighbours
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory, keep_only
from kidsclf.store.receipts import Receipt, fingerprint, is_finished, write_receipt
from kidsclf.store.staging import OCCUPANCY_ORDER, StagedChunk, touching
from kidsclf.surveys.column_map import ColumnMap

LABEL_NAME = "label_name"
SEPARATION = "separation_arcsec"


@dataclass(frozen=True)
class SamplePlan:
    """What a partition's task needs to know of one sample."""

    name: str
    radius_arcsec: float
    exclude: tuple[str, ...]
    chunks: tuple[StagedChunk, ...] | None
    """None where the labels stand in the catalogue itself."""


def run(context: Context) -> StageOutcome:
    """Match all samples.

    Raises
    ------
    InputError
        When a sample's tables are missing or damaged, or nothing matches the training sample.
    """
    if not context.samples:
        return StageOutcome("match", 0, 0, 0, 0.0, 0.0)
    reading = {name: _reading_tasks(context, name) for name in context.samples}
    wanted = _wanted(context, reading)
    kept = _finished(context, wanted)
    if kept is not None:
        context.engine.tell_kept("match", kept.tasks)
        return kept
    read = {name: context.engine.map(tasks) for name, tasks in reading.items() if tasks}
    written = _match(context, read)
    for name in context.samples:
        _finish_sample(context, name, written)
    keep_only(context.work.samples, context.samples)
    _sum_up(context, wanted, read, written)
    shutil.rmtree(context.work.staging / "samples", ignore_errors=True)
    return StageOutcome.of(
        "match", *read.values(), written, rows=sum(receipt.rows for receipt in written.receipts)
    )


def check_samples(config: Config, survey: ColumnMap, samples: Mapping[str, ColumnMap]) -> None:
    """Make sure that every sample can give labels.

    Raises
    ------
    ConfigError
        Where the column map of the sample, or of the catalogue that is to hold the labels, names
        none.
    """
    for name, settings in config.samples.items():
        column_map = samples[name] if settings.tables else survey
        if column_map.label is None:
            holder = "its tables" if settings.tables else "the catalogue, as it has no tables"
            raise ConfigError(
                f"the sample {name!r} takes its labels from {holder}, but the column map "
                f"{column_map.name!r} names no label; give samples.{name}.tables or a preset with "
                f"a label"
            )


def _reading_tasks(context: Context, name: str) -> tuple[Task, ...]:
    settings = context.config.samples[name]
    if not settings.tables:
        return ()
    column_map = context.samples[name]
    cuts = (*survey_cuts(column_map), has_label(context.config.train.classes))
    reading = Reading(column_map, cuts, (), count_order(context))
    folder = context.work.staging / "samples" / name
    return reading_tasks(context, f"match.read.{name}", settings.tables, reading, folder)


def match_settings(context: Context) -> str:
    """Hash the settings that decide what the samples hold."""
    samples = {name: settings_of(each) for name, each in context.config.samples.items()}
    maps = {name: each.model_dump() for name, each in context.samples.items()}
    return fingerprint(samples, maps, context.config.train.classes)


def _wanted(context: Context, reading: Mapping[str, tuple[Task, ...]]) -> str:
    return fingerprint(
        code_fingerprint("ingest", "sky", "store"),
        stage_summary(context, "ingest").fingerprint,
        {name: [task.fingerprint for task in tasks] for name, tasks in reading.items()},
        {name: settings_of(each) for name, each in context.config.samples.items()},
        context.config.train.classes,
    )


def _finished(context: Context, wanted: str) -> StageOutcome | None:
    work = context.work
    summary = is_finished(work.receipts, work.root, "match", SUMMARY, wanted)
    if summary is None:
        return None
    labels = summary.facts["partitions"]
    receipts = [
        is_finished(work.receipts, work.root, "match", label, made)
        for label, made in labels.items()
    ]
    if None in receipts:
        return None
    seconds = float(summary.facts["task_seconds"])
    return StageOutcome("match", len(labels), len(labels), summary.rows, 0.0, seconds)


def _match(context: Context, read: Mapping[str, Mapped]) -> Mapped:
    partitions = finished_partitions(context)
    in_order = tuple(partitions)
    order = count_order(context)
    staged = {
        name: [
            StagedChunk.at(context.work.staging / "samples" / name, receipt.task)
            for receipt in mapped.receipts
        ]
        for name, mapped in read.items()
    }
    occupied = {
        name: [chunk.read_counts(order).coarsened(OCCUPANCY_ORDER) for chunk in each]
        for name, each in staged.items()
    }
    code = code_fingerprint("ingest", "sky", "store")
    widest = max(sample.radius_arcsec for sample in context.config.samples.values())
    _check_radius(widest, max(partition.order for partition in in_order))
    tasks = []
    for partition, receipt in partitions.items():
        near = neighbours(partition, in_order, 2 * widest)
        around = (partition, *same_order_neighbours(partition))
        plans, used = [], []
        for name, settings in context.config.samples.items():
            touched = [k for k, each in enumerate(occupied.get(name, [])) if touching(each, around)]
            plans.append(
                SamplePlan(
                    name,
                    settings.radius_arcsec,
                    settings.exclude,
                    tuple(staged[name][k] for k in touched) if name in staged else None,
                )
            )
            used.append([read[name].receipts[k].fingerprint for k in touched])
        made_of = [partitions[other].fingerprint for other in near]
        samples = {name: settings_of(each) for name, each in context.config.samples.items()}
        classes = context.config.train.classes
        tasks.append(
            Task(
                "match",
                partition.label,
                fingerprint(code, receipt.fingerprint, made_of, used, samples, classes),
                match_partition,
                (context.work, partition, near, tuple(plans), classes),
                receipt.rows,
            )
        )
    return context.engine.map(tasks)


def _check_radius(radius_arcsec: float, finest: int) -> None:
    """Refuse a margin wider than the narrowest partition: it would have to look further."""
    if margin_order(2 * radius_arcsec) < finest:
        raise PlanError(
            f"samples are to be matched within {radius_arcsec:g} arcsec, but partitions of order "
            f"{finest} are too narrow for that; raise ingest.max_rows or lower ingest.max_order"
        )


def match_partition(
    work: WorkDirectory,
    partition: Partition,
    near: tuple[Partition, ...],
    plans: tuple[SamplePlan, ...],
    classes: tuple[str, ...],
) -> Made:
    """Match all samples to one partition and publish what was found."""
    own = HatsCatalogue(work.catalogue).read(partition)
    matched: dict[str, pa.Table] = {}
    paths, rows = [], {}
    for plan in plans:
        if plan.chunks is None:
            found = _own_labels(own, classes)
        else:
            sources = _with_margin(work, partition, near, 2 * plan.radius_arcsec, own)
            found = _pairs(partition, sources, plan)
        for other in plan.exclude:
            taken = pc.is_in(found[NAME], value_set=matched[other][NAME].combine_chunks())
            found = found.filter(pc.invert(taken))
        matched[plan.name] = found
        rows[plan.name] = found.num_rows
        store = HatsCatalogue(work.sample(plan.name))
        if found.num_rows:
            paths.append(store.write(partition, found))
        else:
            store.path(partition).unlink(missing_ok=True)
    return Made(own.num_rows, tuple(paths), {"matched": rows})


def _own_labels(own: pa.Table, classes: tuple[str, ...]) -> pa.Table:
    """Take the labels that stand in the catalogue itself."""
    chosen = own.filter(pc.is_in(own[LABEL], value_set=pa.array(classes, pa.string())))
    redshift = (
        chosen[REDSHIFT]
        if REDSHIFT in own.column_names
        else pa.nulls(chosen.num_rows, pa.float32())
    )
    return pa.table(
        {
            SPATIAL_INDEX: chosen[SPATIAL_INDEX],
            NAME: chosen[NAME],
            RA: chosen[RA],
            DEC: chosen[DEC],
            LABEL: chosen[LABEL],
            REDSHIFT: redshift,
            LABEL_NAME: chosen[NAME],
            SEPARATION: pa.array(np.zeros(chosen.num_rows), pa.float32()),
        }
    )


def _with_margin(
    work: WorkDirectory,
    partition: Partition,
    near: tuple[Partition, ...],
    margin_arcsec: float,
    own: pa.Table,
) -> pa.Table:
    """Join a partition's positions and those just outside it, in the order of the sky."""
    columns = [SPATIAL_INDEX, NAME, RA, DEC]
    outside = []
    for other in near:
        table = HatsCatalogue(work.catalogue).read(other, columns)
        close = near_partition(partition, table[SPATIAL_INDEX].to_numpy(), margin_arcsec)
        outside.append(table.filter(pa.array(close)))
    joined = pa.concat_tables([own.select(columns), *outside])
    return joined.sort_by([(SPATIAL_INDEX, "ascending"), (NAME, "ascending")])


def _pairs(partition: Partition, sources: pa.Table, plan: SamplePlan) -> pa.Table:
    labels = _labels_near(partition, plan)
    first, second, separation = mutual_nearest(
        sources[RA].to_numpy(),
        sources[DEC].to_numpy(),
        labels[RA].to_numpy(),
        labels[DEC].to_numpy(),
        plan.radius_arcsec,
    )
    inside = np.flatnonzero(partition.contains(sources[SPATIAL_INDEX].to_numpy()[first]))
    inside = inside[np.argsort(first[inside], kind="stable")]
    own, theirs = sources.take(first[inside]), labels.take(second[inside])
    return pa.table(
        {
            SPATIAL_INDEX: own[SPATIAL_INDEX],
            NAME: own[NAME],
            RA: own[RA],
            DEC: own[DEC],
            LABEL: theirs[LABEL],
            REDSHIFT: theirs[REDSHIFT],
            LABEL_NAME: theirs[NAME],
            SEPARATION: pa.array(separation[inside], pa.float32()),
        }
    )


def _labels_near(partition: Partition, plan: SamplePlan) -> pa.Table:
    """Read the labels in and just outside a partition, sorted whatever chunks they came from."""
    columns = [SPATIAL_INDEX, NAME, RA, DEC, LABEL, REDSHIFT]
    parts = [_EMPTY_LABELS]
    around = (partition, *same_order_neighbours(partition))
    for chunk in plan.chunks or ():
        for pixel in around:
            table = chunk.read(pixel.first_index, pixel.last_index)
            index = table[SPATIAL_INDEX].to_numpy()
            table = table.filter(pa.array(near_partition(partition, index, plan.radius_arcsec)))
            if REDSHIFT not in table.column_names:
                nothing = pa.nulls(table.num_rows, pa.float32())
                table = table.append_column(REDSHIFT, nothing)
            parts.append(table.select(columns).cast(_EMPTY_LABELS.schema))
    return pa.concat_tables(parts).sort_by([(SPATIAL_INDEX, "ascending"), (NAME, "ascending")])


_EMPTY_LABELS = pa.schema(
    {
        SPATIAL_INDEX: pa.int64(),
        NAME: pa.string(),
        RA: pa.float64(),
        DEC: pa.float64(),
        LABEL: pa.string(),
        REDSHIFT: pa.float32(),
    }
).empty_table()


def _finish_sample(context: Context, name: str, written: Mapped) -> None:
    store = HatsCatalogue(context.work.sample(name))
    rows = [
        (Partition.parse(receipt.task), int(receipt.facts["matched"][name]))
        for receipt in written.receipts
    ]
    store.finish(name, [(partition, count) for partition, count in rows if count])


def _sum_up(context: Context, wanted: str, read: Mapping[str, Mapped], written: Mapped) -> None:
    matched = {
        name: sum(int(receipt.facts["matched"][name]) for receipt in written.receipts)
        for name in context.samples
    }
    cuts = {name: cut_rows(total_cuts(mapped.receipts)) for name, mapped in read.items()}
    seconds = [r.seconds for mapped in (*read.values(), written) for r in mapped.receipts]
    facts = {
        "asked": match_settings(context),
        "partitions": {receipt.task: receipt.fingerprint for receipt in written.receipts},
        "matched": matched,
        "cuts": cuts,
        "task_seconds": sum(seconds),
    }
    rows = sum(receipt.rows for receipt in written.receipts)
    receipt = Receipt("match", SUMMARY, wanted, rows, written.seconds, {}, facts)
    write_receipt(context.work.receipts, receipt)
