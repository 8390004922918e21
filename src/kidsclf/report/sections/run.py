"""What the run read, cut, took and was told: cut flow, throughput, settings and versions."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from kidsclf.report.blocks import Block, Folded, Grid, Remark, Section, drawing, grid, missing
from kidsclf.report.figures.run import draw_cut_flow, draw_stages, draw_workers
from kidsclf.report.numbers import DASH, duration, whole
from kidsclf.report.tables import COLUMNS, ReportTables, numbers, present, rows_of


def cut_flow(tables: ReportTables) -> Section:
    """Show how many rows each selection kept."""
    lead = "Every row that was read either went on or stands here with the reason why not."
    table = present(tables.cut_flow)
    blocks: tuple[Block, ...] = (missing("The cut flow", "no stage that selects rows has run"),)
    if table is not None:
        bars = drawing(
            "fig-cut-flow",
            partial(draw_cut_flow, table),
            title="Rows kept and cut",
            caption="Look for a step that cuts far more than you expect: that is more often a "
            "wrong column or unit than a property of the sky.",
            alt="Bars of rows kept and rows cut, one bar per selection step, one panel per table.",
            data=table,
        )
        blocks = (_balance(table), bars, _cuts(table))
    return Section("cut-flow", "Cut flow", lead, blocks)


def _cuts(table: pa.Table) -> Block:
    headings = ["Stage", "Table", "Step", "Reason", "Rows in", "Cut", "Rows out"]
    rows = [[row[name] for name in COLUMNS["cut_flow"]] for row in rows_of(table)]
    return grid("Cut flow", headings, rows)


def _balance(table: pa.Table) -> Remark:
    left = numbers(table, "rows_in") - numbers(table, "rows_cut") - numbers(table, "rows_out")
    wrong = [row["step"] for row, rest in zip(rows_of(table), left, strict=True) if rest != 0]
    if not wrong:
        return Remark("At every step, rows in = rows cut + rows out: nothing was lost unseen.")
    steps = ", ".join(map(str, wrong))
    return Remark(f"Rows in, cut and out do not add up at: {steps}.", "warning")


def throughput(tables: ReportTables) -> Section:
    """Show how long each stage took."""
    lead = (
        "Time by stage is what the run that drew this page waited, without tasks that were already "
        "done (skipped; then no rate is told). What a thread of a worker does is from the receipts "
        "of all tasks, whenever they were done."
    )
    table = present(tables.stages)
    blocks: tuple[Block, ...] = (missing("The throughput", "no receipts were read"),)
    if table is not None:
        bars = drawing(
            "fig-stages",
            partial(draw_stages, table),
            title="Time by stage",
            caption="The longest bar is where more workers or a GPU would help most.",
            alt="Bars of seconds, one per stage of the run.",
            data=table,
        )
        rows = [
            [
                *(row[name] for name in ("stage", "tasks", "skipped", "rows")),
                *(duration(row["seconds"]), whole(row["rows_per_second"])),
            ]
            for row in rows_of(table)
        ]
        total = duration(float(np.nansum(numbers(table, "seconds"))))
        headings = ["Stage", "Tasks", "Skipped", "Rows", "Time", "Rows/s"]
        blocks = (bars, grid(f"Stages, {total} in all", headings, rows))
    threads = present(tables.throughput)
    if threads is not None:  # a run of an older version has none
        blocks += (of_a_thread(threads),)
    blocks += tuple(_workers(present(tables.workers)))
    return Section("throughput", "Throughput", lead, blocks)


def of_a_thread(table: pa.Table) -> Grid:
    """Say what a thread of a worker, or a worker with a GPU, does of each stage and network.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of ``throughput``.
    """
    cards = any(table["on_gpu"].to_pylist())
    rows = [_thread_row(row, cards=cards) for row in rows_of(table)]
    headings = ["Stage", "Network", "Rows", "Workers busy", "Threads", "Rows/s of a thread"]
    headings += ["Rows/s of a GPU"] if cards else []
    note = (
        "The first tasks of a worker load and compile the network. Rows/s of a thread and hours a "
        "million rows count that, so in a small run they tell of compiling more than of rows; the "
        "median task goes without. Hours are of a thread, or of a GPU where one is told."
    )
    if cards:
        note += " A worker with a GPU counts as one; where several share a card, it does more."
    return grid(
        "What a thread of a worker does, by the clock",
        [*headings, "Rows/s in the median task", "Hours a million rows"],
        rows,
        note,
    )


def _thread_row(row: Mapping[str, Any], *, cards: bool) -> list[Any]:
    """Give hours of a thread or GPU last: times the price of an hour they are what rows cost."""
    rate, seconds = row["rows_per_thread_second"], row["worker_seconds"]
    of_card = row["rows"] / seconds if row["on_gpu"] and seconds else float("nan")
    of_thread = float("nan") if row["on_gpu"] else rate
    each = of_card if row["on_gpu"] else of_thread
    hours = f"{1e6 / 3600 / each:.3g}" if each > 0 else DASH
    return [
        *(row["stage"], row["network"], row["rows"], duration(seconds), row["threads"]),
        whole(of_thread),
        *([whole(of_card)] if cards else []),
        whole(row["median_task_rows_per_second"]),
        hours,
    ]


def _workers(table: pa.Table | None) -> Iterator[Block]:
    if table is None:
        yield missing("The throughput of each worker", "no task was left for this run to do")
        return
    yield drawing(
        "fig-workers",
        partial(draw_workers, table),
        title="Time by worker",
        caption="Of tasks that this run did, not of those done before. Bars of one length are work "
        "well shared. A worker that ended early has few tasks; one that was started anew, as "
        "before scoring, stands here under both its processes.",
        alt="Bars of seconds that each worker was busy.",
        data=table,
    )
    rows = [
        [
            *(row[name] for name in ("stage", "worker", "tasks", "rows")),
            *(duration(row["seconds"]), whole(row["rows_per_second"])),
        ]
        for row in rows_of(table)
    ]
    headings = ["Stage", "Worker", "Tasks", "Rows", "Busy", "Rows/s"]
    yield Folded("Every stage and worker", (grid("Stages by worker", headings, rows),))


def settings(tables: ReportTables) -> Section:
    """List the resolved configuration and the versions that were used."""
    told = [[key, value] for key, value in _flat(tables.settings)]
    used = [[str(name), str(tables.versions[name])] for name in sorted(tables.versions)]
    run = [[key, value] for key, value in _flat(tables.summary.get("run") or {})]
    blocks: list[Block] = []
    if run:
        blocks.append(grid("This run", ["Field", "Value"], run))
    if told:
        table = grid("The configuration, resolved", ["Setting", "Value"], told)
        blocks.append(Folded(f"All {len(told)} settings", (table,)))
    else:
        blocks.append(missing("The configuration", "it was not handed to the report"))
    if used:
        blocks.append(grid("Versions", ["Name", "Version"], used))
    else:
        blocks.append(missing("The list of versions", "it was not handed to the report"))
    return Section(
        "settings", "Settings and versions", "What it takes to repeat this run.", tuple(blocks)
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Walk nested settings as dotted names and texts, in their own order."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            yield from _flat({str(k): one for k, one in enumerate(value)}, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or DASH
        else:
            yield name, DASH if value is None else str(value)
