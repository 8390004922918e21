"""Figures of the experiments: ours with their spread beside what Feng et al. publish."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from kidsclf.report.palette import INK, MUTED, class_look, house_style, in_order
from kidsclf.report.panels import (
    WIDE,
    Layout,
    class_legend,
    fraction_limits,
    legend_above,
    log_axis,
    panels,
)
from kidsclf.report.tables import distinct, numbers, rows_of, select

_FAINT = 0.35
_APART = 1.35
"""Ratio of two sizes whose names do not run into each other."""


@house_style
def draw_rows(table: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw the F1 score of each class for each row of a table, and the published one.

    Parameters
    ----------
    table : pyarrow.Table
        ``title``, ``class``, ``f1``, ``f1_std``, ``published_f1``; rows without an answer have NaN.
    layout : Layout
    """
    titles, classes = distinct(table, "title"), in_order(distinct(table, "class"))
    height = 0.75 + 0.26 * len(titles)
    drawn = panels(len(classes), layout, columns=3, height_in=height)
    for k, (axes, name) in enumerate(zip(drawn.axes, classes, strict=True)):
        rows = select(table, {"class": name})
        look = class_look(name)
        y = np.arange(rows.num_rows)
        axes.errorbar(
            numbers(rows, "f1"), y, xerr=np.nan_to_num(numbers(rows, "f1_std")),
            color=look.colour, marker=look.marker, markersize=5, linestyle="",
        )  # fmt: skip
        axes.plot(numbers(rows, "published_f1"), y, color=INK, marker="D", ms=5, mfc="none", ls="")
        shown = titles if k % max(1, min(layout.columns, 3)) == 0 else [""] * len(titles)
        axes.set_yticks(y, shown)
        axes.set(title=look.label, xlabel="F1 score", ylim=(len(titles) - 0.5, -0.5))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
    legend_above(drawn, [_ours(), _papers()])
    return drawn.figure


def _ours() -> Line2D:
    label = "this survey, mean and standard deviation over seeds"
    return Line2D([], [], color=MUTED, marker="o", linestyle="-", label=label)


def _papers() -> Line2D:
    return Line2D([], [], color=INK, marker="D", mfc="none", linestyle="", label="Feng et al.")


@house_style
def draw_sizes(table: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw the F1 score of each class against the size of the training sample (Feng 13).

    Parameters
    ----------
    table : pyarrow.Table
        ``network``, ``class``, ``train_rows``, ``f1``, ``f1_std``.
    layout : Layout
    """
    answered = table.filter(pc.greater(table["seeds"], 0))
    networks, classes = distinct(answered, "network"), in_order(distinct(answered, "class"))
    drawn = panels(max(1, len(networks)), layout, columns=2)
    for axes, network in zip(drawn.axes, networks, strict=False):
        curves = []
        for name in classes:
            rows = select(answered, {"network": network, "class": name}).sort_by("train_rows")
            look, f1 = class_look(name), numbers(rows, "f1")
            axes.errorbar(
                numbers(rows, "train_rows"), f1, yerr=np.nan_to_num(numbers(rows, "f1_std")),
                color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4.5,
            )  # fmt: skip
            curves.append(f1)
        _size_axis(axes, numbers(select(answered, {"network": network}), "train_rows"))
        fraction_limits(axes, *curves)
        axes.set(title=str(network), xlabel="training sources", ylabel="F1 score")
    class_legend(drawn, classes)
    return drawn.figure


def _size_axis(axes: Axes, sizes: NDArray[np.float64]) -> None:
    """Make an axis logarithmic, and name the sizes themselves, but for those too near another."""
    named: list[float] = []
    for size in np.unique(sizes):
        if not named or size > _APART * named[-1]:
            named.append(float(size))
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(named, [f"{size:,.0f}" for size in named])


@house_style
def draw_differences(differences: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw by how much scores change, with their spread over seeds.

    Parameters
    ----------
    differences : pyarrow.Table
        ``network``, ``measure``, ``difference``, ``difference_std``.
    layout : Layout
    """
    networks = distinct(differences, "network")
    measures = distinct(differences, "measure")
    drawn = panels(max(1, len(networks)), layout, height_in=0.8 + 0.3 * len(measures), legend_in=0)
    for axes, network in zip(drawn.axes, networks, strict=False):
        rows = select(differences, {"network": network})
        for y, row in enumerate(rows_of(rows)):
            look = class_look(row["measure"].removeprefix("F1 "))
            axes.errorbar(
                [row["difference"]], [y], xerr=np.nan_to_num(row["difference_std"]),
                color=INK if row["measure"] == "accuracy" else look.colour, marker="o",
            )  # fmt: skip
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks(range(rows.num_rows), distinct(rows, "measure"))
        axes.set(title=str(network), ylim=(rows.num_rows - 0.5, -0.5))
        axes.set(xlabel="normalised stamps less stamps as measured")
    return drawn.figure


@house_style
def draw_external(
    redshifts: pa.Table, agreement: pa.Table, network: str, layout: Layout = WIDE
) -> Figure:
    """Draw redshifts by predicted class (Feng 6), and agreement against the threshold.

    Parameters
    ----------
    redshifts : pyarrow.Table
        ``sample``, ``class``, ``predicted_class``, ``z_low``, ``z_high``, ``count``.
    agreement : pyarrow.Table
        ``sample``, ``class``, ``threshold``, ``agreement``.
    network : str
        Whose answers are drawn.
    layout : Layout
    """
    spread = select(redshifts, {"network": network})
    agreed = select(agreement, {"network": network})
    samples = [(row["sample"], row["class"]) for row in rows_of(spread)]
    samples = list(dict.fromkeys(samples))
    drawn = panels(len(samples) + 1, layout, height_in=2.9)
    met: list[str] = []
    for axes, (sample, name) in zip(drawn.axes, samples, strict=False):
        rows = select(spread, {"sample": sample, "class": name})
        met += distinct(rows, "predicted_class")
        _redshift_steps(axes, rows)
        axes.set(title=f"Redshifts of {sample}", xlabel="redshift", ylabel="sources per bin")
    _agreement_lines(drawn.axes[-1], agreed)
    met += distinct(agreed, "class")
    every = Line2D([], [], color=MUTED, alpha=_FAINT, linewidth=5, label="all")
    class_legend(drawn, in_order(met), [every])
    return drawn.figure


def _redshift_steps(axes: Axes, rows: pa.Table) -> None:
    log_axis(axes)
    low, high = numbers(rows, "z_low").min(), numbers(rows, "z_high").max()
    width = float(numbers(rows, "z_high")[0] - numbers(rows, "z_low")[0])
    edges = np.linspace(low, high, round((high - low) / width) + 1)
    lines = {}
    for name in in_order(distinct(rows, "predicted_class")):
        some = select(rows, {"predicted_class": name})
        counts = np.zeros(len(edges) - 1)
        place = np.rint((numbers(some, "z_low") - low) / width).astype(int)
        counts[place] = numbers(some, "count")
        lines[name] = counts
    _steps(axes, edges, np.sum(list(lines.values()), axis=0), color=MUTED, alpha=_FAINT, lw=5)
    for name, counts in lines.items():
        look = class_look(name)
        _steps(axes, edges, counts, color=look.colour, linestyle=look.dash)


def _steps(axes: Axes, edges: Any, counts: Any, **look: Any) -> None:
    axes.stairs(np.where(counts > 0, counts, np.nan), edges, baseline=None, **look)


def _agreement_lines(axes: Axes, agreed: pa.Table) -> None:
    curves = []
    for sample, name in dict.fromkeys((r["sample"], r["class"]) for r in rows_of(agreed)):
        rows = select(agreed, {"sample": sample, "class": name}).sort_by("threshold")
        look, y = class_look(name), numbers(rows, "agreement")
        x = np.maximum(numbers(rows, "threshold"), 1 / 3)
        axes.plot(x, y, color=look.colour, linestyle=look.dash, label=str(sample))
        curves.append(y)
    fraction_limits(axes, *curves)
    axes.set(title="Given the class of the sample", xlabel="threshold on the largest probability")
