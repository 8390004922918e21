"""What the catalogue holds: reach of the labels, class counts, colours and the sky."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from kidsclf.report.blocks import Block, Remark, Section, drawing, missing
from kidsclf.report.figures.colours import draw_colour_colour
from kidsclf.report.figures.counts import draw_counts
from kidsclf.report.figures.distributions import CATALOGUE, draw_distributions
from kidsclf.report.figures.sky import draw_depth, draw_share, draw_sky
from kidsclf.report.numbers import percent, whole
from kidsclf.report.palette import class_look, in_order
from kidsclf.report.tables import (
    COLUMNS,
    ReportTables,
    distinct,
    headline_network,
    numbers,
    present,
    select,
)

CONFIDENT = 0.9
"""Probability above which Feng's section 4.3 counts a class as a confident one."""


def of_headline(tables: ReportTables, table: pa.Table | None) -> pa.Table | None:
    """Keep the network of the catalogue, or the first one where it is not in the table."""
    if present(table) is None or table is None:
        return None
    networks = distinct(table, "network")
    first = headline_network(tables)
    return select(table, {"network": first if first in networks else networks[0]})


def reach(tables: ReportTables) -> Section:
    """Show how far the labels reach into the catalogue."""
    lead = "A network knows what its labels are like. Beyond them it extrapolates."
    rows = of_headline(tables, tables.distributions)
    samples = [] if rows is None else [n for n in distinct(rows, "sample") if n != CATALOGUE]
    if rows is None or not samples:
        why = "no catalogue with labels has been reduced yet"
        return Section("reach", "Reach of the labels", lead, (missing("The comparison", why),))
    block = drawing(
        "fig-reach",
        partial(draw_distributions, rows, samples[0]),
        title="Catalogue and labels by magnitude and colour",
        caption="Where the thin black line (labels) ends and the grey one (catalogue) goes on, no "
        "label says whether a class is right; such sources carry flag 1. Look also for a class "
        "whose labels cover a narrower range of colours than the catalogue.",
        alt="Numbers of catalogue and labelled sources against r magnitude and u - g.",
        data=rows,
    )
    return Section("reach", "Reach of the labels", lead, (block,))


def counts(tables: ReportTables) -> Section:
    """Show sources by class, magnitude and confidence."""
    by_r = of_headline(tables, tables.class_counts)
    by_p = of_headline(tables, tables.p_max)
    blocks: list[Block] = []
    if by_r is None:
        blocks.append(missing("The count of classes", "no catalogue has been reduced yet"))
    else:
        blocks.append(
            drawing(
                "fig-counts",
                partial(draw_counts, by_r, by_p),
                title="Sources by magnitude and by confidence",
                caption="Stars should lead at the bright end, and quasars and galaxies rise "
                "towards the faint one. A sharp peak near a probability of 1 and a small tail "
                "mean that few sources are in doubt.",
                alt="Counts of each class against r magnitude and against largest probability.",
                data=by_r,
            )
        )
    if by_p is None:
        blocks.append(missing("The spread of p_max", "no catalogue has been reduced yet"))
    return Section("counts", "Classes and confidence", _confidence(by_p), tuple(blocks))


def _confidence(by_p: pa.Table | None) -> str:
    if by_p is None:
        return "How the classified sources spread over magnitude and over p_max."
    number, low = numbers(by_p, "count"), numbers(by_p, "p_low")
    # A hair below, because the edge of a bin may be written as 0.9 less an ulp.
    share = float(number[low >= CONFIDENT - 1e-9].sum() / max(number.sum(), 1))
    return (
        f"{percent(share)} of the sources have a largest probability p_max of at least "
        f"{CONFIDENT} (Feng finds more than 85% for KiDS DR5)."
    )


def colours(tables: ReportTables) -> Section:
    """Show the classes in colour space."""
    lead = "A class that lies elsewhere than its labelled sources has been extrapolated."
    rows = of_headline(tables, tables.colour_colour)
    blocks: tuple[Block, ...] = (
        missing("The colour diagram", "no catalogue has been reduced yet"),
    )
    if rows is not None:
        blocks = (
            drawing(
                "fig-colours",
                partial(draw_colour_colour, rows),
                title="Colours by class",
                caption="Shade is the logarithm of the number of catalogue sources. It should "
                "follow the contours of the labelled sources (smoothed by 1-2-1); shade outside "
                "of them is where the labels say nothing. Above, sources as faint as the labels; "
                "below, extrapolated ones, in which a class drifts from its contours first.",
                alt="Two colours against each other for each class, catalogue and labels.",
                data=rows,
            ),
        )
    return Section("colours", "Colours", lead, blocks)


def sky(tables: ReportTables) -> Section:
    """Show density, shares of classes, depth and failures on the sky."""
    lead = (
        "Stars should crowd towards the Milky Way; quasars should not, and a tile that stands out "
        "has bad photometry."
    )
    table = present(tables.sky)
    if table is None:
        nothing = missing("The map", "no catalogue has been reduced yet")
        return Section("sky", "Sky", lead, (nothing,))
    classes = in_order([name for name in table.column_names if name not in COLUMNS["sky"]])
    blocks: list[Block] = [_map(table, "count", "All sources per square degree", draw_sky)]
    blocks += [
        _map(table, name, f"Share classified as {class_look(name).label}", draw_share)
        for name in classes
    ]
    blocks += [_depth(table), *_failures(table)]
    return Section("sky", "Sky", lead, tuple(blocks))


def _depth(table: pa.Table) -> Block:
    if not np.isfinite(numbers(table, "depth")).any():
        return missing("The map of the depth", "no source has an error that tells it")
    return _map(table, "depth", "Depth in the reference band, 5 sigma", draw_depth)


def _failures(table: pa.Table) -> list[Block]:
    """Map what failed; where nothing did, say so instead of showing an empty map."""
    blocks: list[Block] = []
    for column, title, none in (
        ("unclassified", "Share without a class", "Every source has a class"),
        (
            "flagged",
            "Share with a missing band or a flawed stamp",
            "No source lacks a band or has a flawed stamp",
        ),
    ):
        count = float(numbers(table, column).sum())
        if count:
            blocks.append(_map(table, column, f"{title}: {whole(count)} sources", draw_share))
        else:
            blocks.append(Remark(f"{none}: there is nothing to map."))
    return blocks


def _map(table: pa.Table, column: str, title: str, draw: Callable[..., Figure]) -> Block:
    return drawing(
        f"fig-sky-{column.encode().hex()}",
        partial(draw, table, column),
        title=title,
        caption="Each diamond is one HEALPix pixel; wide empty stretches of right ascension are "
        "left out. Colours span the 1st to the 99th percentile. Look for edges and single pixels: "
        "the sky has neither.",
        alt=f"Map of the sky: {title}.",
        data=table.select(list(dict.fromkeys([*COLUMNS["sky"][:5], column]))),
    )
