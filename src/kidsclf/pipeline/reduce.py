"""Stage ``reduce``: metrics and the catalogue, merged from partitions."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import Config
from kidsclf.infer.score import summarise
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
from kidsclf.pipeline.gallery import with_stamps
from kidsclf.pipeline.infer import FLAGS, scoring_tasks
from kidsclf.pipeline.inputs import photometry, rows_of
from kidsclf.pipeline.mapping import Made, Mapped, Task
from kidsclf.pipeline.products import product_network, write_catalogue
from kidsclf.pipeline.summary import cut_flow, summarise_run
from kidsclf.pipeline.train import splits, training_tasks
from kidsclf.places import files_below
from kidsclf.reduce.block import SampleLabels, ScoredBlock
from kidsclf.reduce.context import Context as Questions
from kidsclf.reduce.context import context_of
from kidsclf.reduce.law import State, merge_all, with_network
from kidsclf.reduce.luminosity import quasar_models
from kidsclf.reduce.questions import reductions_for
from kidsclf.reduce.summary import NetworkResult, cut_flow_table
from kidsclf.schema import DEC, LABEL, NAME, RA, SPATIAL_INDEX, Scores, probability_column
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint
from kidsclf.store.tables import read_json, read_table, write_json, write_table

JUDGING = ("classification", "confusion", "thresholds")
"""Reductions that compare scores with labels."""


def run(context: Context) -> StageOutcome:
    """Reduce the scores, write the tables, the summary and the catalogue."""
    require_current(context, training_tasks(context))
    for name in _networks(context):
        require_current(context, scoring_tasks(context, name))
    asked = questions_of(context)
    mapped = [context.engine.map(_tasks(context, name, asked)) for name in _networks(context)]
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
            finished["classification"], finished["rows"], finished["area"], card.parameters
        )
    tables["gallery"] = [with_stamps(context, table) for table in tables["gallery"]]
    tables["sky"] = [table.drop_columns("network") for table in tables["sky"][_product(context)]]
    for question, parts in tables.items():
        write_table(context.work.metrics / f"{question}.parquet", pa.concat_tables(parts))
    write_table(context.work.metrics / "quasar_models.parquet", quasar_models(asked))
    steps = cut_flow(context)
    write_table(context.work.metrics / "cut_flow.parquet", cut_flow_table(steps))
    write_table(context.work.metrics / "history.parquet", _histories(context))
    made = write_catalogue(context)
    write_json(context.work.metrics / "summary.json", summarise_run(context, steps, results))
    return StageOutcome.of("reduce", *mapped, made, rows=sum(r.rows for r in made.receipts))


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


def _tasks(context: Context, name: str, asked: Questions) -> list[Task]:
    code = code_fingerprint("reduce")
    tasks = []
    for partition, receipt in finished_partitions(context, "reduce").items():
        matched = task_fingerprint(context, "match", partition.label) if context.samples else None
        task = f"{name}@{partition.label}"
        made_from = [
            code,
            task_fingerprint(context, "infer", task),
            matched,
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
    table = HatsCatalogue(work.catalogue).read(partition)
    scored = HatsCatalogue(work.scores(name)).read(partition)
    magnitudes, _ = photometry(table, bands)
    names = table[NAME].to_numpy(zero_copy_only=False)
    block = ScoredBlock(
        partition,
        names,
        table[RA].to_numpy(),
        table[DEC].to_numpy(),
        table[SPATIAL_INDEX].to_numpy(),
        magnitudes,
        bands,
        magnitudes[:, bands.index(reference_band)] if reference_band else magnitudes[:, 0],
        read_scores(scored, asked.classes),
        scored[FLAGS].to_numpy(),
        {sample: _labels(work, partition, sample, table, asked, config) for sample in samples},
    )
    states = {each.name: each.local(block) for each in reductions_for(asked)}
    path = work.reduced(name) / f"{partition.order}-{partition.pixel}.json"
    write_json(path, states)
    return Made(table.num_rows, (path,))


def read_scores(table: pa.Table, classes: tuple[str, ...]) -> Scores:
    """Turn a table of scores back into arrays."""
    columns = [table[probability_column(each)].to_numpy() for each in classes]
    return summarise(np.stack(columns, axis=1), classes)


def _labels(
    work: WorkDirectory,
    partition: Partition,
    sample: str,
    catalogue: pa.Table,
    asked: Questions,
    config: Config,
) -> SampleLabels:
    names = catalogue[NAME].to_numpy(zero_copy_only=False)
    codes = np.full(len(names), -1, np.int64)
    split = np.full(len(names), "", dtype="<U10")
    store = HatsCatalogue(work.sample(sample))
    if store.exists(partition):
        table = store.read(partition, [SPATIAL_INDEX, NAME, LABEL])
        rows = rows_of(catalogue, table, partition)
        codes[rows] = pd.Index(asked.classes).get_indexer(table[LABEL].to_pandas())
        if sample == asked.training_sample:
            split[rows] = _split(names[rows], config)
    return SampleLabels(codes, split, np.full(len(names), -1, np.int64))


def _split(names: NDArray[np.object_], config: Config) -> NDArray[np.str_]:
    """Say which labels judge: with a network from elsewhere all, with folds none of these."""
    if config.train.pretrained is not None:
        return np.full(len(names), "test", dtype="<U10")
    return splits(names, config.train)


def _remove_other_states(context: Context, name: str, done: Mapped) -> None:
    """Remove states of partitions that the catalogue no longer has, or that were left out."""
    kept = {context.work.root / path for receipt in done.receipts for path in receipt.outputs}
    for path in files_below(context.work.reduced(name)).keys() - kept:
        path.unlink()


def _merged(context: Context, name: str, done: Mapped, asked: Questions) -> dict[str, State]:
    paths = [next(iter(receipt.outputs)) for receipt in done.receipts]
    merged = {}
    for reduction in reductions_for(asked):
        states = (read_json(context.work.root / path)[reduction.name] for path in paths)
        merged[reduction.name] = merge_all(reduction, states)
    if context.config.train.folds and context.config.train.pretrained is None:
        for block in _held_out(context, name, asked):
            for reduction in reductions_for(asked):
                if reduction.name in JUDGING:
                    local = reduction.local(block)
                    merged[reduction.name] = reduction.merge(merged[reduction.name], local)
    return merged


def _held_out(context: Context, name: str, asked: Questions) -> Iterator[ScoredBlock]:
    """Give each fold's sources with the scores of the network that has not seen them."""
    band = context.survey.reference_band
    place = context.bands.index(band) if band else 0
    for fold in range(context.config.train.folds):
        table = read_table(context.work.fold_model(name, fold) / "scores.parquet")
        count = table.num_rows
        magnitudes = _matrix(table["magnitudes"])
        labels = SampleLabels(
            table["code"].to_numpy(), np.full(count, "test"), np.full(count, fold, np.int64)
        )
        nowhere = np.zeros(count)
        yield ScoredBlock(
            Partition(0, 0),
            table["name"].to_numpy(zero_copy_only=False),
            nowhere,
            nowhere,
            np.zeros(count, np.int64),
            magnitudes,
            context.bands,
            magnitudes[:, place],
            summarise(_matrix(table["probabilities"]), asked.classes),
            np.zeros(count, np.int32),
            {asked.training_sample: labels},
        )


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    flat = column.combine_chunks().flatten()
    return np.asarray(flat, np.float32).reshape(len(column), -1)


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
