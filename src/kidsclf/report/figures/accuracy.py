"""How good a network is on labelled sources: Feng's Figures 3 and 4, and accuracy by magnitude."""

from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from kidsclf.report.numbers import percent, whole
from kidsclf.report.palette import ACCENT, INK, MUTED, class_look, house_style, in_order
from kidsclf.report.panels import (
    WIDE,
    Layout,
    Panels,
    class_legend,
    fraction_limits,
    legend_above,
    panels,
)
from kidsclf.report.tables import POOLED_FOLD, distinct, numbers, rows_of, select

FENG_THRESHOLDS = (0.9, 0.99)
"""Range that Feng's section 4.1.1 finds a good balance of purity and completeness."""

_NETWORK_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DARKEST = 0.45
_NETWORK_SHADE = 0.75


@house_style
def draw_thresholds(thresholds: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw F1, the fraction kept, precision and recall against the threshold of p_max (Feng 3).

    Parameters
    ----------
    thresholds : pyarrow.Table
        Columns of ``thresholds`` for one network and one sample.
    layout : Layout
    """
    shown = {
        "F1 score": "f1",
        "Fraction kept": "frac_thre",
        "Precision (purity)": "precision",
        "Recall of those kept": "recall",
    }
    drawn = panels(len(shown), layout)
    classes = in_order(distinct(thresholds, "class"))
    for axes, (title, column) in zip(drawn.axes, shown.items(), strict=True):
        axes.axvspan(*FENG_THRESHOLDS, color=MUTED, alpha=0.12, linewidth=0)
        _lines_by_class(axes, thresholds, classes, "threshold", column)
        axes.set(title=title, xlabel="threshold on the largest probability")
    class_legend(drawn, classes)
    return drawn.figure


def _lines_by_class(
    axes: Axes, table: pa.Table, classes: list[str], x_column: str, y_column: str
) -> None:
    curves = []
    for name in classes:
        rows = select(table, {"class": name}).sort_by(x_column)
        look = class_look(name)
        x, y = numbers(rows, x_column), numbers(rows, y_column)
        axes.plot(x, y, color=look.colour, linestyle=look.dash)
        curves.append(y)
    fraction_limits(axes, *curves)


@house_style
def draw_confusion(confusion: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw one confusion matrix per network: true classes across, predicted ones down (Feng 4).

    Parameters
    ----------
    confusion : pyarrow.Table
        Columns of ``confusion`` for one sample. ``fraction`` is that of the true class.
    layout : Layout
    """
    networks = distinct(confusion, "network")
    drawn = panels(len(networks), layout, columns=3, height_in=2.9, legend_in=0)
    for axes, network in zip(drawn.axes, networks, strict=True):
        _matrix(axes, select(confusion, {"network": network}))
        axes.set_title(str(network))
    return drawn.figure


def _matrix(axes: Axes, confusion: pa.Table) -> None:
    rows = rows_of(confusion)
    # A source that got no class has a null there, and keeps a row of its own.
    across = in_order([row["true_class"] or "" for row in rows])
    down = in_order([row["predicted_class"] or "" for row in rows])
    for row in rows:
        x, y = across.index(row["true_class"] or ""), down.index(row["predicted_class"] or "")
        _matrix_cell(axes, x, y, row["count"], row["fraction"])
    axes.set_xticks(range(len(across)), [class_look(name).label for name in across])
    axes.set_yticks(range(len(down)), [class_look(name).label for name in down])
    axes.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5))
    axes.set(xlabel="true class", ylabel="predicted class")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)


def _matrix_cell(axes: Axes, x: int, y: int, count: Any, fraction: Any) -> None:
    # Shades stay light enough for the page's ink to be read on every cell, in both themes.
    shade = _DARKEST * float(np.nan_to_num(fraction or 0.0))
    axes.add_patch(
        Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=ACCENT, alpha=shade, linewidth=0)
    )
    axes.text(x, y - 0.1, percent(fraction), ha="center", va="center", fontweight="bold")
    axes.text(x, y + 0.2, whole(count), ha="center", va="center", fontsize=8, color=MUTED)


@house_style
def draw_magnitude_bins(classification: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw precision, recall and F1 of each class in bins of r magnitude.

    Parameters
    ----------
    classification : pyarrow.Table
        Columns of ``classification`` for one network and one sample: rows of all folds pooled,
        of finite ``r_low`` and ``r_high`` (AB magnitudes).
    layout : Layout
    """
    shown = {"Precision (purity)": "precision", "Recall (completeness)": "recall", "F1 score": "f1"}
    drawn = panels(len(shown), layout, columns=3, height_in=2.6)
    classes = in_order(distinct(classification, "class"))
    for axes, (title, column) in zip(drawn.axes, shown.items(), strict=True):
        values = []
        for name in classes:
            rows = select(classification, {"class": name}).sort_by("r_low")
            look, y = class_look(name), numbers(rows, column)
            middle = (numbers(rows, "r_low") + numbers(rows, "r_high")) / 2
            axes.plot(middle, y, color=look.colour, linestyle=look.dash, marker=look.marker, ms=4.5)
            values.append(y)
        fraction_limits(axes, *values)
        axes.set(title=title, xlabel="r [AB mag]")
    class_legend(drawn, classes)
    return drawn.figure


@house_style
def draw_networks(classification: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw the F1 score of every class and network side by side, with the spread over folds.

    Parameters
    ----------
    classification : pyarrow.Table
        Columns of ``classification`` for one sample, all magnitudes; fold -1 pools the folds,
        and the others give the standard deviation drawn as a bar.
    layout : Layout
    """
    networks = distinct(classification, "network")
    classes = in_order(distinct(classification, "class"))
    height = 0.55 + 0.34 * len(networks) * len(classes) / 2
    drawn = panels(1, layout, height_in=max(1.6, height))
    _network_points(drawn, classification, networks, classes)
    axes = drawn.axes[0]
    axes.set_yticks(range(len(classes)), [class_look(name).label for name in classes])
    axes.set(ylim=(len(classes) - 0.5, -0.5), xlabel="F1 score")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    markers = [
        Line2D([], [], color=MUTED, linestyle="", marker=_network_marker(k), label=str(name))
        for k, name in enumerate(networks)
    ]
    legend_above(drawn, markers)
    return drawn.figure


def _network_marker(k: int) -> str:
    return _NETWORK_MARKERS[k % len(_NETWORK_MARKERS)]


def _network_points(
    drawn: Panels, classification: pa.Table, networks: list[Any], classes: list[str]
) -> None:
    for y, name in enumerate(classes):
        for k, network in enumerate(networks):
            rows = select(classification, {"class": name, "network": network})
            folds = numbers(rows, "fold")
            scores = numbers(rows, "f1")
            pooled, parts = scores[folds == POOLED_FOLD], scores[folds != POOLED_FOLD]
            place = y + _NETWORK_SHADE * ((k + 0.5) / len(networks) - 0.5)
            drawn.axes[0].errorbar(
                pooled[:1],
                [place] * len(pooled[:1]),
                xerr=float(np.std(parts, ddof=1)) if len(parts) > 1 else None,
                color=class_look(name).colour,
                marker=_network_marker(k),
                markersize=6,
                linestyle="",
            )
