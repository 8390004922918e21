"""A page of Dask's dashboard: the sky, every partition coloured by how far it is.

Importing this module adds the page to the dashboards of schedulers that start afterwards. For a
scheduler of the user's own: ``dask scheduler --preload kidsclf.cluster.sky_map``.
"""

from typing import Any

import numpy as np
from bokeh.models.annotations import Legend, LegendItem, Title
from bokeh.models.ranges import Range1d
from bokeh.models.sources import ColumnDataSource
from bokeh.models.tools import HoverTool
from bokeh.plotting import figure
from bokeh.transform import factor_cmap
from distributed import Scheduler
from distributed.dashboard.scheduler import applications

from kidsclf.cluster.sky_states import PLUGIN, SKY_PAGE, STATES, SkyStates, follow_sky
from kidsclf.sky.outline import hammer, mean_ra, outline
from kidsclf.sky.partition import Partition

# Okabe & Ito 2008: told apart by the colour-blind too.
COLOURS = {
    "pending": "#d9d9d9",
    "running": "#e69f00",
    "done": "#0072b2",
    "quarantined": "#d55e00",
}
_INTERVAL_MILLISECONDS = 500
_STEPS = (45.0, 30.0, 15.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_LINES = 4
"""Meridians and parallels that the field should show at least."""


def dask_setup(scheduler: Scheduler) -> None:
    """Serve as a ``--preload`` of ``dask scheduler``."""
    follow_sky(scheduler)


class SkyMap:
    """The figure, brought up to date twice a second while a browser shows it."""

    def __init__(self, states: SkyStates) -> None:
        self._states = states
        self._layout = self._version = 0
        self._patches = ColumnDataSource({"x": [], "y": [], "cell": [], "state": [], "told": []})
        self._grid = ColumnDataSource({"x": [], "y": []})
        self._labels = ColumnDataSource({"x": [], "y": [], "text": []})
        self._title = Title(text="no stage has begun")
        self._across, self._up = Range1d(start=-162, end=162), Range1d(start=-81, end=81)
        self.root = figure(
            title=self._title,
            sizing_mode="stretch_both",
            match_aspect=True,
            tools="pan,wheel_zoom,box_zoom,reset,save",
            active_scroll="wheel_zoom",
            toolbar_location="above",
            x_range=self._across,
            y_range=self._up,
            output_backend="canvas",
        )
        self._draw()

    def update(self) -> None:
        """Show the states of now."""
        if self._states.version == self._version:
            return
        self._version = self._states.version
        if self._states.layout != self._layout:
            self._layout = self._states.layout
            self._lay_out()
        cells = self._states.cells.values()
        self._show("state", [cell.state for cell in cells])
        self._show("told", [f"{cell.done} of {cell.tasks} tasks done" for cell in cells])
        if self._states.stage:
            self._title.text = (
                f"{self._states.stage}: {self._states.done} of {self._states.tasks} tasks done"
            )

    def _draw(self) -> None:
        self.root.axis.visible = False
        self.root.grid.visible = False
        self.root.multi_line("x", "y", source=self._grid, line_color="#bbbbbb", line_width=0.5)
        by_state = factor_cmap("state", [COLOURS[state] for state in STATES], STATES)
        shapes = self.root.patches(
            "x", "y", source=self._patches, fill_color=by_state, line_color="white", line_width=0.5
        )
        self.root.text(
            "x", "y", "text", source=self._labels, color="#666666", text_font_size="11px"
        )
        hover = HoverTool(
            renderers=[shapes], tooltips=[("partition", "@cell"), ("", "@state, @told")]
        )
        self.root.add_tools(hover)
        items = []
        for state, colour in COLOURS.items():
            sample: Any = self.root.scatter(
                [np.nan], [np.nan], marker="square", size=12, color=colour
            )
            items.append(LegendItem(label=state, renderers=[sample]))
        self.root.add_layout(Legend(items=items, orientation="horizontal"), "below")

    def _show(self, column: str, values: list[str]) -> None:
        """Send a browser only what has changed."""
        before = self._patches.data[column]
        changed = [(k, new) for k, new in enumerate(values) if new != before[k]]
        if changed:
            self._patches.patch({column: changed})

    def _lay_out(self) -> None:
        """Draw the cells, and the grid that suits their extent."""
        partitions = [Partition.parse(label) for label in self._states.cells]
        centre = mean_ra(partitions)
        points = [1 if each.order > 3 else 4 for each in partitions]
        borders = [outline(each, centre, n) for each, n in zip(partitions, points, strict=True)]
        shapes = [hammer(ra, dec, centre) for ra, dec in borders]
        self._patches.data = {
            "x": [x for x, _ in shapes],
            "y": [y for _, y in shapes],
            "cell": list(self._states.cells),
            "state": ["pending"] * len(shapes),
            "told": [""] * len(shapes),
        }
        x, y = np.concatenate([x for x, _ in shapes]), np.concatenate([y for _, y in shapes])
        margin = 0.08 * max(np.ptp(x), np.ptp(y))  # room for the degrees
        self._across.update(start=x.min() - margin, end=x.max() + margin)
        self._up.update(start=y.min() - margin, end=y.max() + margin)
        ra, dec = (np.concatenate(each) for each in zip(*borders, strict=True))
        self._lay_grid((ra.min(), ra.max()), (dec.min(), dec.max()), centre, x.min() - margin)

    def _lay_grid(
        self, ra: tuple[float, float], dec: tuple[float, float], centre: float, x_edge: float
    ) -> None:
        """Draw meridians and parallels a little beyond the field, with their degrees."""
        meridians, parallels = _round_numbers(*ra), np.clip(_round_numbers(*dec), -90, 90)
        along_ra = np.linspace(meridians[0], meridians[-1], 91)
        along_dec = np.linspace(parallels[0], parallels[-1], 91)
        lines = [hammer(np.full(91, each), along_dec, centre) for each in meridians]
        lines += [hammer(along_ra, np.full(91, each), centre) for each in parallels]
        self._grid.data = {"x": [x for x, _ in lines], "y": [y for _, y in lines]}
        south = hammer(meridians, np.full(len(meridians), parallels[0]), centre)
        edge = hammer(np.full(len(parallels), ra[1]), parallels, centre)
        self._labels.data = {
            "x": np.concatenate([south[0], np.full(len(parallels), x_edge)]),
            "y": np.concatenate([south[1], edge[1]]),
            "text": [f"{each % 360.0:g}" for each in meridians] + [f"{e:+g}" for e in parallels],
        }


def _round_numbers(low: float, high: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    step = next((each for each in _STEPS if (high - low) / each >= _LINES), _STEPS[-1])
    return np.round(np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step, 6)


def _page(scheduler: Scheduler, extra: Any, document: Any) -> None:  # noqa: ARG001  # Dask's form
    follow_sky(scheduler)
    sky = SkyMap(scheduler.plugins[PLUGIN])
    sky.update()
    document.add_periodic_callback(sky.update, _INTERVAL_MILLISECONDS)
    document.add_root(sky.root)
    document.title = "kidsclf: the sky"


applications[SKY_PAGE] = _page
