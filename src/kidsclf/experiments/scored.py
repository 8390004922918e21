"""Experiments on scores that stand: thresholds (Feng 3, 12), other surveys (§4.1.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kidsclf.config import Config
from kidsclf.errors import ConfigError
from kidsclf.experiments import published
from kidsclf.experiments.external import (
    ALL,
    CUT,
    GALAXY,
    QUASAR,
    STAR,
    Cuts,
    Members,
    count_members,
    tabulate_agreement,
    tabulate_redshifts,
    tabulate_shares,
)
from kidsclf.experiments.quasars import sources_near
from kidsclf.pipeline.context import (
    Context,
    code_fingerprint,
    finished_partitions,
    require_current,
    task_fingerprint,
)
from kidsclf.pipeline.infer import CLASS, FLAGS, P_MAX, scoring_tasks
from kidsclf.pipeline.inputs import rows_of
from kidsclf.pipeline.mapping import Made, Task
from kidsclf.pipeline.reduce import questions_of
from kidsclf.pipeline.scored_blocks import held_out_blocks, read_block
from kidsclf.pipeline.train import training_tasks
from kidsclf.places import Place
from kidsclf.reduce.context import Context as Questions
from kidsclf.reduce.law import State, add_states, with_network
from kidsclf.reduce.thresholds import thresholds
from kidsclf.schema import DEC, LABEL, NAME, RA, REDSHIFT, SPATIAL_INDEX, ScoreFlag
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint
from kidsclf.store.tables import read_json, write_json

CURVE = (*(round(0.34 + 0.02 * k, 2) for k in range(32)), 0.97, 0.98, 0.99, 0.995, 0.999)
"""Thresholds of the curves, from just above a third, the least that the largest of three can be."""


_CODE = tuple(f"experiments/{name}.py" for name in ("external", "quasars", "scored"))
"""What of this package decides the counts."""


@dataclass(frozen=True)
class OtherQuasars:
    """Staged positions of another catalogue of quasars."""

    name: str
    path: Place
    fingerprint: str


def scored_networks(context: Context, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Name the networks that are asked about, whose scores are those that today's settings ask for.

    Raises
    ------
    ConfigError
        When one is wanted that the run has not.
    StoreError
        When a stage up to ``infer`` is not finished, or was done otherwise.
    """
    for name in wanted:
        if name not in context.config.train.networks:
            raise ConfigError(
                f"scores of the network {name!r} were asked for, but this run has "
                f"{', '.join(context.config.train.networks)}; name one of those"
            )
    require_current(context, training_tasks(context))
    networks = wanted or context.config.train.networks
    for name in networks:
        require_current(context, scoring_tasks(context, name))
    return networks


def threshold_table(context: Context, networks: tuple[str, ...]) -> pa.Table:
    """Tell what a threshold keeps of the test sample, network by network."""
    asked = replace(questions_of(context), thresholds=CURVE)
    reduction, tables = thresholds(asked), []
    for name in networks:
        tasks = [
            _task(
                context, "thresholds", name, partition, [asked.classes],
                count_thresholds, (asked, context.config, context.bands,
                                   context.survey.reference_band),
            )
            for partition in finished_partitions(context, "reduce")
        ]  # fmt: skip
        state = _merged(context, tasks)
        if context.config.train.folds and context.config.train.pretrained is None:
            for block in held_out_blocks(context, name, asked):
                state = add_states(state, reduction.local(block))
        tables.append(with_network(reduction.finish(state, asked), name))
    return pa.concat_tables(tables)


def count_thresholds(
    work: WorkDirectory,
    path: Place,
    partition: Partition,
    name: str,
    asked: Questions,
    config: Config,
    bands: tuple[str, ...],
    reference_band: str | None,
) -> Made:
    """Count the test sources of a partition by threshold, true and predicted class."""
    sample = (asked.training_sample,)
    block = read_block(work, partition, name, asked, sample, config, bands, reference_band)
    write_json(path, thresholds(asked).local(block))
    return Made(len(block), (path,))


@dataclass(frozen=True)
class External:
    """The tables of the external samples."""

    shares: pa.Table
    redshifts: pa.Table
    agreement: pa.Table


def external_tables(
    context: Context, networks: tuple[str, ...], other: OtherQuasars | None
) -> External:
    """Tell what each network says of the samples of other surveys."""
    classes, values = context.config.train.classes, published.external()
    cuts = Cuts(values.redshift_cut, values.quasar_redshift)
    samples = tuple(name for name in context.samples if name != context.config.train.sample)
    beside = {
        (STAR, ALL): {STAR: values.stars},
        (GALAXY, ALL): values.galaxies,
        (GALAXY, CUT): values.galaxies_cut,
        (QUASAR, ALL): {QUASAR: values.quasars_agree},
    }
    shares, redshifts, agreement = [], [], []
    for name in networks:
        tasks = [
            _task(
                context, "external", name, partition,
                [classes, samples, vars(cuts), other and (other.name, other.fingerprint)],
                count_external, (classes, samples, cuts, other),
            )
            for partition in finished_partitions(context, "reduce")
        ]  # fmt: skip
        state = _merged(context, tasks)
        shares.append(tabulate_shares(state, name, classes, beside))
        redshifts.append(tabulate_redshifts(state, name, classes))
        agreement.append(tabulate_agreement(state, name))
    return External(*map(pa.concat_tables, (shares, redshifts, agreement)))


def count_external(
    work: WorkDirectory,
    path: Place,
    partition: Partition,
    name: str,
    classes: tuple[str, ...],
    samples: tuple[str, ...],
    cuts: Cuts,
    other: OtherQuasars | None,
) -> Made:
    """Count what a network says of the samples in a partition."""
    columns = [SPATIAL_INDEX, NAME, RA, DEC, CLASS, P_MAX, FLAGS]
    scored = HatsCatalogue(work.scores(name)).read(partition, columns)
    predicted = pd.Index(classes).get_indexer(scored[CLASS].to_pandas())
    p_max = scored[P_MAX].to_numpy()
    found: dict[str, Members] = {}
    for sample in samples:
        store = HatsCatalogue(work.sample(sample))
        if store.exists(partition):
            table = store.read(partition, [SPATIAL_INDEX, NAME, LABEL, REDSHIFT])
            rows = rows_of(scored, table, partition)
            codes = pd.Index(classes).get_indexer(table[LABEL].to_pandas())
            redshift = table[REDSHIFT].to_numpy()
            found[sample] = Members(codes, predicted[rows], p_max[rows], redshift)
    if other is not None:
        rows = sources_near(other.path, partition, scored)
        rows = rows[(scored[FLAGS].to_numpy()[rows] & ScoreFlag.TRAINED_ON) == 0]
        codes = np.full(len(rows), classes.index(QUASAR))
        unknown = np.full(len(rows), np.nan, np.float32)
        found[other.name] = Members(codes, predicted[rows], p_max[rows], unknown)
    write_json(path, count_members(found, classes, cuts))
    return Made(scored.num_rows, (path,))


def _task(
    context: Context,
    experiment: str,
    name: str,
    partition: Partition,
    asked: Any,
    work: Any,
    arguments: tuple[Any, ...],
) -> Task:
    label = partition.label
    made_from = fingerprint(
        code_fingerprint("reduce", "infer", "ingest", *_CODE),
        task_fingerprint(context, "infer", f"{name}@{label}"),
        task_fingerprint(context, "match", label) if context.samples else None,
        [context.config.train.folds, context.config.train.sample, asked],
        [context.config.train.validation_fraction, context.config.train.test_fraction],
    )
    path = context.work.experiment(experiment) / "states" / f"{name}@{label.replace('/', '-')}.json"
    rows = context.receipt("ingest", label)
    return Task(
        f"experiment.{experiment}",
        f"{name}@{label}",
        made_from,
        work,
        (context.work, path, partition, name, *arguments),
        rows.rows if rows else 0,
        name,
        essential=True,
    )


def _merged(context: Context, tasks: list[Task]) -> State:
    state: State = {}
    for receipt in context.engine.map(tasks).receipts:
        path = context.work.root / next(iter(receipt.outputs))
        state = add_states(state, read_json(path))
    return state


def unanswered(context: Context, shares: pa.Table) -> Mapping[str, str]:
    """Name the questions of §4.1.2 that no sample answers, each with what would."""
    answered = set(shares["class"].to_pylist())
    wanted = {
        STAR: ("recall of stars", "a sample of stars that move, such as [samples.gaia]"),
        GALAXY: ("shares of galaxies", "a sample of galaxies with redshifts, as [samples.gama]"),
        QUASAR: ("agreement on quasars", "positions of another catalogue with --quasars TABLE"),
    }
    found = {}
    for name, (question, remedy) in wanted.items():
        if name not in context.config.train.classes:
            found[question] = f"the networks know no class {name}"
        elif name not in answered:
            found[question] = f"no source of the catalogue is in such a sample; give {remedy}"
    return found
