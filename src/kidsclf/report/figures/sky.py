"""What lies where on the sky, by HEALPix pixel: one panel per field of the survey."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kidsclf.report.numbers import power
from kidsclf.report.palette import house_style
from kidsclf.report.panels import WIDE, Layout, panels
from kidsclf.report.tables import numbers

WIDEST_GAP_DEG = 25.0
"""Empty stretch of right ascension that parts two fields. KiDS has gaps of 77 and 92 degrees."""

MOST_FIELDS = 4
SKY_SQ_DEG = 4 * np.pi * (180 / np.pi) ** 2
SHOWN_PERCENTILES = (1, 99)
"""Colours span these percentiles of the density: one odd cell must not take them all."""

_MOST_VECTOR_CELLS = 250


@dataclass(frozen=True)
class Field:
    """The cells of one patch of sky, its right ascensions running on across 0.

    Attributes
    ----------
    ra, dec : float64 array (cells,)
        Degrees; ``ra`` may exceed 360 where the field straddles 0.
    rows : int64 array (cells,)
        Their rows in the table.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    rows: NDArray[np.int64]


def split_fields(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> list[Field]:
    """Part cells into fields at the wide gaps of right ascension, and unwrap them at 0.

    Parameters
    ----------
    ra, dec : float64 array (cells,)
        Degrees, ICRS.

    Examples
    --------
    >>> fields = split_fields(np.array([359.0, 1.0, 180.0]), np.zeros(3))
    >>> [field.ra.tolist() for field in fields]
    [[180.0], [359.0, 361.0]]
    """
    order = np.argsort(ra % 360, kind="stable").astype(np.int64)
    along = (ra % 360)[order]
    gaps = np.diff(np.append(along, along[0] + 360))
    widest = np.sort(np.argsort(-gaps, kind="stable")[:MOST_FIELDS])
    ends = [int(k) for k in widest if gaps[k] > WIDEST_GAP_DEG] or [len(along) - 1]
    # From behind the last gap on, every cell is ahead of the one before it.
    start = (ends[-1] + 1) % len(along)
    turned = np.roll(np.arange(len(along)), -start)
    unwrapped = along[turned] + 360 * (turned < start)
    parts = np.split(np.arange(len(along)), [(end - start) % len(along) + 1 for end in ends[:-1]])
    fields = [
        Field(unwrapped[part], dec[order[turned[part]]], order[turned[part]])
        for part in parts
        if len(part)
    ]
    fields = [Field(f.ra - 360 * (f.ra.min() >= 360), f.dec, f.rows) for f in fields]
    return sorted(fields, key=lambda field: float(field.ra.min()))


@house_style
def draw_sky(sky: pa.Table, column: str = "count", layout: Layout = WIDE) -> Figure:
    """Draw sources per square degree on the sky.

    Parameters
    ----------
    sky : pyarrow.Table
        Columns of ``sky``: NESTED HEALPix pixels with the coordinates of their centres, degrees.
    column : str
        Column of counts to draw.
    layout : Layout
    """
    return _draw_map(sky, numbers(sky, column) / _area(sky), "sources per deg²", layout)


@house_style
def draw_share(sky: pa.Table, column: str, layout: Layout = WIDE) -> Figure:
    """Draw what part of the sources of a cell a column of ``sky`` counts, percent."""
    share = 100 * numbers(sky, column) / np.maximum(numbers(sky, "count"), 1)
    return _draw_map(sky, share, "% of the sources", layout)


@house_style
def draw_depth(sky: pa.Table, column: str = "depth", layout: Layout = WIDE) -> Figure:
    """Draw a magnitude on the sky; cells without one are left empty."""
    return _draw_map(sky, numbers(sky, column), "AB mag", layout)


def _area(sky: pa.Table) -> NDArray[np.float64]:
    return np.asarray(SKY_SQ_DEG / (12 * 4 ** numbers(sky, "order")), np.float64)


def _draw_map(sky: pa.Table, values: NDArray[np.float64], label: str, layout: Layout) -> Figure:
    known = np.isfinite(values)
    sky, values = sky.filter(pa.array(known)), values[known]
    fields = split_fields(numbers(sky, "ra"), numbers(sky, "dec"))
    side = np.sqrt(_area(sky))
    heights = [_height_in(field, layout) for field in fields]
    drawn = panels(len(fields), layout, columns=1, height_in=heights, legend_in=0)
    limits = np.percentile(values, SHOWN_PERCENTILES)
    for axes, field in zip(drawn.axes, fields, strict=True):
        corners = _diamonds(field, side[field.rows])
        cells = PolyCollection(corners, array=values[field.rows], cmap="cividis", linewidths=0)
        cells.set_clim(*limits)
        cells.set_rasterized(len(corners) > _MOST_VECTOR_CELLS)
        axes.add_collection(cells)
        axes.autoscale_view()
        axes.invert_xaxis()
        axes.set_aspect(1 / _shrink(field), anchor="W")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value % 360:g}")
        axes.set(xlabel="RA [deg]", ylabel="Dec [deg]")
        axes.grid(visible=False)
    bar = drawn.figure.colorbar(cells, ax=drawn.axes, shrink=0.9, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if "deg²" in label:
        bar.ax.yaxis.set_major_formatter(lambda value, _: power(value) if value else "0")
    return drawn.figure


def _shrink(field: Field) -> float:
    """Length of a degree of right ascension in units of one of declination."""
    return float(np.cos(np.radians(np.clip(field.dec.mean(), -80, 80))))


def _height_in(field: Field, layout: Layout) -> float:
    across, up = np.ptp(field.ra) * _shrink(field), np.ptp(field.dec)
    return 0.5 + float(np.clip(0.8 * layout.width_in * (up + 1) / (across + 1), 0.7, 3.2))


def _diamonds(field: Field, side_deg: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Approximate HEALPix cells by diamonds of their area, each of shape (4, 2), degrees."""
    half = side_deg / np.sqrt(2)
    stretch = half / np.maximum(np.cos(np.radians(field.dec)), 0.05)
    along = np.stack([stretch, 0 * half, -stretch, 0 * half], axis=1)
    across = np.stack([0 * half, half, 0 * half, -half], axis=1)
    return list(np.stack([field.ra[:, None] + along, field.dec[:, None] + across], axis=2))
