"""The pieces a section of the page is made of: drawings, tables, remarks.

They are plain records; the template turns them into HTML and escapes every text in them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from kidsclf.report.numbers import cell, is_number
from kidsclf.report.panels import Layout
from kidsclf.report.sketches import CardSketch, FigureSketch, Sketch

MOST_DATA_ROWS = 100
"""Rows shown of the data behind a figure; the whole table stands in ``metrics/``."""


_NUMBER_TEXT = re.compile(r"–|[-+]?[\d,]+(\.\d+)?(%| s| min.*| h.*| ± .*)?")


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes
    ----------
    caption : str
    headings : tuple of str
    rows : tuple of tuple of str
    numeric : tuple of bool
        Which columns hold numbers, and are set flush right.
    note : str
        What is left out; empty when nothing is.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    note: str = ""
    kind: str = "grid"


@dataclass(frozen=True)
class Drawing:
    """A figure with what to look for in it, its text for those who cannot see it, and its data."""

    sketch: FigureSketch
    title: str
    caption: str
    alt: str
    data: Grid | None = None
    kind: str = "drawing"


@dataclass(frozen=True)
class Card:
    """One source of the gallery."""

    sketch: CardSketch
    alt: str
    name: str
    lines: tuple[str, ...]
    variable: str


@dataclass(frozen=True)
class Cards:
    """A row of sources of one class, picked for one reason: what the gallery is filtered by."""

    title: str
    note: str
    cards: tuple[Card, ...]
    class_name: str
    row: str
    kind: str = "cards"


@dataclass(frozen=True)
class Choice:
    """One list to choose from: its values, and the words for them."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Filter:
    """What rows of sources may be chosen by."""

    choices: tuple[Choice, ...]
    kind: str = "filter"


@dataclass(frozen=True)
class Tile:
    """A number worth a glance."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    """Numbers side by side."""

    tiles: tuple[Tile, ...]
    kind: str = "tiles"


@dataclass(frozen=True)
class Share:
    """A class and its part of the catalogue; ``variable`` names its colour on the page."""

    label: str
    count: str
    percent: str
    part: float
    variable: str


@dataclass(frozen=True)
class Shares:
    """A bar of all classes."""

    caption: str
    shares: tuple[Share, ...]
    kind: str = "shares"


@dataclass(frozen=True)
class Remark:
    """A sentence or two; ``tone`` is ``plain``, ``missing`` or ``warning``."""

    text: str
    tone: str = "plain"
    kind: str = "remark"


@dataclass(frozen=True)
class Folded:
    """Blocks that open on demand."""

    title: str
    blocks: tuple[Any, ...]
    kind: str = "folded"


Block = Grid | Drawing | Cards | Filter | Tiles | Shares | Remark | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page with its own heading and address."""

    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


def drawing(
    anchor: str,
    draw: Callable[[Layout], Figure],
    *,
    title: str,
    caption: str,
    alt: str,
    data: pa.Table | None = None,
) -> Drawing:
    """Describe a figure, to be drawn with the page, and put its data beside it."""
    grid = None if data is None else data_grid(data, f"Data of “{title}”")
    return Drawing(FigureSketch(anchor, draw), title, caption, alt, grid)


def without_pdf(block: Block) -> Block:
    """Leave a figure as SVG alone: the page would grow too large."""
    if not isinstance(block, Drawing):
        return block
    return replace(block, sketch=replace(block.sketch, with_pdf=False))


def sketches(blocks: Iterable[Block]) -> Iterator[Sketch]:
    """List what is to be drawn of these blocks, in their order."""
    for block in blocks:
        if isinstance(block, Drawing):
            yield block.sketch
        elif isinstance(block, Cards):
            yield from (card.sketch for card in block.cards)
        elif isinstance(block, Folded):
            yield from sketches(block.blocks)


def data_grid(table: pa.Table, caption: str, most: int = MOST_DATA_ROWS) -> Grid:
    """Show a table as it is, its first rows only where it is long."""
    rows = table.slice(0, most).to_pylist()
    note = ""
    if table.num_rows > most:
        note = f"The first {most:,} of {table.num_rows:,} rows; all of them stand in metrics/."
    return grid(caption, table.column_names, [list(row.values()) for row in rows], note)


def grid(
    caption: str, headings: Sequence[str], rows: Sequence[Sequence[Any]], note: str = ""
) -> Grid:
    """Make a table of texts out of values; texts are kept as they are."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(headings)
    numeric = tuple(bool(column) and all(map(_stands_right, column)) for column in columns)
    texts = tuple(tuple(map(cell, row)) for row in rows)
    return Grid(caption, tuple(headings), texts, numeric, note)


def _stands_right(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER_TEXT.fullmatch(value) is not None
    return value is None or is_number(value) or isinstance(value, float)


def missing(what: str, why: str) -> Remark:
    """Say that something is not there, and why."""
    return Remark(f"{what} is missing: {why}.", "missing")
