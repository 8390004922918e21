"""Stage ``report``: the page, from the reduced tables only."""

import json
from collections.abc import Sequence

import pyarrow as pa

from kidsclf.pipeline.context import Context, StageOutcome
from kidsclf.pipeline.experiment_origin import is_of_this_run
from kidsclf.pipeline.summary import versions
from kidsclf.report.page import render_page
from kidsclf.report.tables import COLUMNS, EXPERIMENTS, ReportTables
from kidsclf.store.tables import read_json, read_table, write_text


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
        )
    )
    write_text(context.work.report, page)
    return StageOutcome("report", 1, 0, int(summary["rows_out"]), 0.0, 0.0)


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
    """Write how the stages went as a table; seconds are those of this run's wall clock."""
    rows = [
        {
            "stage": outcome.stage,
            "tasks": outcome.tasks,
            "skipped": outcome.skipped,
            "rows": outcome.rows,
            "seconds": outcome.seconds,
            "rows_per_second": outcome.rows / outcome.seconds if outcome.seconds else float("nan"),
        }
        for outcome in outcomes
    ]
    return pa.Table.from_pylist(rows, schema=STAGES_SCHEMA)
