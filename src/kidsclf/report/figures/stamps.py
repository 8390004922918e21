"""One source as the network saw it: its stamp above its magnitudes."""

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from kidsclf.report.palette import LINE, MUTED, class_look, house_style
from kidsclf.report.tables import Row

STRETCH_SIGMAS = 3.0
"""Brightness, in units of the noise, where the stretch turns from linear to logarithmic."""

# The stamp takes the whole width, the letters of the axis stand left of the curve: as fractions of
# the figure, from below.
_SIZE_IN = (1.5, 2.36)
_STAMP_BOX = (0.005, 0.365, 0.99, 0.63)
_MAGNITUDES_BOX = (0.16, 0.085, 0.83, 0.25)


@house_style
def draw_source(source: Row) -> Figure:
    """Draw a stamp with an asinh stretch, and the magnitudes of all bands under it.

    Parameters
    ----------
    source : dict
        A row of ``gallery``: ``image`` in maggies, row-major, ``size_px * size_px`` long (empty or
        all NaN where there is none), ``bands`` and their AB ``magnitudes``.
    """
    figure = Figure(_SIZE_IN, dpi=100)
    _stamp(figure.add_axes(_STAMP_BOX), source)
    _magnitudes(figure.add_axes(_MAGNITUDES_BOX), source)
    return figure


def asinh_stretch(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map a stamp to [0, 1] so that sky noise and a bright core are both seen.

    Follows Lupton et al. (1999, AJ 118, 1406): asinh of the brightness above the median in
    units of the noise, which is estimated from the median absolute deviation.

    Parameters
    ----------
    image : float64 array (size, size)
        Any unit; NaN stays NaN.
    """
    sky = np.nanmedian(image)
    noise = 1.4826 * np.nanmedian(np.abs(image - sky))
    # A stamp without noise still has a range to be shown.
    noise = noise or np.nanstd(image) or 1.0
    curve = np.arcsinh((image - sky) / (STRETCH_SIGMAS * noise))
    low, high = np.arcsinh(-1.0), max(float(np.nanmax(curve)), 1.0)
    scaled: NDArray[np.float64] = np.clip((curve - low) / (high - low), 0, 1)
    return scaled


def stamp_png(image: NDArray[np.float64]) -> bytes | None:
    """Write a stamp as a picture, a pixel for a pixel, dark sources on white, the first row below.

    Parameters
    ----------
    image : float array (size, size)

    Returns
    -------
    bytes or None
        PNG; None where the stamp has no number.
    """
    if not np.isfinite(image).any():
        return None
    page = BytesIO()
    imsave(page, _grey(np.asarray(image, np.float64)), format="png", origin="lower")
    return page.getvalue()


def _grey(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Turn a stamp into grey pixels, (size, size, 3)."""
    shown = np.round(255 * np.nan_to_num(asinh_stretch(image))).astype(np.uint8)
    return np.repeat(255 - shown[..., None], 3, axis=2)


def _stamp(axes: Axes, source: Row) -> None:
    size, pixels = int(source["size_px"] or 0), source["image"] or []
    image = np.asarray(pixels, dtype=np.float64)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(LINE)
    if size and image.size == size * size and np.isfinite(image).any():
        axes.imshow(_grey(image.reshape(size, size)), origin="lower", interpolation="none")
    else:
        axes.text(0.5, 0.5, "no image", transform=axes.transAxes, ha="center", color=MUTED)


def _magnitudes(axes: Axes, source: Row) -> None:
    bands: list[Any] = source["bands"] or []
    magnitudes = np.asarray(source["magnitudes"] or [], dtype=np.float64)[: len(bands)]
    place = np.arange(len(magnitudes))
    colour = class_look(str(source["class"])).colour
    axes.plot(place, magnitudes, color=colour, marker="o", ms=2.6, linewidth=1.1)
    axes.set_xticks(place, [str(band) for band in bands[: len(place)]], fontsize=7)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.tick_params(labelsize=7, length=0)
    axes.grid(visible=False, axis="x")
    if np.isfinite(magnitudes).any():
        low, high = np.nanmin(magnitudes), np.nanmax(magnitudes)
        room = max(0.3, 0.12 * (high - low))
        axes.set_ylim(high + room, low - room)
