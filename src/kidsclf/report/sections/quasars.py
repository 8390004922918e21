"""Quasars per square degree, and what Feng et al. say of them."""

from functools import partial

import numpy as np
import pyarrow as pa

from kidsclf.report.blocks import Block, Section, drawing, grid, missing
from kidsclf.report.figures.quasars import CORRECTED_AT, QuasarTables, draw_quasar_counts
from kidsclf.report.numbers import DASH, decimal, is_number, whole
from kidsclf.report.sections.catalogue import of_headline
from kidsclf.report.tables import ReportTables, numbers, present, rows_of, select

LEAD = (
    "The surface density of quasars tests the catalogue where labels cannot: it is known from "
    "other surveys, and too many faint quasars mean that other sources pass for them."
)
_NO_AREA = "the sources are too few or too unevenly spread to tell the area that they cover"


def quasars(tables: ReportTables) -> Section:
    """Show quasars per square degree."""
    counts = of_headline(tables, tables.quasar_counts)
    if counts is None:
        nothing = missing("The count of quasars", "no catalogue with an area has been reduced yet")
        return Section("quasars", "Quasar counts", LEAD, (nothing,))
    found = QuasarTables(
        counts,
        of_headline(tables, tables.quasar_fields),
        of_headline(tables, tables.quasar_corrected),
        present(tables.quasar_models),
        present(tables.quasar_published),
    )
    blocks: list[Block] = [_figure(found)]
    if not np.isfinite(numbers(counts, "area_sq_deg")).any():
        blocks.append(missing("The density of quasars", _NO_AREA))
    blocks += _fields(found.fields) + _corrected(found.corrected) + _published(found.published)
    return Section("quasars", "Quasar counts", LEAD, tuple(blocks))


def _figure(found: QuasarTables) -> Block:
    return drawing(
        "fig-quasars",
        partial(draw_quasar_counts, found),
        title="Quasars per square degree",
        caption="Trust the count where squares, circles and the grey band of luminosity functions "
        "(to M1450 = -19) agree. Squares above the circles are other sources that pass for "
        "quasars; circles end where labels end. Where the solid line leaves the dashed one, the "
        "count rests on uncertain classes. Bars: Poisson (squares), labels and Poisson (circles). "
        "Red shade: two thirds of random fields. Open marks are what Feng prints (section 4.1.2), "
        "set slightly apart sideways.",
        alt="Quasars per square degree against r magnitude, in bins and cumulative.",
        data=found.counts,
    )


def _fields(fields: pa.Table | None) -> list[Block]:
    if fields is None:
        return []
    rows, why = [], "the footprint is too small or too ragged for fields inside of it"
    for row in rows_of(fields):
        spread = [decimal(row[name], 1) for name in ("median", "low", "high", "poisson")]
        rows.append(
            [row["source"], _bin(row), row["count"], *spread, decimal(row["independent"], 1)]
        )
    if not any(row["fields"] for row in rows_of(fields)):
        return [missing("The spread from field to field", why)]
    size = next(row["field_sq_deg"] for row in rows_of(fields) if row["fields"])
    heads = ("source", "r", "count", "median", "16%", "84%", "Poisson", "independent fields")
    caption = (
        f"Quasars per square degree in random fields of {size:.3g} square degrees: the "
        f"catalogue's, and those of spectroscopic samples (Feng's Stripe 82 method)"
    )
    return [grid(caption, heads, rows)]


def _corrected(corrected: pa.Table | None) -> list[Block]:
    if corrected is None:
        return []
    rows = [
        [
            _bin(row),
            row["labels"],
            row["count"],
            decimal(row["purity"], 2),
            decimal(row["completeness"], 2),
            _between(row, "estimate"),
            row["why"] or DASH,
        ]
        for row in rows_of(select(corrected, {"p_min": CORRECTED_AT}))
    ]
    heads = ("r", "labels", "count", "purity", "completeness", "true number", "why none")
    caption = (
        f"True numbers of quasars, from those selected at p ≥ {CORRECTED_AT} and what labels say "
        f"of them, with the central 68%"
    )
    return [grid(caption, heads, rows)]


def _between(row: dict[str, object], name: str) -> str:
    if not is_number(row[name]):
        return DASH
    return f"{whole(row[name])} ({whole(row[name + '_low'])} to {whole(row[name + '_high'])})"


def _bin(row: dict[str, object]) -> str:
    return f"{row['r_low']:g} to {row['r_high']:g}"


def _published(published: pa.Table | None) -> list[Block]:
    if published is None:
        return []
    rows = [
        [
            row["source"],
            f"{row['r']:g}",
            decimal(row["printed"] / 1e3, 1),
            decimal(row["ours"] / 1e3, 1),
            decimal(row["printed_per_sq_deg"], 1),
            decimal(row["ours_per_sq_deg"], 1),
            row["ours_from"] or DASH,
            row["note"] or DASH,
        ]
        for row in rows_of(published)
    ]
    heads = ("Feng et al.", "r <", "thousands", "ours", "per deg²", "ours", "ours from", "remark")
    return [grid("What Feng et al. print for 1350 square degrees, and ours", heads, rows)]
