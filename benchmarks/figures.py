"""Drawings of results in the look of the report: goals, the budget of the main job, scaling.

Not a benchmark. What is reached is a filled blue dot right of its goal, what is missed an open
vermillion diamond left of it, so that a print in grey tells them apart.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from benchmarks.headlines import goals, stage_name
from benchmarks.record import Measurement, Ratio, Record
from benchmarks.wording import goal, name, number
from kidsclf.report.palette import (
    ACCENT,
    INK,
    LINE,
    MUTED,
    ORANGE,
    QUASAR_VERMILLION,
    STAR_BLUE,
    house_style,
)
from kidsclf.report.panels import NARROW, WIDE, Layout, legend_above, panels

_TICKS = tuple(step * 10.0**power for power in range(-6, 7) for step in (1, 2, 5))
_FEWEST_TICKS, _MOST_TICKS = 3, 8
_LONGEST_NAME = {WIDE: 66, NARROW: 52}
_ROOM = 1.25
"""Of a logarithmic axis beyond the outermost dot."""
_SMALLEST = 1e-6
"""A ratio of nothing has no place on a logarithmic axis."""


def over_goal(of: Ratio, value: float) -> float:
    """Say how many times its goal a value is; above 1 is better, whichever way the goal goes."""
    assert of.goal is not None
    parts = (value, of.goal) if of.at_least else (of.goal, value)
    return max(_SMALLEST, parts[0]) / max(_SMALLEST, parts[1])


@house_style
def draw_overview(named: Sequence[tuple[str, Record]], layout: Layout = WIDE) -> Figure:
    """Draw each ratio against its goal, a line of dots for each run."""
    names, records = [name for name, _ in named], [record for _, record in named]
    drawn = panels(1, layout, height_in=0.6 + 0.3 * len(records))
    axes = drawn.axes[0]
    for y, record in enumerate(records):
        for reached in (True, False):
            some = [each for each in goals(record) if bool(each.reached) is reached]
            x = [over_goal(each, each.median) for each in some]
            axes.plot(x, [y] * len(x), **_look(reached), alpha=0.85)
        asked = goals(record)
        reached_of = sum(bool(each.reached) for each in asked)
        _at_the_end(axes, f" {reached_of} of {len(asked)}", y)
    places = [over_goal(each, each.median) for record in records for each in goals(record)]
    axes.axvline(1.0, color=INK, linewidth=1.2, zorder=1)
    _log_ticks(axes, [1.0, *places])
    axes.set_yticks(range(len(records)), names)
    axes.set(xlabel="times the goal: better to the right", ylim=(len(records) - 0.5, -0.6))
    _rows_only(axes)
    legend_above(drawn, [*_legend(), Line2D([], [], color=INK, linewidth=1.2, label="goal")])
    return drawn.figure


@house_style
def draw_goals(record: Record, layout: Layout = WIDE) -> Figure:
    """Draw each ratio of a benchmark with its range, and its goal as a line across."""
    asked = goals(record)
    beside = layout.columns > 1  # else names stand above: phones are narrow
    drawn = panels(1, layout, height_in=0.6 + (0.26 if beside else 0.44) * len(asked))
    axes = drawn.axes[0]
    for y, each in enumerate(asked):
        look, values = _look(bool(each.reached)), np.maximum(each.values, _SMALLEST)
        axes.plot([values.min(), values.max()], [y, y], color=look["color"], linewidth=1.6)
        axes.plot([max(each.median, _SMALLEST)], [y], **look)
        axes.plot([each.goal] * 2, [y - (0.36 if beside else 0.2), y + 0.3], color=INK, lw=1.4)
        told = f"{number(each.median)}, wanted {goal(each)}" if beside else number(each.median)
        _at_the_end(axes, f" {told}", y)
    _named_rows(axes, [_short(name(each), layout) for each in asked], beside=beside)
    every = [value for each in asked for value in (*each.values, each.goal)]
    _log_ticks(axes, [max(_SMALLEST, value) for value in every if value is not None])
    axes.set(xlabel="ratio, median and range over the repeats", ylim=(len(asked) - 0.5, -0.6))
    _rows_only(axes)
    legend_above(drawn, [*_legend(), Line2D([], [], color=INK, linewidth=1.4, label="goal")])
    return drawn.figure


def _at_the_end(axes: Axes, text: str, y: float) -> None:
    """Write right of the axes, on a row."""
    across = axes.get_yaxis_transform()
    axes.text(1.0, y, text, transform=across, va="center", fontsize=8, color=MUTED)


def _named_rows(axes: Axes, names: Sequence[str], *, beside: bool) -> None:
    axes.set_yticks(range(len(names)), names if beside else [""] * len(names))
    if beside:
        return
    for y, text in enumerate(names):
        axes.text(0.0, y - 0.4, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)


@house_style
def draw_budget(shares: Sequence[Measurement], layout: Layout = WIDE) -> Figure:
    """Draw which share of the main job each stage takes."""
    drawn = panels(1, layout, height_in=0.5 + 0.3 * len(shares), legend_in=0)
    axes = drawn.axes[0]
    values = np.array([100 * each.median for each in shares])
    axes.barh(range(len(shares)), values, 0.62, color=ACCENT)
    for y, value in enumerate(values):
        axes.annotate(
            f"{value:.1f} %", (value, y), (4, 0), textcoords="offset points", va="center",
            fontsize=8, color=MUTED,
        )  # fmt: skip
    axes.set_yticks(range(len(shares)), [stage_name(each) for each in shares])
    axes.set(xlabel="percent of the seconds that workers were busy", ylim=(len(shares) - 0.5, -0.5))
    axes.set_xlim(0, 1.15 * float(values.max(initial=1.0)))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _rows_only(axes)
    return drawn.figure


@house_style
def draw_scaling(
    curves: Mapping[str, Sequence[tuple[int, Measurement]]],
    wanted: float | None,
    layout: Layout = WIDE,
) -> Figure:
    """Draw the efficiency of ever more workers, strong and weak, with its range."""
    drawn = panels(1, layout, height_in=2.9)
    axes = drawn.axes[0]
    looks = {"strong": (STAR_BLUE, "o", "-"), "weak": (ORANGE, "s", (0, (4, 1.6)))}
    handles, counts = [], sorted({count for curve in curves.values() for count, _ in curve})
    for place, (kind, curve) in enumerate(curves.items()):
        colour, marker, dash = looks.get(kind, (MUTED, "D", ":"))
        middle = np.array([each.median for _, each in curve])
        ends = np.array([(min(each.values), max(each.values)) for _, each in curve])
        x = np.array([count for count, _ in curve]) * 1.03**place  # so that ranges stand apart
        errors = np.abs(ends.T - middle)
        axes.errorbar(x, middle, errors, color=colour, marker=marker, linestyle=dash, ms=5)
        label = {"strong": "the same tasks for all", "weak": "as many tasks a worker"}.get(kind, "")
        handles.append(
            Line2D([], [], color=colour, marker=marker, ls=dash, label=f"{kind}: {label}")
        )
    if wanted is not None:
        axes.axhline(wanted, color=INK, linewidth=1.2)
        handles.append(Line2D([], [], color=INK, linewidth=1.2, label=f"goal {wanted:g}"))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    lowest = min((min(each.values) for curve in curves.values() for _, each in curve), default=0.5)
    axes.set_ylim(min(0.5, lowest - 0.05), 1.03)
    axes.set(xlabel="workers", ylabel="efficiency")
    legend_above(drawn, handles)
    return drawn.figure


def _look(reached: bool) -> dict[str, object]:
    look = {"marker": "o", "color": STAR_BLUE}
    if not reached:
        hollow = {"markerfacecolor": "none", "markeredgewidth": 1.6}
        look = {"marker": "D", "color": QUASAR_VERMILLION, **hollow}
    return {"markersize": 6, "linestyle": "", **look}


def _legend() -> list[Line2D]:
    pairs = ((True, "reached"), (False, "missed"))
    return [Line2D([], [], label=label, **_look(reached)) for reached, label in pairs]


def _log_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Scale a horizontal axis to what is shown, and name few round numbers on it."""
    low, high = min(values) / _ROOM, max(values) * _ROOM
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    shown = [tick for tick in _TICKS if low <= tick <= high]
    tens = [tick for tick in shown if f"{tick:e}"[0] == "1"]
    ticks = tens if len(shown) > _MOST_TICKS and len(tens) >= _FEWEST_TICKS else shown
    if len(ticks) < _FEWEST_TICKS:  # the axis is all but linear
        ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _rows_only(axes: Axes) -> None:
    axes.grid(visible=True, axis="y", color=LINE, alpha=0.25)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)


def _short(text: str, layout: Layout) -> str:
    longest = _LONGEST_NAME.get(layout, _LONGEST_NAME[NARROW])
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
