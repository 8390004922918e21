"""How many of each class, by magnitude and p_max (Feng's Figure 9)."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kidsclf.report.palette import class_look, house_style, in_order
from kidsclf.report.panels import WIDE, Layout, class_legend, log_axis, panels
from kidsclf.report.tables import distinct, numbers, select


@house_style
def draw_counts(class_counts: pa.Table, p_max: pa.Table | None, layout: Layout = WIDE) -> Figure:
    """Draw how the classes are spread over r magnitude and over p_max (Feng 9).

    Parameters
    ----------
    class_counts : pyarrow.Table
        Columns of ``class_counts`` for one network.
    p_max : pyarrow.Table or None
        Columns of ``p_max`` for the same network; its panel is left out where it is missing.
    layout : Layout
    """
    classes = in_order(distinct(class_counts, "class"))
    drawn = panels(1 if p_max is None else 2, layout, height_in=3.0)
    _steps(drawn.axes[0], class_counts, classes, ("r_low", "r_high"))
    drawn.axes[0].set(title="Sources by magnitude", xlabel="r [AB mag]", ylabel="sources per bin")
    if p_max is not None:
        _steps(drawn.axes[1], p_max, classes, ("p_low", "p_high"))
        drawn.axes[1].set(
            title="Sources by confidence", xlabel="largest probability", ylabel="sources per bin"
        )
    class_legend(drawn, classes)
    return drawn.figure


def _steps(axes: Axes, table: pa.Table, classes: list[str], edges: tuple[str, str]) -> None:
    log_axis(axes)
    for name in classes:
        rows = select(table, {"class": name}).sort_by(edges[0])
        look, counts = class_look(name), numbers(rows, "count")
        low, high = numbers(rows, edges[0]), numbers(rows, edges[1])
        # Bins are drawn one by one with gaps closed, because empty bins may be left out.
        x = np.column_stack([low, high]).ravel()
        y = np.repeat(np.where(counts > 0, counts, np.nan), 2)
        axes.plot(x, y, color=look.colour, linestyle=look.dash)
