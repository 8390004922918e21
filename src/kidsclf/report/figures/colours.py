"""Where the classes lie in colour space: Feng's Figure 7."""

import pyarrow as pa
from matplotlib.figure import Figure

from kidsclf.report.figures.planes import draw_plane
from kidsclf.report.palette import house_style
from kidsclf.report.panels import WIDE, Layout


@house_style
def draw_colour_colour(colour_colour: pa.Table, layout: Layout = WIDE) -> Figure:
    """Draw the colours of each class: the catalogue shaded, the labelled sources as contours.

    Parameters
    ----------
    colour_colour : pyarrow.Table
        Columns of ``colour_colour`` for one network.
    layout : Layout
    """
    names = (str(colour_colour[f"{side}_colour"][0].as_py()) for side in "xy")
    x, y = (f"{name.replace('-', ' − ')} [mag]" for name in names)
    return draw_plane(colour_colour, (x, y), layout)
