"""What the catalogue holds: class counts, colours and the sky."""

from functools import partial

import pyarrow as pa

from kidsclf.report.blocks import Block, Section, drawing, missing
from kidsclf.report.figures.colours import draw_colour_colour
from kidsclf.report.figures.counts import draw_counts
from kidsclf.report.figures.sky import draw_sky
from kidsclf.report.numbers import percent
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
                "of them is where the labels say nothing.",
                alt="Two colours against each other for each class, catalogue and labels.",
                data=rows,
            ),
        )
    return Section("colours", "Colours", lead, blocks)


def sky(tables: ReportTables) -> Section:
    """Show the density of sources on the sky, in all and by class."""
    lead = (
        "Sources per square degree. Stars should crowd towards the Milky Way; quasars should not, "
        "and a tile that stands out has bad photometry."
    )
    table = present(tables.sky)
    blocks: list[Block] = [missing("The map", "no catalogue has been reduced yet")]
    if table is not None:
        others = [name for name in table.column_names if name not in COLUMNS["sky"]]
        blocks = [_map(table, "count", "All sources", table)]
        blocks += [
            _map(table, name, f"Sources classified as {class_look(name).label}", None)
            for name in in_order(others)
        ]
    return Section("sky", "Sky", lead, tuple(blocks))


def _map(table: pa.Table, column: str, title: str, data: pa.Table | None) -> Block:
    return drawing(
        f"fig-sky-{column.encode().hex()}",
        partial(draw_sky, table, column),
        title=title,
        caption="Each diamond is one HEALPix pixel; wide empty stretches of right ascension are "
        "left out. Colours span the 1st to the 99th percentile.",
        alt=f"Map of the sky: {title.lower()} per square degree.",
        data=data,
    )
