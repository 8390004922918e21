"""Stage ``report``: the page, from the reduced tables only."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import pyarrow as pa

from kidsclf.config import Config
from kidsclf.pipeline.context import Context, Doer, Share, StageOutcome
from kidsclf.pipeline.experiment_origin import is_of_this_run
from kidsclf.pipeline.summary import versions
from kidsclf.report.page import render_page
from kidsclf.report.sketches import Drawn, Sketch, draw_one
from kidsclf.report.tables import COLUMNS, EXPERIMENTS, ReportTables
from kidsclf.store.tables import read_json, read_table, write_table, write_text


def run(context: Context) -> StageOutcome:
    """Render ``report/index.html``."""
    tables = {}
    for name in COLUMNS:
        path = context.work.metrics / f"{name}.parquet"
        if path.exists():
            tables[name] = read_table(path)
    summary = read_json(context.work.metrics / "summary.json")
    experiments = _experiments(context)
    current = {name: each for name, each in experiments.items() if is_of_this_run(context, name)}
    page = render_page(
        ReportTables(
            summary=summary,
            settings=json.loads(context.config.model_dump_json()),
            versions=versions(),
            experiments=current,
            stale_experiments=tuple(name for name in experiments if name not in current),
            **tables,
        ),
        partial(draw_by_workers, context.engine),
    )
    write_text(context.work.report, page)
    return StageOutcome("report", 1, 0, int(summary["rows_out"]), 0.0, 0.0)


def draw_by_workers(engine: Doer, sketches: Iterable[Sketch]) -> Iterator[Drawn]:
    """Have the workers draw the figures: they are idle, and a process draws one at a time."""
    return engine.ask(draw_one, {f"the figure {each.anchor}": each for each in sketches})


def _experiments(context: Context) -> dict[str, dict[str, pa.Table]]:
    """Read the tables of the experiments in the work directory."""
    found = {}
    for name, wanted in EXPERIMENTS.items():
        folder = context.work.experiment(name)
        paths = {table: folder / f"{table}.parquet" for table in wanted}
        there = {table: read_table(path) for table, path in paths.items() if path.exists()}
        if there:
            found[name] = there
    return found


STAGES_SCHEMA = pa.schema(
    [
        ("stage", pa.string()),
        ("tasks", pa.int64()),
        ("skipped", pa.int64()),
        ("rows", pa.int64()),
        ("seconds", pa.float64()),
        ("rows_per_second", pa.float64()),
    ]
)


WORKERS_SCHEMA = pa.schema(
    [
        ("stage", pa.string()),
        ("worker", pa.string()),
        ("tasks", pa.int64()),
        ("rows", pa.int64()),
        ("seconds", pa.float64()),
        ("rows_per_second", pa.float64()),
    ]
)


THROUGHPUT_SCHEMA = pa.schema(
    [
        ("stage", pa.string()),
        ("network", pa.string()),
        ("tasks", pa.int64()),
        ("rows", pa.int64()),
        ("worker_seconds", pa.float64()),
        ("threads", pa.int64()),
        ("on_gpu", pa.bool_()),
        ("rows_per_thread_second", pa.float64()),
        ("median_task_rows_per_second", pa.float64()),
    ]
)


def write_tables(context: Context, outcomes: Sequence[StageOutcome]) -> None:
    """Write how the stages went, what each worker did, and what a thread of a worker does."""
    tables = {
        "stages": stages_table(outcomes),
        "throughput": throughput_table(outcomes, context.config),
        "workers": workers_table(outcomes),
    }
    for name, table in tables.items():
        write_table(context.work.metrics / f"{name}.parquet", table)


def throughput_table(outcomes: Sequence[StageOutcome], config: Config) -> pa.Table:
    """Write rows and seconds of workers of each stage, or of each network where tasks have one.

    They are summed over all receipts, whenever a task was done; a task computes with
    ``train.threads`` or ``infer.threads``, and with one thread in other stages. The median task is
    told of networks alone: tasks of other stages are of several kinds. Stages without tasks are
    left out.
    """
    threads = {"train": config.train.threads, "infer": config.infer.threads}
    rows = [
        {
            "stage": outcome.stage,
            "network": network,
            "tasks": share.tasks,
            "rows": share.rows,
            "worker_seconds": share.seconds,
            "threads": threads.get(outcome.stage, 1),
            "on_gpu": share.on_gpu,
            "rows_per_thread_second": share.rows / share.seconds / threads.get(outcome.stage, 1)
            if share.seconds
            else float("nan"),
            "median_task_rows_per_second": share.median_rate,
        }
        for outcome in outcomes
        for network, share in _parts(outcome)
        if share.tasks
    ]
    return pa.Table.from_pylist(rows, schema=THROUGHPUT_SCHEMA)


def _parts(outcome: StageOutcome) -> list[tuple[str | None, Share]]:
    whole = Share(outcome.tasks, outcome.rows, outcome.task_seconds)
    return [*outcome.by_network.items()] or [(None, whole)]


def workers_table(outcomes: Sequence[StageOutcome]) -> pa.Table:
    """Write what each worker did; seconds are those of its tasks, by the clock."""
    rows = [
        {
            "stage": outcome.stage,
            "worker": worker,
            "tasks": share.tasks,
            "rows": share.rows,
            "seconds": share.seconds,
            "rows_per_second": share.rows / share.seconds if share.seconds else float("nan"),
        }
        for outcome in outcomes
        for worker, share in sorted(outcome.by_worker.items())
    ]
    return pa.Table.from_pylist(rows, schema=WORKERS_SCHEMA)


def stages_table(outcomes: Sequence[StageOutcome]) -> pa.Table:
    """Write how the stages went as a table; seconds are those of this run's wall clock.

    Of a stage that was partly done before there is no rate: its rows are all, its seconds are not.
    """
    rows = [
        {
            "stage": outcome.stage,
            "tasks": outcome.tasks,
            "skipped": outcome.skipped,
            "rows": outcome.rows,
            "seconds": outcome.seconds,
            "rows_per_second": _rate(outcome),
        }
        for outcome in outcomes
    ]
    return pa.Table.from_pylist(rows, schema=STAGES_SCHEMA)


def _rate(outcome: StageOutcome) -> float:
    told = outcome.seconds and not outcome.skipped
    return outcome.rows / outcome.seconds if told else float("nan")
