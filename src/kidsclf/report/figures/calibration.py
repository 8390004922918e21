"""Whether probabilities are what they say: the reliability diagram, before and after."""

from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from kidsclf.report.palette import MUTED, class_look, house_style, in_order
from kidsclf.report.panels import WIDE, Layout, class_legend, panels
from kidsclf.report.tables import distinct, numbers, select

FEWEST = 10
"""Sources in a point; bins of fewer are joined, or single sources would fill the diagram."""

_TITLES = {"raw": "As the network says", "calibrated": "Calibrated"}


@house_style
def draw_reliability(reliability: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw the fraction that is of a class against the probability given to it.

    Parameters
    ----------
    reliability : pyarrow.Table
        Columns of ``reliability`` for one network and one sample: rows over all magnitudes of the
        classes that are to be drawn.
    layout : Layout
    """
    drawn = panels(len(_TITLES), layout, height_in=3.4)
    classes = in_order(distinct(reliability, "class"))
    for axes, (kind, title) in zip(drawn.axes, _TITLES.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        for shift, name in enumerate(classes):
            rows = select(reliability, {"kind": kind, "class": name}).sort_by("p_low")
            _points(axes, rows, name, 0.004 * (shift - (len(classes) - 1) / 2))
        axes.set(title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set(xlabel="probability of the class", ylabel="fraction that is of it")
    class_legend(drawn, classes, [Line2D([], [], color=MUTED, linewidth=0.8, label="right")])
    return drawn.figure


@house_style
def draw_error_bins(calibration: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw the expected calibration error of each class in bins of r magnitude.

    Parameters
    ----------
    calibration : pyarrow.Table
        Columns of ``calibration`` for one network and one sample: rows of finite ``r_low``.
    layout : Layout
    """
    shown = {"As the network says": "ece", "Calibrated": "ece_calibrated"}
    drawn = panels(len(shown), layout, height_in=2.6)
    classes = in_order(distinct(calibration, "class"))
    highest = float(np.nanmax(numbers(calibration, "ece"), initial=0.0))
    for axes, (title, column) in zip(drawn.axes, shown.items(), strict=True):
        for name in classes:
            rows, look = select(calibration, {"class": name}).sort_by("r_low"), class_look(name)
            middle = (numbers(rows, "r_low") + numbers(rows, "r_high")) / 2
            error, chance = numbers(rows, column), numbers(rows, "ece_by_chance")
            line: dict[str, Any] = {"color": look.colour, "linewidth": 1.2, "markersize": 4}
            axes.plot(middle, error, linestyle=look.dash, marker=look.marker, **line)
            axes.fill_between(middle, 0, chance, color=look.colour, alpha=0.08, linewidth=0)
        axes.set(title=title, xlabel="r [AB mag]", ylabel="ECE", ylim=(0, 1.1 * highest + 0.01))
    class_legend(drawn, classes)
    return drawn.figure


def _points(axes: Axes, rows: pa.Table, name: str, shift: float) -> None:
    """Draw the bins of one class, a hair beside those of the others so that bars can be seen."""
    if rows.num_rows == 0:
        return
    look = class_look(name)
    count, said, true = _joined(rows)
    fraction = true / count
    # Wilson's score interval, as in the table.
    middle = (true + 0.5) / (count + 1)
    half = np.sqrt(count * fraction * (1 - fraction) + 0.25) / (count + 1)
    axes.errorbar(
        said / count + shift,
        fraction,
        yerr=np.stack([fraction - middle + half, middle + half - fraction]).clip(0),
        color=look.colour,
        linestyle=look.dash,
        linewidth=1.2,
        elinewidth=0.8,
        marker=look.marker,
        markersize=4,
    )


def _joined(rows: pa.Table) -> NDArray[np.float64]:
    """Join bins of few sources with those after them; counts, sums of p and true ones, (3, n)."""
    count = numbers(rows, "count")
    held = np.stack([count, count * numbers(rows, "p_mean"), count * numbers(rows, "fraction")])
    starts, waiting = [0], 0.0
    for place, sources in enumerate(count):
        if waiting >= FEWEST:
            starts.append(place)
            waiting = 0.0
        waiting += sources
    if waiting < FEWEST and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(held, starts, axis=1)
