"""How far the labels reach into the catalogue, in magnitude and colour: Feng's Figure 1."""

from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from kidsclf.report.palette import INK, MUTED, class_look, house_style, in_order
from kidsclf.report.panels import WIDE, Layout, class_legend, log_axis, panels
from kidsclf.report.tables import distinct, numbers, select

CATALOGUE, EVERY_CLASS = "catalogue", "ALL"

_AXES = {"magnitude": "r [AB mag]", "u-g": "u − g [mag]"}


@house_style
def draw_distributions(distributions: pa.Table, sample: str, layout: Layout = WIDE) -> Figure:
    """Draw the numbers of catalogue sources and of labelled ones of each class (Feng 1).

    Parameters
    ----------
    distributions : pyarrow.Table
        Columns of ``distributions`` for one network.
    sample : str
        The labels that are drawn.
    layout : Layout
    """
    quantities = distinct(distributions, "quantity")
    drawn = panels(len(quantities), layout, height_in=3.0)
    labelled = select(distributions, {"sample": sample})
    classes = in_order(distinct(labelled, "class"))
    for axes, quantity in zip(drawn.axes, quantities, strict=True):
        of_one = select(distributions, {"quantity": quantity})
        edges = _edges(of_one)
        log_axis(axes)
        _steps(axes, select(of_one, {"sample": CATALOGUE}), edges, color=MUTED, linewidth=2.4)
        mine = select(of_one, {"sample": sample})
        _steps(axes, mine, edges, color=INK, linewidth=1.1)
        for name in classes:
            look = class_look(name)
            rows = select(mine, {"class": name})
            _steps(axes, rows, edges, color=look.colour, linestyle=look.dash)
        label = _AXES.get(str(quantity), str(quantity))
        axes.set(xlabel=label, ylabel="sources per bin", ylim=(0.7, None))
    every = [
        Line2D([], [], color=MUTED, linewidth=2.4, label="catalogue"),
        Line2D([], [], color=INK, linewidth=1.1, label=f"labels of {sample}"),
    ]
    class_legend(drawn, classes, every)
    return drawn.figure


def _edges(table: pa.Table) -> NDArray[np.float64]:
    low, high = numbers(table, "low"), numbers(table, "high")
    bins = round((high.max() - low.min()) / (high - low).min())
    return np.linspace(low.min(), high.max(), bins + 1)


def _steps(axes: Axes, rows: pa.Table, edges: NDArray[np.float64], **look: Any) -> None:
    counts, _ = np.histogram(
        (numbers(rows, "low") + numbers(rows, "high")) / 2, edges, weights=numbers(rows, "count")
    )
    # A gap is left where there is nothing: a logarithmic axis has no place for it.
    shown = np.where(counts > 0, counts, np.nan)
    axes.stairs(shown, edges, baseline=None, **look)
