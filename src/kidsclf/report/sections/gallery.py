"""A few sources to look at: typical ones, uncertain ones and ones that went wrong."""

from functools import partial

import pyarrow as pa

from kidsclf.report.blocks import Block, Card, Cards, Choice, Filter, Section, missing
from kidsclf.report.figures.stamps import draw_source
from kidsclf.report.numbers import decimal
from kidsclf.report.palette import VARIABLES, class_look, in_order
from kidsclf.report.sketches import CardSketch
from kidsclf.report.tables import ReportTables, Row, distinct, headline_network, present, select

MOST_CARDS = 6
"""Sources shown of one class and kind: a row of the page."""

_KINDS = {
    "typical": "typical",
    "uncertain": "uncertain, of small p_max",
    "misclassified": "misclassified, the label says otherwise",
    "novel": "furthest from the training sample",
}


def gallery(tables: ReportTables) -> Section:
    """Show stamps and magnitudes of picked sources of each class."""
    lead = (
        "Stamps are asinh-stretched, dark is bright; under them AB magnitudes by band. "
        "Look for stars that are not round, galaxies that are points, and neighbours that spoil "
        "the photometry."
    )
    table = present(tables.gallery)
    if table is None:
        why = "no sources were picked, or the run has no stamps"
        return Section("gallery", "Gallery", lead, (missing("The gallery", why),))
    networks = distinct(table, "network")
    first = headline_network(tables)
    of_one = select(table, {"network": first if first in networks else networks[0]})
    classes = in_order(distinct(of_one, "class"))
    blocks: list[Block] = [
        _filter(classes),
        *(
            block
            for number, name in enumerate(classes)
            for kind in _KINDS
            for block in _row_of_cards(of_one, name, kind, f"{number}-{kind}")
        ),
    ]
    return Section("gallery", "Gallery", lead, tuple(blocks))


def _row_of_cards(table: pa.Table, name: str, kind: str, identity: str) -> list[Block]:
    rows = select(table, {"class": name, "kind": kind})
    if not rows.num_rows:
        return []
    cards = [
        _card(row, f"stamp-{identity}-{number}")
        for number, row in enumerate(rows.slice(0, MOST_CARDS).to_pylist())
    ]
    note = ""
    if rows.num_rows > MOST_CARDS:
        note = f"{MOST_CARDS} of {rows.num_rows} are shown."
    title = f"Classified as {class_look(name).label}: {_KINDS[kind]}"
    return [Cards(title, note, tuple(cards), name, kind)]


def _filter(classes: list[str]) -> Filter:
    """Let the reader choose a class and why its sources were picked."""
    named = tuple((name, class_look(name).label) for name in classes)
    kinds = Choice("kind", "Shown", tuple(_KINDS.items()))
    return Filter((Choice("class", "Classified as", named), kinds))


def _card(row: Row, identity: str) -> Card:
    look = class_look(str(row["class"]))
    lines = [f"p {decimal(row['p_max'], 3)}, r {decimal(row['r'], 2)}"]
    lines.append(f"{decimal(row['ra'], 4)} {decimal(row['dec'], 4)}")
    if row["kind"] == "novel":
        lines.append(f"distance {decimal(row.get('training_distance'), 1)}")
    if row["true_class"]:
        lines.append(f"label: {class_look(str(row['true_class'])).label}")
    return Card(
        sketch=CardSketch(identity, partial(draw_source, row)),
        alt=f"Stamp in {row['band']} and magnitudes of {row['name']}, classified as {look.label}.",
        name=str(row["name"]),
        lines=tuple(lines),
        variable=VARIABLES[look.colour],
    )
