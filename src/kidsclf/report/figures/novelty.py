"""How right a network is, and of how many sources, the further these are from what it learnt."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from kidsclf.report.numbers import is_number
from kidsclf.report.palette import (
    ACCENT,
    DASHED,
    DOTTED,
    MUTED,
    ORANGE,
    QUASAR_VERMILLION,
    SOLID,
    house_style,
)
from kidsclf.report.panels import WIDE, Layout, fraction_limits, legend_above, panels
from kidsclf.report.tables import distinct, numbers, select

FEWEST = 10
"""Labelled sources in a point; of fewer, none is drawn."""

_GROUPS: tuple[tuple[str, float, float, str, Any, str], ...] = (
    ("novelty below 0.75", 0.0, 0.75, ACCENT, SOLID, "o"),
    ("0.75 to 0.99", 0.75, 0.99, ORANGE, DASHED, "s"),
    ("0.99 and more", 0.99, 1.0, QUASAR_VERMILLION, DOTTED, "^"),
)
"""Bins of the tables, joined: label, ends, and how they are drawn."""


@house_style
def draw_novelty(accuracy: pa.Table, counts: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw accuracy against novelty and, for three ranges of it, accuracy and numbers against r.

    Parameters
    ----------
    accuracy : pyarrow.Table
        Columns of ``novelty_accuracy`` for one network and one sample; may be empty.
    counts : pyarrow.Table
        Columns of ``novelty_counts`` for that network.
    layout : Layout
    """
    drawn = panels(3, layout, columns=3, height_in=2.7, legend_in=0.5)
    _by_novelty(drawn.axes[0], accuracy.filter(_everywhere(accuracy)))
    _accuracy_by_r(drawn.axes[1], accuracy.filter(pc.invert(_everywhere(accuracy))))
    _share_by_r(drawn.axes[2], counts.filter(pc.invert(_everywhere(counts))))
    handles = [
        Line2D([], [], color=colour, linestyle=dash, marker=marker, markersize=4, label=label)
        for label, _, _, colour, dash, marker in _GROUPS
    ]
    said = Line2D([], [], color=MUTED, linestyle=DASHED, marker="D", markersize=4, label="said")
    legend_above(drawn, [*handles, said])
    return drawn.figure


def _everywhere(table: pa.Table) -> pa.Array:
    """Mark the rows over all magnitudes."""
    return pa.array(np.isnan(numbers(table, "r_low")))


def _by_novelty(axes: Axes, rows: pa.Table) -> None:
    rows = rows.filter(pc.greater_equal(rows["count"], FEWEST)).sort_by("novelty_low")
    fraction, said = numbers(rows, "accuracy"), numbers(rows, "p_mean")
    bounds = np.stack(
        [fraction - numbers(rows, "accuracy_low"), numbers(rows, "accuracy_high") - fraction]
    )
    x = np.arange(len(fraction))
    look: dict[str, Any] = {"marker": "o", "markersize": 4, "elinewidth": 0.8}
    axes.errorbar(x, fraction, yerr=bounds.clip(0), color=ACCENT, **look)
    axes.plot(x, said, color=MUTED, linestyle=DASHED, marker="D", markersize=4)
    lows, highs = numbers(rows, "novelty_low"), numbers(rows, "novelty_high")
    names = [f"{low:g}–\n{high:g}" for low, high in zip(lows, highs, strict=True)]
    axes.set_xticks(x, names)
    axes.set(title="Accuracy by novelty", xlabel="novelty")
    fraction_limits(axes, fraction - bounds[0], said)


def _accuracy_by_r(axes: Axes, binned: pa.Table) -> None:
    lowest = []
    for _, low, high, colour, dash, marker in _GROUPS:
        x, fraction, half = _joined(_between(binned, low, high))
        look: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker}
        axes.errorbar(x, fraction, yerr=half, elinewidth=0.8, markersize=4, **look)
        lowest.append(fraction - half[0] if len(x) else fraction)
    axes.set(title="Accuracy by magnitude", xlabel="r [AB mag]")
    fraction_limits(axes, *lowest)


def _between(table: pa.Table, low: float, high: float) -> pa.Table:
    inside = (numbers(table, "novelty_low") >= low) & (numbers(table, "novelty_high") <= high)
    return table.filter(pa.array(inside))


def _joined(rows: pa.Table) -> tuple[NDArray[np.float64], ...]:
    """Join bins of novelty: middle of each r bin, fraction that is right, and its error (2, n)."""
    points = [
        (middle, count, numbers(some, "correct").sum())
        for middle, count, some in _magnitudes(rows)
        if count >= FEWEST
    ]
    x, count, right = np.array(points, float).reshape(-1, 3).T
    fraction = right / count
    # Wilson's score interval, as in the table.
    middle = (right + 0.5) / (count + 1)
    half = np.sqrt(right * (1 - fraction) + 0.25) / (count + 1)
    return x, fraction, np.stack([fraction - middle + half, middle + half - fraction]).clip(0)


def _magnitudes(rows: pa.Table) -> Iterator[tuple[float, float, pa.Table]]:
    """Give each r bin: its middle, its sources and its rows."""
    for low in sorted(low for low in distinct(rows, "r_low") if is_number(low)):
        some = select(rows, {"r_low": low})
        middle = (low + some["r_high"][0].as_py()) / 2
        yield middle, float(numbers(some, "count").sum()), some


def _share_by_r(axes: Axes, binned: pa.Table) -> None:
    total = {middle: count for middle, count, _ in _magnitudes(binned)}
    for _, low, high, colour, dash, marker in _GROUPS:
        found = {middle: n for middle, n, _ in _magnitudes(_between(binned, low, high))}
        share = [found.get(middle, 0.0) / count for middle, count in total.items()]
        axes.plot(list(total), share, color=colour, linestyle=dash, marker=marker, markersize=4)
    axes.set(title="Share of the catalogue", xlabel="r [AB mag]", ylim=(-0.03, 1.03))
