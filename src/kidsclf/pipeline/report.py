"""Stage ``report``: the page, from the reduced tables only."""

import json

import pyarrow as pa

from kidsclf.pipeline.context import Context, StageOutcome
from kidsclf.pipeline.summary import versions
from kidsclf.report.page import render_page
from kidsclf.report.tables import COLUMNS, ReportTables
from kidsclf.store.tables import read_json, read_table, write_text


def run(context: Context) -> StageOutcome:
    """Render ``report/index.html``."""
    tables = {}
    for name in COLUMNS:
        path = context.work.metrics / f"{name}.parquet"
        if path.exists():
            tables[name] = read_table(path)
    summary = read_json(context.work.metrics / "summary.json")
    page = render_page(
        ReportTables(
            summary=summary,
            settings=json.loads(context.config.model_dump_json()),
            versions=versions(),
            **tables,
        )
    )
    write_text(context.work.report, page)
    return StageOutcome("report", 1, 0, int(summary["rows_out"]), 0.0, 0.0)


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


def stages_table(outcomes: list[StageOutcome]) -> pa.Table:
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
