"""Quasars per square degree by magnitude: counted, corrected, expected and published."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kidsclf.report.palette import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    PURPLE,
    QUASAR_VERMILLION,
    house_style,
)
from kidsclf.report.panels import WIDE, Layout, legend_above, log_axis, panels
from kidsclf.report.tables import distinct, numbers, select

CORRECTED_AT = 0.9
"""Probability of the selection whose corrected number is drawn: fixed before it was tried."""

PUBLISHED_MARKERS = {
    "SDSS Stripe 82": "o",
    "Feng, KiDS DR5": "D",
    "QLF of Palanque-Delabrouille 2016": "v",
    "QLF of Liu 2022": "^",
}
"""Of each ``source`` of ``quasar_published``."""

_LOWEST = 0.03
"""Part of a value at which a bar that reaches 0 ends, as the axis is logarithmic."""


@dataclass(frozen=True)
class QuasarTables:
    """What the figure of quasars is drawn from, of one network.

    Attributes
    ----------
    counts : pyarrow.Table
        Columns of ``quasar_counts``.
    fields, corrected, models, published : pyarrow.Table or None
        Of ``quasar_fields``, ``quasar_corrected``, ``quasar_models`` and ``quasar_published``; what
        is missing is not drawn.
    """

    counts: pa.Table
    fields: pa.Table | None = None
    corrected: pa.Table | None = None
    models: pa.Table | None = None
    published: pa.Table | None = None


@house_style
def draw_quasar_counts(tables: QuasarTables, layout: Layout = WIDE) -> Figure:
    """Draw quasars per square degree by r magnitude, in bins and brighter than a limit."""
    drawn = panels(2, layout, height_in=3.6, legend_in=0.75)
    for axes, prefix in zip(drawn.axes, ("", "cumulative_"), strict=True):
        log_axis(axes)
        _models(axes, tables.models, prefix)
        _catalogue(axes, tables, prefix)
        _spectra(axes, tables.fields, prefix)
        _corrected(axes, tables.corrected, prefix)
    _published(drawn.axes[1], tables.published)
    for axes in drawn.axes:
        _start_at_counts(axes, tables.counts)
    bins, brighter = drawn.axes
    bins.set(title="In bins of magnitude", xlabel="r [AB mag]", ylabel="quasars per deg² per bin")
    brighter.set(title="Brighter than r", xlabel="r limit [AB mag]", ylabel="quasars per deg²")
    legend_above(drawn, _legend(tables))
    return drawn.figure


def _start_at_counts(axes: Axes, counts: pa.Table) -> None:
    """Let the axis begin below the first count: functions and bars reach far below any."""
    density = numbers(counts, "per_sq_deg")
    if (density > 0).any():
        axes.set_ylim(bottom=0.3 * density[density > 0].min())


def _legend(tables: QuasarTables) -> list[Any]:
    said: list[Any] = [
        Line2D([], [], color=QUASAR_VERMILLION, marker="s", ms=4, label="classified as quasar"),
        Line2D([], [], color=MUTED, linestyle="--", label="sum of probabilities"),
    ]
    if tables.fields is not None:
        if _some(select(tables.fields, {"source": "catalogue"}), "high"):
            said.append(Patch(color=QUASAR_VERMILLION, alpha=0.18, lw=0, label="68% of fields"))
        said += [
            Line2D([], [], color=PURPLE, linestyle="", marker="P", ms=6, label=f"{name} spectra")
            for name in _samples(tables.fields)
            if _some(select(tables.fields, {"source": name}), "median")
        ]
    drawn = None if tables.corrected is None else select(tables.corrected, {"p_min": CORRECTED_AT})
    if drawn is not None and _some(drawn, "per_sq_deg_high"):
        label = "corrected by labels"
        said.append(Line2D([], [], color=ACCENT, linestyle="", marker="o", ms=6, label=label))
    if tables.models is not None:
        said.append(Patch(color=GRID, label="luminosity functions"))
    if tables.published is not None:
        said += [
            Line2D([], [], color=INK, linestyle="", marker=marker, mfc="none", label=source)
            for source, marker in PUBLISHED_MARKERS.items()
        ]
    return said


def _some(rows: pa.Table, column: str) -> bool:
    """Say whether anything of a column is drawn, in bins or brighter than a limit."""
    return any((numbers(rows, f"{prefix}{column}") > 0).any() for prefix in ("", "cumulative_"))


def _samples(fields: pa.Table) -> list[str]:
    return [name for name in distinct(fields, "source") if name != "catalogue"]


def _place(rows: pa.Table, prefix: str) -> np.ndarray[Any, Any]:
    """Give the middle of each bin, or its faint end for cumulative numbers."""
    low, high = numbers(rows, "r_low"), numbers(rows, "r_high")
    return high if prefix else (low + high) / 2


def _models(axes: Axes, models: pa.Table | None, prefix: str) -> None:
    """Shade what lies between the lowest and the highest luminosity function."""
    if models is None:
        return
    each = [select(models, {"model": m}).sort_by("r_low") for m in distinct(models, "model")]
    values = np.stack([numbers(rows, f"{prefix}per_sq_deg") for rows in each])
    place = _place(each[0], prefix)
    axes.fill_between(place, values.min(axis=0), values.max(axis=0), color=GRID, linewidth=0)


def _catalogue(axes: Axes, tables: QuasarTables, prefix: str) -> None:
    rows = tables.counts.sort_by("r_low")
    place, density = _place(rows, prefix), numbers(rows, f"{prefix}per_sq_deg")
    probable = numbers(rows, f"{prefix}probability_per_sq_deg")
    error = numbers(rows, f"{prefix}per_sq_deg_error")
    some, likely = density > 0, probable > 0
    if tables.fields is not None:
        fields = select(tables.fields, {"source": "catalogue"}).sort_by("r_low")
        low, high = numbers(fields, f"{prefix}low"), numbers(fields, f"{prefix}high")
        low = np.where(low > 0, low, _LOWEST * high)
        spread = high > 0
        colour = QUASAR_VERMILLION
        where = _place(fields, prefix)[spread]
        axes.fill_between(where, low[spread], high[spread], color=colour, alpha=0.18, lw=0)
    axes.plot(place[likely], probable[likely], color=MUTED, linestyle="--", linewidth=1.3)
    axes.errorbar(
        place[some], density[some], yerr=error[some], color=QUASAR_VERMILLION, marker="s", ms=4
    )


def _spectra(axes: Axes, fields: pa.Table | None, prefix: str) -> None:
    for name in _samples(fields) if fields is not None else []:
        rows = select(fields, {"source": name}).sort_by("r_low")
        median = numbers(rows, f"{prefix}median")
        some = median > 0
        place = _place(rows, prefix)[some]
        axes.plot(place, median[some], color=PURPLE, linestyle="", marker="P", ms=6)


def _corrected(axes: Axes, corrected: pa.Table | None, prefix: str) -> None:
    if corrected is None:
        return
    rows = select(corrected, {"p_min": CORRECTED_AT}).sort_by("r_low")
    names = [f"{prefix}per_sq_deg{bound}" for bound in ("", "_low", "_high")]
    value, low, high = (numbers(rows, name) for name in names)
    some = np.isfinite(value) & (high > 0)
    value = np.where(value > 0, value, high)
    bars = [np.maximum(value - np.maximum(low, _LOWEST * value), 0), np.maximum(high - value, 0)]
    axes.errorbar(
        _place(rows, prefix)[some],
        value[some],
        yerr=np.stack(bars)[:, some],
        color=ACCENT,
        linestyle="",
        marker="o",
        ms=5,
        zorder=3,
    )


def _published(axes: Axes, published: pa.Table | None) -> None:
    if published is None:
        return
    names = ("r", "printed_per_sq_deg", "source")
    # A number that stands beside several of ours is drawn once.
    known = dict.fromkeys(tuple(row[name] for name in names) for row in published.to_pylist())
    for k, (limit, density, source) in enumerate(known):
        # Set a little apart sideways, or marks at the same limit would hide one another.
        place, marker = limit + 0.06 * (k % 3 - 1), PUBLISHED_MARKERS[source]
        axes.plot(place, density, color=INK, linestyle="", marker=marker, mfc="none", ms=6)
