"""Stage ``match``: labels of other surveys to the sources of the catalogue.

Sources and labels beyond a partition's border are looked at too, so the pairs are those of one
match of the whole sky, however it is split.
"""

from collections.abc import Mapping, Sequence

from upath import UPath

from kidsclf.config import Config
from kidsclf.errors import ConfigError
from kidsclf.pipeline.context import (
    SUMMARY,
    Context,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    settings_of,
    stage_summary,
)
from kidsclf.pipeline.labels import (
    BORDER_DEPTH,
    HatsSource,
    Labels,
    LabelSource,
    StagedSource,
    added,
    label_cuts,
    labels_only,
)
from kidsclf.pipeline.mapping import Mapped, Task, made_as
from kidsclf.pipeline.match_partition import SamplePlan, match_partition
from kidsclf.pipeline.reading import (
    PlannedChunk,
    Reading,
    count_order,
    cut_rows,
    plan_reading,
    stage_chunk,
    total_cuts,
)
from kidsclf.places import file_fingerprint, place, remove_tree
from kidsclf.schema import CutCount
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.margin import stretches_around
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import keep_only
from kidsclf.store.receipts import Receipt, all_finished, fingerprint, is_finished, write_receipt
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.hats_folders import HatsFolder, is_hats_folder, open_hats_folder


def run(context: Context) -> StageOutcome:
    """Match all samples.

    Raises
    ------
    InputError
        When a sample's tables are missing or damaged.
    """
    if not context.samples:
        return StageOutcome("match", 0, 0, 0, 0.0, 0.0)
    planned, ready = _planned_tables(context)
    wanted = _wanted(context, planned, ready)
    kept = _finished(context, wanted)
    if kept is not None:
        context.engine.tell_kept("match", kept.tasks)
        return kept
    read = _read(context, planned)
    written = context.engine.map(_tasks(context, _sources(context, planned, read, ready)))
    for name in context.samples:
        _finish_sample(context, name, written)
    keep_only(context.work.samples, context.samples)
    _sum_up(context, made_as(wanted, *read.values(), written), read, ready, written)
    remove_tree(context.work.staging / "samples")
    return StageOutcome.of(
        "match", *read.values(), written, rows=sum(receipt.rows for receipt in written.receipts)
    )


def plan(context: Context) -> list[Task] | None:
    """Have tables of labels read and plan one task a partition; None where all was done before."""
    planned, ready = _planned_tables(context)
    if _finished(context, _wanted(context, planned, ready)) is not None:
        return None
    return _tasks(context, _sources(context, planned, _read(context, planned), ready))


def _planned_tables(
    context: Context,
) -> tuple[dict[str, tuple[PlannedChunk, ...]], dict[str, HatsFolder]]:
    """Divide the tables of labels into chunks, but for those that are read where they lie."""
    ready = {name: open_hats_folder(path) for name, path in _hats_folders(context).items()}
    planned = {
        name: _plan_reading(context, name)
        for name, settings in context.config.samples.items()
        if settings.tables and name not in ready
    }
    return planned, ready


def _read(context: Context, planned: Mapping[str, Sequence[PlannedChunk]]) -> dict[str, Mapped]:
    return {
        name: context.engine.map(
            [chunk.task(f"match.read.{name}", stage_chunk) for chunk in chunks]
        )
        for name, chunks in planned.items()
    }


def check_samples(config: Config, survey: ColumnMap, samples: Mapping[str, ColumnMap]) -> None:
    """Make sure that every sample can give labels.

    Raises
    ------
    ConfigError
        Where the column map of the sample, or of the catalogue that is to hold the labels, names
        none; or where tables are to be matched by positions that are invented.
    """
    for name, settings in config.samples.items():
        nowhere = [each.name for each in (survey, samples[name]) if each.position.invented]
        if settings.tables and nowhere:
            raise ConfigError(
                f"the tables of the sample {name!r} were to be matched on the sky, but those of "
                f"{nowhere[0]!r} hold no positions; take labels from the catalogue itself, without "
                f"samples.{name}.tables"
            )
        column_map = samples[name] if settings.tables else survey
        if column_map.label is None:
            holder = "its tables" if settings.tables else "the catalogue, as it has no tables"
            raise ConfigError(
                f"the sample {name!r} takes its labels from {holder}, but the column map "
                f"{column_map.name!r} names no label; give samples.{name}.tables or a preset with "
                f"a label"
            )


def _hats_folders(context: Context) -> dict[str, UPath]:
    """List the samples whose one table is a HATS catalogue: it is read where it lies.

    Not where places are invented or rows named by their numbers: its index knows of neither.
    """
    found = {}
    for name, settings in context.config.samples.items():
        column_map = context.samples[name]
        by_sky = not (column_map.position.invented or column_map.identifier.from_rows)
        if by_sky and len(settings.tables) == 1:
            path = place(settings.tables[0], context.config.store)
            if is_hats_folder(path):
                found[name] = path
    return found


def _plan_reading(context: Context, name: str) -> tuple[PlannedChunk, ...]:
    column_map = labels_only(context.samples[name])
    cuts = label_cuts(column_map, context.config.train.classes)
    reading = Reading(column_map, cuts, (), count_order(context))
    folder = context.work.staging / "samples" / name
    return plan_reading(context, context.config.samples[name].tables, reading, folder, folder)


def match_settings(context: Context) -> str:
    """Hash the settings that decide what the samples hold."""
    samples = {name: settings_of(each) for name, each in context.config.samples.items()}
    maps = {name: each.model_dump() for name, each in context.samples.items()}
    return fingerprint(samples, maps, context.config.train.classes)


def _wanted(
    context: Context, planned: Mapping[str, Sequence[PlannedChunk]], ready: Mapping[str, HatsFolder]
) -> str:
    return fingerprint(
        code_fingerprint("ingest", "sky", "store", "surveys"),
        stage_summary(context, "ingest").fingerprint,
        {name: [chunk.fingerprint for chunk in chunks] for name, chunks in planned.items()},
        {name: [file_fingerprint(file) for file in each.files] for name, each in ready.items()},
        match_settings(context),
    )


def _finished(context: Context, wanted: str) -> StageOutcome | None:
    work = context.work
    summary = is_finished(work.receipts, work.root, "match", SUMMARY, wanted)
    if summary is None:
        return None
    labels = summary.facts["partitions"]
    if all_finished(work.receipts, work.root, "match", labels) is None:
        return None
    seconds = float(summary.facts["task_seconds"])
    return StageOutcome("match", len(labels), len(labels), summary.rows, 0.0, seconds)


def _sources(
    context: Context,
    planned: Mapping[str, Sequence[PlannedChunk]],
    read: Mapping[str, Mapped],
    ready: Mapping[str, HatsFolder],
) -> dict[str, LabelSource]:
    """Open the labels of each sample that has tables, but for chunks in quarantine."""
    found: dict[str, LabelSource] = {}
    for name, chunks in planned.items():
        staged = {receipt.task for receipt in read[name].receipts}
        found[name] = StagedSource([chunk for chunk in chunks if chunk.name in staged])
    for name, catalogue in ready.items():
        column_map = labels_only(context.samples[name])
        found[name] = HatsSource(catalogue, column_map, context.config.train.classes)
    return found


def _tasks(context: Context, sources: Mapping[str, LabelSource]) -> list[Task]:
    """Plan one task a partition; what each costs does not grow with the sky."""
    partitions = finished_partitions(context)
    in_order = tuple(partitions)
    sky = SkyIndex.of_partitions(in_order)
    code = code_fingerprint("ingest", "sky", "store", "surveys")
    base = fingerprint(code, match_settings(context))
    widest = max(sample.radius_arcsec for sample in context.config.samples.values())
    tasks = []
    for partition, receipt in partitions.items():
        plans, used = _plans(context, sources, partition)
        # A label a radius outside may have its nearest source a radius further.
        touched = sky.touching(stretches_around(partition, 2 * widest, BORDER_DEPTH))
        near = tuple(in_order[k] for k in touched)
        made_from = [partitions[other].fingerprint for other in near]
        classes = context.config.train.classes
        tasks.append(
            Task(
                "match",
                partition.label,
                fingerprint(base, made_from, used),
                match_partition,
                (context.work, partition, near, plans, classes, receipt.rows),
                receipt.rows,
            )
        )
    return tasks


def _plans(
    context: Context, sources: Mapping[str, LabelSource], partition: Partition
) -> tuple[tuple[SamplePlan, ...], list[list[object]]]:
    """Choose the labels of each sample near a partition; say what a fingerprint needs of them."""
    plans, used = [], []
    for name, settings in context.config.samples.items():
        labels: Labels | None = None
        if name in sources:
            around = stretches_around(partition, settings.radius_arcsec, BORDER_DEPTH)
            labels, made_from = sources[name].near(around)
            used.append(made_from)
        plans.append(
            SamplePlan(name, settings.radius_arcsec, settings.match, settings.exclude, labels)
        )
    return tuple(plans), used


def _finish_sample(context: Context, name: str, written: Mapped) -> None:
    store = HatsCatalogue(context.work.sample(name))
    rows = [
        (Partition.parse(receipt.task), int(receipt.facts["matched"][name]))
        for receipt in written.receipts
    ]
    store.finish(name, [(partition, count) for partition, count in rows if count])


def _sum_up(
    context: Context,
    wanted: str,
    read: Mapping[str, Mapped],
    ready: Mapping[str, HatsFolder],
    written: Mapped,
) -> None:
    matched = {
        name: sum(int(receipt.facts["matched"][name]) for receipt in written.receipts)
        for name in context.samples
    }
    cuts = {name: cut_rows(total_cuts(mapped.receipts)) for name, mapped in read.items()}
    cuts |= {name: cut_rows(_hats_cuts(name, each, written)) for name, each in ready.items()}
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


def _hats_cuts(name: str, catalogue: HatsFolder, written: Mapped) -> tuple[CutCount, ...]:
    """Sum up the labels of a HATS catalogue; those of other parts of the sky were not looked at."""
    parts = [[CutCount(*cut) for cut in r.facts["cuts"][name]] for r in written.receipts]
    counts = added(parts)
    inside = counts[0].rows_in if counts else 0
    reason = "in none of the partitions of the catalogue, or ra or dec is missing"
    return (CutCount("sky", reason, catalogue.rows, catalogue.rows - inside), *counts)
