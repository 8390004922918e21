"""Where the classes lie by their shapes: Feng's Figure 8, and the plane of Gini and M20."""

import math
from functools import partial

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kidsclf.report.figures.planes import draw_plane
from kidsclf.report.palette import DASHED, MUTED, house_style
from kidsclf.report.panels import WIDE, Layout

HALF_LIGHT_PER_FWHM = 0.568
"""Half-light radius over full width at half maximum of seeing: a Moffat profile of exponent 4.765
(Trujillo et al. 2001, MNRAS 328, 977). Feng's figure 8 takes 0.5887; a Gaussian has 0.5."""

MERGER_SLOPE, MERGER_OFFSET = -0.14, 0.33
"""Galaxies above G = -0.14 M20 + 0.33 are mergers (Lotz et al. 2008, ApJ 672, 177, eq. 4)."""


@house_style
def draw_size_magnitude(
    morphology: pa.Table, layout: Layout = WIDE, *, psf_fwhm_arcsec: float | None = None
) -> Figure:
    """Draw size against magnitude for each class, and the size of a point where it is known.

    Parameters
    ----------
    morphology : pyarrow.Table
        Rows of the plane ``size_magnitude`` of one network: r magnitude, and log10 of the
        half-light radius in arcsec.
    layout : Layout
    psf_fwhm_arcsec : float, optional
        Seeing.
    """
    guide = None if psf_fwhm_arcsec is None else partial(_point_size, psf_fwhm_arcsec)
    return draw_plane(morphology, ("r [mag]", "log half-light radius [arcsec]"), layout, guide)


@house_style
def draw_gini_m20(morphology: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw Gini against M20 for each class, with the line above which galaxies are mergers.

    Parameters
    ----------
    morphology : pyarrow.Table
        Rows of the plane ``gini_m20`` of one network.
    layout : Layout
    """
    return draw_plane(morphology, ("M20", "Gini"), layout, _mergers)


def _point_size(psf_fwhm_arcsec: float, axes: Axes) -> Line2D:
    radius = math.log10(HALF_LIGHT_PER_FWHM * psf_fwhm_arcsec)
    label = f"a point at {psf_fwhm_arcsec:g} arcsec seeing"
    return axes.axhline(radius, color=MUTED, linestyle=DASHED, lw=1.1, label=label)


def _mergers(axes: Axes) -> Line2D:
    return axes.axline(
        (0.0, MERGER_OFFSET),
        slope=MERGER_SLOPE,
        color=MUTED,
        linestyle=DASHED,
        lw=1.1,
        label="mergers above",
    )
