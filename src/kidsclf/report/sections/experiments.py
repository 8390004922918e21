"""Experiments that were done on the run: what of the paper they repeat, and what they found."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.figure import Figure

from kidsclf.report.blocks import Block, Section, data_grid, drawing, missing
from kidsclf.report.figures.accuracy import draw_thresholds
from kidsclf.report.figures.experiments import (
    draw_differences,
    draw_external,
    draw_rows,
    draw_sizes,
)
from kidsclf.report.panels import Layout
from kidsclf.report.tables import EXPERIMENTS, ReportTables, distinct, numbers, select

Tables = Mapping[str, pa.Table]
Draw = Callable[[Layout], Figure]

_TITLES = {
    "table1": "The networks side by side (Feng, Table 1)",
    "table2": "Taught in one range of magnitudes, judged in another (Feng, Table 2)",
    "training_size": "The size of the training sample (Feng, Figure 13)",
    "normalised_images": "Stamps without their fluxes (Feng, section 5.1)",
    "shapes": "What shapes tell trees (Feng, section 5.2)",
    "thresholds": "What a threshold keeps (Feng, Figures 3 and 12)",
    "external": "Stars, galaxies and quasars of other surveys (Feng, section 4.1.2, Figure 6)",
}
_CAPTIONS = {
    "table1": "Networks of stamps and photometry should lead, most of all for quasars. Bars are "
    "standard deviations over seeds, open diamonds what Feng et al. print.",
    "table2": "How much is lost one magnitude beyond the labels: points far left of the open "
    "diamonds (Feng et al.) lose more than the paper tells.",
    "training_size": "Curves that still rise at the right end would gain from more labels; "
    "quasars rise longest. Bars are standard deviations over seeds.",
    "normalised_images": "Left of the line the network has lost with the fluxes of the stamps; "
    "a bar that crosses it says that nothing is known.",
    "shapes": "What trees gain with shapes beside photometry; bars are standard deviations over "
    "seeds, and rows of one seed are judged by the same sources.",
    "thresholds": "A network of photometry alone (Feng, Figure 12) keeps fewer quasars at the same "
    "purity than one of stamps and photometry (Figure 3).",
    "external": "Galaxies of low redshift called quasars or stars, and the share that agrees with "
    "the other survey as the threshold rises.",
}


def experiments(tables: ReportTables) -> Section:
    """Show each experiment that left tables; none is no fault."""
    lead = (
        "Tables and figures of Feng et al. again, with networks trained for the purpose "
        "(kidsclf experiment NAME). Spreads are over seeds, which change samples and weights."
    )
    blocks = [block for name, some in tables.experiments.items() for block in _blocks(name, some)]
    blocks += [_stale(name) for name in tables.stale_experiments]
    if not blocks:
        blocks = [missing("Every experiment", "none has been done on this run")]
    return Section("experiments", "Experiments", lead, tuple(blocks))


def _stale(name: str) -> Block:
    why = (
        "its tables were made with other settings, labels or code than this run's; to have it here "
        f"run kidsclf experiment {name} again, with the run's configuration"
    )
    return missing(_TITLES[name], why)


def _blocks(name: str, tables: Tables) -> Iterator[Block]:
    title = _TITLES[name]
    wanted = EXPERIMENTS[name].items()
    if any(not set(tables[t].column_names) >= set(c) for t, c in wanted if t in tables):
        why = f"its tables are of another version; run kidsclf experiment {name} again"
        yield missing(title, why)
        return
    for number, (about, draw, data) in enumerate(_figures(name, tables)):
        yield drawing(
            f"fig-experiment-{name}-{number}",
            draw,
            title=f"{title}{about}",
            caption=_CAPTIONS[name],
            alt=f"{title}{about}: ours beside what is published.",
            data=data,
        )
    if "table" in tables:
        yield data_grid(tables["table"], f"Table of “{title}”")
    if "differences" in tables and tables["differences"].num_rows:
        yield data_grid(tables["differences"], f"Differences, seed by seed, of “{title}”")


def _figures(name: str, tables: Tables) -> Iterator[tuple[str, Draw, pa.Table]]:
    """Give what there is to draw: words after the title, how, and the data."""
    table = tables.get("table", pa.table({}))
    if name in ("table1", "table2", "shapes") and _answered(table):
        yield "", partial(draw_rows, table), table
    elif name == "training_size" and _answered(table):
        yield "", partial(draw_sizes, table), table
    elif name == "normalised_images" and "differences" in tables:
        if tables["differences"].num_rows:
            yield "", partial(draw_differences, tables["differences"]), tables["differences"]
    elif name == "thresholds" and table.num_rows:
        for network in distinct(table, "network"):
            rows = select(table, {"network": network})
            yield f": {network}", partial(draw_thresholds, rows), rows
    elif name == "external" and tables.keys() >= {"redshifts", "agreement"}:
        redshifts, agreement = tables["redshifts"], tables["agreement"]
        for network in distinct(redshifts, "network"):
            rows = redshifts.filter(pc.equal(redshifts["network"], network))
            yield f": {network}", partial(draw_external, redshifts, agreement, network), rows


def _answered(table: pa.Table) -> bool:
    return bool(table.num_rows and np.isfinite(numbers(table, "f1")).any())
