"""The paper that figures are drawn on: a grid of axes, wide for a desk and narrow for a phone.

Each figure is drawn for both, so that its letters keep their size: a wide drawing shrunk to the
width of a phone cannot be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kidsclf.report.numbers import power
from kidsclf.report.palette import class_look, in_order


@dataclass(frozen=True)
class Layout:
    """The room that a figure has.

    Attributes
    ----------
    width_in : float
        Width, inches; the letters are 8 and 9 points high.
    columns : int
        Most panels side by side.
    """

    width_in: float
    columns: int


WIDE = Layout(width_in=8.8, columns=4)
NARROW = Layout(width_in=3.9, columns=1)


@dataclass(frozen=True)
class Panels:
    """A figure and its axes, in reading order."""

    figure: Figure
    axes: list[Axes]


def panels(
    count: int,
    layout: Layout,
    *,
    columns: int = 2,
    height_in: float | Sequence[float] = 2.7,
    legend_in: float = 0.3,
) -> Panels:
    """Lay out a grid of axes.

    Parameters
    ----------
    count : int
        Number of axes.
    layout : Layout
    columns : int
        Axes side by side where there is room.
    height_in : float or sequence of float
        Height of a row of axes, or of each row, inches.
    legend_in : float
        Height of the legend above them, inches.
    """
    columns = max(1, min(count, columns, layout.columns))
    rows = -(-count // columns)
    heights = [height_in] * rows if isinstance(height_in, int | float) else list(height_in)
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.04, hspace=0.05)
    size = (layout.width_in, sum(heights) + legend_in)
    figure = Figure(size, layout=engine, dpi=100)
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    every = [axes for row in grid for axes in row]
    for spare in every[count:]:
        spare.remove()
    return Panels(figure, every[:count])


def class_legend(drawn: Panels, classes: Sequence[str], further: Sequence[Line2D] = ()) -> None:
    """Say above the panels which line is which class."""
    handles = [
        Line2D([], [], color=look.colour, linestyle=look.dash, label=look.label)
        for look in map(class_look, in_order(classes))
    ]
    legend_above(drawn, [*handles, *further])


def legend_above(drawn: Panels, handles: Sequence[Any]) -> None:
    """Put a legend above the panels, in as many columns as fit."""
    width = drawn.figure.get_size_inches()[0]
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    # A letter of 9 points is about 0.075 inch wide; the line and the gaps take 0.8 inch.
    columns = max(1, int(width // (0.8 + 0.075 * longest)))
    drawn.figure.legend(
        handles=list(handles), loc="outside upper left", ncols=min(columns, len(handles))
    )


def log_axis(axes: Axes) -> None:
    """Make the vertical axis logarithmic, its values written as plain text."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))


def fraction_limits(axes: Axes, *values: np.ndarray[Any, Any]) -> None:
    """Scale a vertical axis of fractions: up to 1, and down to what is shown."""
    shown = [v[np.isfinite(v)] for v in values]
    lowest = min((float(v.min()) for v in shown if v.size), default=0.0)
    room = max(0.02, 0.08 * (1 - lowest))
    bottom, top = max(0.0, lowest - room) - 0.001, 1 + room / 2
    axes.set_ylim(bottom, top)
    # No fraction exceeds 1, so the axis names none that does.
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= 1.0001])
