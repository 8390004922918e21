"""What a run did: the rows that each selection kept, and the time that each stage took."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kidsclf.report.numbers import duration, percent, whole
from kidsclf.report.palette import ACCENT, INK, LINE, MUTED, house_style
from kidsclf.report.panels import WIDE, Layout, legend_above, panels
from kidsclf.report.tables import distinct, numbers, select

_BAR = 0.62
_THIN_BAR = 0.4
_LONGEST_STEP = 48
MOST_WORKERS = 24
"""Workers drawn: the busiest."""


@house_style
def draw_cut_flow(cut_flow: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw how many rows each selection step kept and cut, one panel per table.

    Parameters
    ----------
    cut_flow : pyarrow.Table
        Columns of ``cut_flow``.
    layout : Layout
    """
    names = distinct(cut_flow, "table")
    steps = [select(cut_flow, {"table": name}) for name in names]
    drawn = panels(len(names), layout, columns=1, height_in=[0.7 + 0.46 * len(s) for s in steps])
    for axes, name, rows in zip(drawn.axes, names, steps, strict=True):
        _cut_bars(axes, rows)
        axes.set(title=str(name), xlabel="rows")
    legend_above(
        drawn,
        [
            Patch(facecolor=ACCENT, label="kept"),
            Patch(facecolor="none", edgecolor=LINE, hatch="////", label="cut by this step"),
        ],
    )
    return drawn.figure


def _cut_bars(axes: Axes, rows: pa.Table) -> None:
    kept, cut = numbers(rows, "rows_out"), numbers(rows, "rows_cut")
    place = np.arange(len(kept), dtype=np.float64)
    axes.barh(place, kept, _THIN_BAR, color=ACCENT)
    axes.barh(place, cut, _THIN_BAR, left=kept, facecolor="none", edgecolor=LINE, hatch="////")
    names = rows["step"].to_pylist()
    for y, name, total, lost in zip(place.tolist(), names, kept + cut, cut, strict=True):
        text = f"−{whole(float(lost))} ({percent(float(lost / total))})" if lost else "nothing cut"
        _beside(axes, text, float(total), y)
        # Above its bar and not left of the axis: names of steps are long, phones are narrow.
        axes.text(0, y - 0.28, _short(str(name)), va="bottom", fontsize=8)
    axes.set_ylim(len(kept) - 0.6, -0.8)
    axes.set_xlim(0, 1.4 * float(np.max(kept + cut, initial=1.0)))
    axes.set_yticks([])
    _plain_bars(axes)


def _beside(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(
        text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8, color=MUTED
    )


@house_style
def draw_stages(stages: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw how long each stage took, with its rows per second.

    Parameters
    ----------
    stages : pyarrow.Table
        Columns of ``stages``, in the order of the run.
    layout : Layout
    """
    seconds, rate = numbers(stages, "seconds"), numbers(stages, "rows_per_second")
    place = np.arange(len(seconds))
    drawn = panels(1, layout, height_in=0.7 + 0.3 * len(seconds), legend_in=0)
    axes = drawn.axes[0]
    axes.barh(place, np.nan_to_num(seconds), _BAR, color=ACCENT)
    for y, time, rows in zip(place, seconds, rate, strict=True):
        speed = f", {whole(float(rows))} rows/s" if rows > 0 else ""
        _beside(axes, f"{duration(float(time))}{speed}", float(np.nan_to_num(time)), float(y))
    axes.set_yticks(place, [str(name) for name in stages["stage"].to_pylist()])
    axes.set(xlabel="seconds", ylim=(len(seconds) - 0.5, -0.5))
    axes.set_xlim(0, 1.7 * float(np.nanmax(seconds, initial=1e-3)))
    _plain_bars(axes)
    return drawn.figure


@house_style
def draw_workers(workers: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw how long each worker was busy, over all stages.

    Parameters
    ----------
    workers : pyarrow.Table
        Columns of ``workers``.
    layout : Layout
    """
    whole_run = workers.group_by("worker").aggregate([("seconds", "sum"), ("tasks", "sum")])
    busiest = whole_run.sort_by([("seconds_sum", "descending")]).slice(0, MOST_WORKERS)
    seconds, tasks = numbers(busiest, "seconds_sum"), numbers(busiest, "tasks_sum")
    place = np.arange(len(seconds))
    drawn = panels(1, layout, height_in=0.7 + 0.3 * len(seconds), legend_in=0)
    axes = drawn.axes[0]
    axes.barh(place, seconds, _BAR, color=ACCENT)
    for y, time, count in zip(place, seconds, tasks, strict=True):
        text = f"{duration(float(time))}, {whole(float(count))} tasks"
        _beside(axes, text, float(time), float(y))
    axes.set_yticks(place, [_short(str(name)) for name in busiest["worker"].to_pylist()])
    axes.set(xlabel="seconds busy", ylim=(len(seconds) - 0.5, -0.5))
    axes.set_xlim(0, 1.7 * float(np.nanmax(seconds, initial=1e-3)))
    _plain_bars(axes)
    return drawn.figure


def _plain_bars(axes: Axes) -> None:
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)


def _short(step: str) -> str:
    return step if len(step) <= _LONGEST_STEP else step[: _LONGEST_STEP - 1] + "…"
