"""How a network was trained: Feng's Figure 5."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kidsclf.report.palette import ACCENT, MUTED, house_style
from kidsclf.report.panels import WIDE, Layout, legend_above, panels
from kidsclf.report.tables import numbers, select

_MANY_ALPHA = 0.55


@house_style
def draw_history(history: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw loss and accuracy of training and validation against the epoch (Feng 5).

    Parameters
    ----------
    history : pyarrow.Table
        Columns of ``history`` for one network; every fold, and every member of a committee, is a
        pair of lines.
    layout : Layout
    """
    # Boosted trees report no accuracy per round: a panel without a single value is left out.
    columns = ["loss", *(c for c in ("accuracy",) if _has_values(history, c))]
    drawn = panels(len(columns), layout, height_in=2.6)
    for axes, column in zip(drawn.axes, columns, strict=True):
        _curves(axes, history, column)
        axes.set(title=column.capitalize(), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(
        drawn,
        [
            Line2D([], [], color=MUTED, linestyle="--", label="training"),
            Line2D([], [], color=ACCENT, label="validation"),
            Line2D([], [], color=ACCENT, linestyle="", marker="o", label="lowest validation loss"),
        ],
    )
    return drawn.figure


def _has_values(history: pa.Table, column: str) -> bool:
    both = (numbers(history, column), numbers(history, f"val_{column}"))
    return any(bool(np.isfinite(values).any()) for values in both)


def _curves(axes: Axes, history: pa.Table, column: str) -> None:
    trainings = history.group_by(["fold", "member"], use_threads=False).aggregate([]).to_pylist()
    alpha = 1.0 if len(trainings) == 1 else _MANY_ALPHA
    for training in trainings:
        rows = select(history, training).sort_by("epoch")
        epoch, kept = numbers(rows, "epoch"), numbers(rows, "val_loss")
        learnt, validation = numbers(rows, column), numbers(rows, f"val_{column}")
        axes.plot(epoch, learnt, color=MUTED, linestyle="--", linewidth=1.2, alpha=alpha)
        axes.plot(epoch, validation, color=ACCENT, alpha=alpha)
        if np.isfinite(kept).any():
            best = int(np.nanargmin(kept))
            axes.plot(epoch[best], validation[best], color=ACCENT, marker="o", ms=5)
