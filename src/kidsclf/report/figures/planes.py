"""How the classes lie in a plane: the catalogue shaded, the labelled sources as contours."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from kidsclf.report.palette import INK, MUTED, class_look, in_order
from kidsclf.report.panels import Layout, legend_above, panels
from kidsclf.report.tables import distinct, numbers, select

CATALOGUE = "catalogue"
"""Name of the rows that hold all classified sources."""

ENCLOSED = (0.9, 0.5)
"""Fractions of the labelled sources inside the contours, outermost first."""

_SMOOTHING = np.array([0.25, 0.5, 0.25])
_FAINTEST = 0.12


def draw_plane(
    table: pa.Table,
    labels: tuple[str, str],
    layout: Layout,
    guide: Callable[[Axes], Line2D] | None = None,
) -> Figure:
    """Draw a panel a class, two where the catalogue is parted.

    Parameters
    ----------
    table : pyarrow.Table
        Columns ``sample``, ``class``, ``x_low``, ``x_high``, ``y_low``, ``y_high``, ``count`` of
        one network, on one grid of bins; the rows of sample ``catalogue`` are shaded and those of
        the first other sample drawn as contours. With a column ``extrapolated``, the catalogue's
        extrapolated sources stand in panels of their own below, under the same contours.
    labels : (str, str)
        Of the axes.
    layout : Layout
    guide : callable, optional
        Draws a line for comparison in a panel and gives it, with its label.
    """
    classes = in_order(distinct(table, "class"))
    samples = [name for name in distinct(table, "sample") if name != CATALOGUE]
    x_edges, y_edges = _edges(table, "x"), _edges(table, "y")
    parts = _parts(table)
    drawn = panels(len(classes) * len(parts), layout, columns=len(classes), height_in=2.9)
    further: list[Line2D] = []
    shown = [(name, *part) for part in parts for name in classes]
    for axes, (name, words, part) in zip(drawn.axes, shown, strict=True):
        of_class = select(table, {"class": name})
        catalogue = select(part, {"class": name})
        _shade(axes, _grid(catalogue, x_edges, y_edges), x_edges, y_edges, name)
        if samples:
            labelled = _grid(select(of_class, {"sample": samples[0]}), x_edges, y_edges)
            _contour(axes, labelled, x_edges, y_edges)
        further = [] if guide is None else [guide(axes)]
        axes.set(xlim=(x_edges[0], x_edges[-1]), ylim=(y_edges[0], y_edges[-1]))
        axes.set(title=class_look(name).label + words, xlabel=labels[0], ylabel=labels[1])
        axes.locator_params(axis="x", nbins=5)
    legend_above(drawn, [*_legend(samples), *further])
    return drawn.figure


def _parts(table: pa.Table) -> list[tuple[str, pa.Table]]:
    """Part the catalogue's cells: words for the title, rows; parts without rows are left out."""
    catalogue = select(table, {"sample": CATALOGUE})
    if "extrapolated" not in table.column_names:
        return [("", catalogue)]
    parts = {
        words: select(catalogue, {"extrapolated": beyond})
        for words, beyond in (("", False), (", extrapolated", True))
    }
    return [(words, rows) for words, rows in parts.items() if rows.num_rows] or [("", catalogue)]


def _legend(samples: list[str]) -> list[Patch | Line2D]:
    shaded: list[Patch | Line2D] = [Patch(facecolor=MUTED, alpha=0.5, label="catalogue")]
    if samples:
        share = " and ".join(f"{100 * part:.0f}%" for part in ENCLOSED)
        shaded.append(Line2D([], [], color=INK, lw=1.1, label=f"{share} of labels, {samples[0]}"))
    return shaded


def _edges(table: pa.Table, side: str) -> NDArray[np.float64]:
    """List the edges of all bins between the first and the last, also of those not listed."""
    low, high = numbers(table, f"{side}_low"), numbers(table, f"{side}_high")
    bins = round((high.max() - low.min()) / (high - low).min())
    return np.linspace(low.min(), high.max(), bins + 1)


def _grid(
    table: pa.Table, x_edges: NDArray[np.float64], y_edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put counts on their grid, shape (y bins, x bins); bins not listed hold nothing."""
    counts = np.zeros((len(y_edges) - 1, len(x_edges) - 1))
    # By the middle of a bin, because equal edges may differ by an ulp.
    x, y = (
        np.searchsorted(edges, (numbers(table, f"{side}_low") + numbers(table, f"{side}_high")) / 2)
        - 1
        for side, edges in (("x", x_edges), ("y", y_edges))
    )
    np.add.at(counts, (y, x), numbers(table, "count"))
    return counts


def _shade(
    axes: Axes,
    counts: NDArray[np.float64],
    x_edges: NDArray[np.float64],
    y_edges: NDArray[np.float64],
    name: str,
) -> None:
    """Shade by the logarithm of the count, as opacity: it works on a light and on a dark page."""
    image = np.zeros((*counts.shape, 4))
    image[..., :3] = to_rgb(class_look(name).colour)
    depth = np.log1p(counts) / max(np.log1p(counts.max()), 1e-9)
    image[..., 3] = np.where(counts > 0, _FAINTEST + (1 - _FAINTEST) * depth, 0)
    extent = (x_edges[0], x_edges[-1], y_edges[0], y_edges[-1])
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="none", zorder=1)


def _contour(
    axes: Axes,
    counts: NDArray[np.float64],
    x_edges: NDArray[np.float64],
    y_edges: NDArray[np.float64],
) -> None:
    if min(counts.shape) < 2:  # a few sources of nearly one colour: there is nothing to go round
        return
    smooth = _smoothed(counts)
    levels = sorted({_level(smooth, part) for part in ENCLOSED})
    if smooth.max() <= levels[0]:
        return
    middle = [(edges[1:] + edges[:-1]) / 2 for edges in (x_edges, y_edges)]
    axes.contour(*middle, smooth, levels=levels, colors=INK, linewidths=1.1)


def _smoothed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth with the binomial kernel 1-2-1 in both directions: contours of small samples."""
    for axis in (0, 1):
        # Not mode "same", which makes three cells of two.
        rims = [(1, 1) if each == axis else (0, 0) for each in (0, 1)]
        counts = np.apply_along_axis(
            np.convolve, axis, np.pad(counts, rims), _SMOOTHING, mode="valid"
        )
    return counts


def _level(counts: NDArray[np.float64], part: float) -> float:
    """Find the count above which the bins hold ``part`` of all sources."""
    falling = np.sort(counts, axis=None)[::-1]
    enclosed = np.cumsum(falling)
    if not enclosed[-1]:
        return np.inf
    return float(falling[np.searchsorted(enclosed, part * enclosed[-1])])
