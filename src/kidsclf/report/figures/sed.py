"""The photometry of one source: its magnitudes over the bands, with errors."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from kidsclf.report.palette import MUTED, class_look, house_style

_SIZE_IN = (2.9, 2.0)


@house_style
def draw_sed(
    bands: Sequence[str], magnitudes: ArrayLike, errors: ArrayLike, class_name: str
) -> Figure:
    """Draw magnitudes over bands in the colour of a class, bright ones above.

    Parameters
    ----------
    bands : sequence of str
        In order of wavelength; they are drawn side by side, not to scale.
    magnitudes, errors : array_like (n,)
        AB magnitudes; NaN where not measured. A magnitude without an error has no bar.
    class_name : str
        Of the source; "" where it has none.
    """
    values, bars = np.asarray(magnitudes, np.float64), np.asarray(errors, np.float64)
    look, place = class_look(class_name), np.arange(len(values))
    figure = Figure(_SIZE_IN, layout="constrained", dpi=100)
    axes = figure.subplots()
    known = np.isfinite(values)
    axes.plot(place[known], values[known], color=look.colour, linewidth=1.2, alpha=0.5)
    axes.errorbar(
        place[known],
        values[known],
        np.nan_to_num(np.abs(bars[known])),
        color=look.colour,
        fmt=look.marker,
        markersize=5,
        elinewidth=1.2,
        capsize=2.5,
    )
    for missing in place[~known]:
        axes.annotate(
            "none",
            (missing, 0.04),
            xycoords=("data", "axes fraction"),
            ha="center",
            color=MUTED,
            fontsize=8,
        )
    axes.set_xticks(place, list(bands))
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_ylabel("AB magnitude")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="x")
    if known.any():
        low, high = values[known].min(), values[known].max()
        room = max(0.3, 0.15 * (high - low))
        axes.set_ylim(high + room, low - room)
    return figure
