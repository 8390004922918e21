"""Stage ``reduce``: metrics and the catalogue, merged from partitions."""

from collections.abc import Mapping

import pyarrow as pa

from kidsclf.config import Config
from kidsclf.models.files import read_card
from kidsclf.pipeline.context import (
    Context,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    require_current,
    settings_of,
    task_fingerprint,
)
from kidsclf.pipeline.features import measuring_tasks
from kidsclf.pipeline.gallery import with_stamps
from kidsclf.pipeline.infer import read_calibration, scoring_tasks
from kidsclf.pipeline.mapping import Made, Mapped, Task
from kidsclf.pipeline.product_files import write_catalogue
from kidsclf.pipeline.products import product_network
from kidsclf.pipeline.scored_blocks import held_out_blocks, read_block
from kidsclf.pipeline.summary import cut_flow, summarise_run
from kidsclf.pipeline.train import training_tasks
from kidsclf.places import files_below
from kidsclf.reduce.context import Context as Questions
from kidsclf.reduce.context import context_of
from kidsclf.reduce.law import State, merge_each, to_json, with_network
from kidsclf.reduce.luminosity import quasar_models
from kidsclf.reduce.published import quasar_published
from kidsclf.reduce.questions import reductions_for
from kidsclf.reduce.summary import NetworkResult, cut_flow_table
from kidsclf.reduce.trust import Trust
from kidsclf.sky.partition import Partition
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint
from kidsclf.store.tables import read_json, read_table, write_json, write_table, write_text

JUDGING = (
    *("classification", "confusion", "thresholds"),
    *("reliability", "calibration", "prediction_sets", "wanted", "novelty_accuracy"),
    "quasar_corrected",
)
"""Reductions that compare scores with labels."""


def run(context: Context) -> StageOutcome:
    """Reduce the scores, write the tables, the summary and the catalogue."""
    require_current(context, training_tasks(context))
    if context.config.has_features:
        require_current(context, measuring_tasks(context))
    for name in _networks(context):
        require_current(context, scoring_tasks(context, name))
    asked = questions_of(context)
    mapped = [context.engine.map(reducing_tasks(context, name)) for name in _networks(context)]
    for name, done in zip(_networks(context), mapped, strict=True):
        _remove_other_states(context, name, done)
    results: dict[str, NetworkResult] = {}
    tables: dict[str, list[pa.Table]] = {}
    for name, done in zip(_networks(context), mapped, strict=True):
        states = _merged(context, name, done, asked)
        finished = {
            each.name: each.finish(states[each.name], asked) for each in reductions_for(asked)
        }
        for question, table in finished.items():
            tables.setdefault(question, []).append(with_network(table, name))
        card = read_card(context.work.model(name))
        results[name] = NetworkResult(
            finished["classification"],
            finished["rows"],
            finished["area"],
            card.parameters,
            _trust(context, name, finished),
            finished["quasar_corrected"],
        )
    tables["gallery"] = [with_stamps(context, table) for table in tables["gallery"]]
    tables["sky"] = [table.drop_columns("network") for table in tables["sky"][_product(context)]]
    for question, parts in tables.items():
        write_table(context.work.metrics / f"{question}.parquet", pa.concat_tables(parts))
    write_table(context.work.metrics / "quasar_models.parquet", quasar_models(asked))
    counted, fields = (tables[q][_product(context)][0] for q in ("quasar_counts", "quasar_fields"))
    published = quasar_published(counted, fields, asked.training_sample)
    write_table(context.work.metrics / "quasar_published.parquet", published)
    steps = cut_flow(context)
    write_table(context.work.metrics / "cut_flow.parquet", cut_flow_table(steps))
    write_table(context.work.metrics / "history.parquet", _histories(context))
    made = write_catalogue(context)
    write_json(context.work.metrics / "summary.json", summarise_run(context, steps, results))
    return StageOutcome.of("reduce", *mapped, made, rows=sum(r.rows for r in made.receipts))


def _trust(context: Context, name: str, finished: Mapping[str, pa.Table]) -> Trust:
    coverage = context.config.infer.coverage
    calibration = read_calibration(context.work.model(name), coverage)
    classes = context.config.train.classes
    return Trust(
        calibration.temperature,
        coverage,
        dict(zip(classes, calibration.thresholds, strict=True)),
        finished["calibration"],
        finished["prediction_sets"],
        finished["wanted"],
    )


def questions_of(context: Context) -> Questions:
    """Derive what the reductions ask from the settings."""
    train = context.config.train
    return context_of(context.config.reduce, classes=train.classes, training_sample=train.sample)


def _product(context: Context) -> slice:
    """Place of the product's network among the networks; its map of the sky is the catalogue's."""
    place = _networks(context).index(product_network(context))
    return slice(place, place + 1)


def _networks(context: Context) -> tuple[str, ...]:
    return context.config.train.networks


def reducing_tasks(context: Context, name: str) -> list[Task]:
    """Plan one task a partition for one network."""
    code, asked = code_fingerprint("reduce"), questions_of(context)
    tasks = []
    for partition, receipt in finished_partitions(context, "reduce").items():
        matched = task_fingerprint(context, "match", partition.label) if context.samples else None
        measured = (
            task_fingerprint(context, "features", partition.label)
            if context.config.has_features
            else None
        )
        task = f"{name}@{partition.label}"
        made_from = [
            code,
            task_fingerprint(context, "infer", task),
            matched,
            measured,
            settings_of(context.config.reduce),
            [context.config.train.folds, context.config.train.sample],
        ]
        arguments = (
            context.work,
            partition,
            name,
            asked,
            tuple(context.samples),
            context.config,
            context.bands,
            context.survey.reference_band,
        )
        tasks.append(
            Task(
                "reduce",
                task,
                fingerprint(*made_from),
                reduce_partition,
                arguments,
                receipt.rows,
                name,
            )
        )
    return tasks


def reduce_partition(
    work: WorkDirectory,
    partition: Partition,
    name: str,
    asked: Questions,
    samples: tuple[str, ...],
    config: Config,
    bands: tuple[str, ...],
    reference_band: str | None,
) -> Made:
    """Reduce one partition's scores to the states of all questions."""
    block = read_block(work, partition, name, asked, samples, config, bands, reference_band)
    states = {each.name: each.local(block) for each in reductions_for(asked)}
    path = work.reduced(name) / f"{partition.order}-{partition.pixel}.json"
    write_text(path, to_json(states))
    return Made(len(block), (path,))


def _remove_other_states(context: Context, name: str, done: Mapped) -> None:
    """Remove states of partitions that the catalogue no longer has, or that were left out."""
    kept = {context.work.root / path for receipt in done.receipts for path in receipt.outputs}
    for path in files_below(context.work.reduced(name)).keys() - kept:
        path.unlink()


def _merged(context: Context, name: str, done: Mapped, asked: Questions) -> dict[str, State]:
    reductions = reductions_for(asked)
    paths = [next(iter(receipt.outputs)) for receipt in done.receipts]
    merged = merge_each(reductions, (read_json(context.work.root / path) for path in paths))
    if context.config.train.folds and context.config.train.pretrained is None:
        for block in held_out_blocks(context, name, asked):
            for reduction in reductions:
                if reduction.name in JUDGING:
                    local = reduction.local(block)
                    merged[reduction.name] = reduction.merge(merged[reduction.name], local)
    return merged


def _histories(context: Context) -> pa.Table:
    paths = []
    for name in _networks(context):
        paths += [context.work.fold_model(name, k) for k in range(context.config.train.folds)]
        paths.append(context.work.model(name))
    tables = [
        read_table(path / "history.parquet")
        for path in paths
        if (path / "history.parquet").exists()
    ]
    return pa.concat_tables(tables)
