"""How many of each class, by magnitude and p_max (Feng's Figure 9); quasars per square degree."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kidsclf.report.palette import (
    GRID,
    INK,
    MUTED,
    QUASAR_VERMILLION,
    class_look,
    house_style,
    in_order,
)
from kidsclf.report.panels import WIDE, Layout, class_legend, legend_above, log_axis, panels
from kidsclf.report.tables import distinct, numbers, select


@dataclass(frozen=True)
class QuasarDensity:
    """A published number of quasars brighter than a limit."""

    r: float
    per_sq_deg: float
    source: str


FENG_QUASARS = (
    # Feng, section 4.1.2; the counts there are for 1350 square degrees.
    QuasarDensity(21.0, 83.0, "SDSS Stripe 82"),
    QuasarDensity(22.0, 209.5e3 / 1350, "SDSS Stripe 82"),
    QuasarDensity(21.0, 119.5e3 / 1350, "Feng, KiDS DR5"),
    QuasarDensity(22.0, 394.5e3 / 1350, "Feng, KiDS DR5"),
    QuasarDensity(22.0, 226.8e3 / 1350, "QLF of Palanque-Delabrouille 2016"),
    QuasarDensity(22.0, 584.2e3 / 1350, "QLF of Liu 2022"),
)
"""Quasars brighter than r (AB) per square degree, as Feng's section 4.1.2 gives them."""

_REFERENCE_MARKERS = {
    "SDSS Stripe 82": "o",
    "Feng, KiDS DR5": "D",
    "QLF of Palanque-Delabrouille 2016": "v",
    "QLF of Liu 2022": "^",
}


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


@house_style
def draw_quasar_counts(
    quasar_counts: pa.Table, quasar_models: pa.Table | None = None, layout: Layout = WIDE
) -> Figure:
    """Draw quasars per square degree by r magnitude, in bins and cumulative.

    Parameters
    ----------
    quasar_counts : pyarrow.Table
        Columns of ``quasar_counts`` for one network: counts of the class, their Poisson errors,
        and ``count_probability``, the sum of the quasar probabilities.
    quasar_models : pyarrow.Table or None
        Columns of ``quasar_models``: what published luminosity functions expect.
    layout : Layout
    """
    rows = quasar_counts.sort_by("r_low")
    drawn = panels(2, layout, height_in=3.1, legend_in=0.55)
    known = quasar_models is not None
    if quasar_models is not None:
        _model_band(drawn.axes[0], quasar_models, "per_sq_deg")
        _model_band(drawn.axes[1], quasar_models, "cumulative_per_sq_deg")
    _quasars_in_bins(drawn.axes[0], rows)
    _quasars_brighter(drawn.axes[1], rows)
    legend_above(
        drawn,
        [
            Line2D([], [], color=QUASAR_VERMILLION, marker="s", label="classified as quasar"),
            Line2D([], [], color=MUTED, linestyle="--", label="sum of quasar probabilities"),
            *([Patch(color=GRID, label="luminosity functions")] if known else []),
            *(
                Line2D([], [], color=INK, linestyle="", marker=marker, mfc="none", label=source)
                for source, marker in _REFERENCE_MARKERS.items()
            ),
        ],
    )
    return drawn.figure


def _model_band(axes: Axes, models: pa.Table, column: str) -> None:
    """Shade what lies between the lowest and the highest luminosity function."""
    bins = np.unique(
        np.stack([numbers(models, "r_low"), numbers(models, "r_high")], axis=1), axis=0
    )
    values = np.stack(
        [
            numbers(select(models, {"model": name}).sort_by("r_low"), column)
            for name in distinct(models, "model")
        ]
    )
    place = bins.mean(axis=1) if column == "per_sq_deg" else bins[:, 1]
    axes.fill_between(place, values.min(axis=0), values.max(axis=0), color=GRID, linewidth=0)


def _quasars_in_bins(axes: Axes, rows: pa.Table) -> None:
    middle = (numbers(rows, "r_low") + numbers(rows, "r_high")) / 2
    density, error = numbers(rows, "per_sq_deg"), numbers(rows, "per_sq_deg_error")
    probable = numbers(rows, "count_probability") / numbers(rows, "area_sq_deg")
    log_axis(axes)
    some, likely = density > 0, probable > 0
    axes.plot(middle[likely], probable[likely], color=MUTED, linestyle="--", linewidth=1.3)
    axes.errorbar(
        middle[some], density[some], yerr=error[some], color=QUASAR_VERMILLION, marker="s", ms=4
    )
    axes.set(title="In bins of magnitude", xlabel="r [AB mag]", ylabel="quasars per deg² per bin")


def _quasars_brighter(axes: Axes, rows: pa.Table) -> None:
    limit, density = numbers(rows, "r_high"), numbers(rows, "cumulative_per_sq_deg")
    probable = np.nancumsum(numbers(rows, "count_probability") / numbers(rows, "area_sq_deg"))
    log_axis(axes)
    some, likely = density > 0, probable > 0
    axes.plot(limit[likely], probable[likely], color=MUTED, linestyle="--", linewidth=1.3)
    axes.plot(limit[some], density[some], color=QUASAR_VERMILLION, marker="s", ms=4)
    for k, known in enumerate(FENG_QUASARS):
        # Set a little apart sideways, or marks at the same limit would hide one another.
        place = known.r + 0.06 * (k % 3 - 1)
        marker = _REFERENCE_MARKERS[known.source]
        axes.plot(place, known.per_sq_deg, color=INK, linestyle="", marker=marker, mfc="none", ms=6)
    axes.set(title="Brighter than r", xlabel="r limit [AB mag]", ylabel="quasars per deg²")
