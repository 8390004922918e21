"""Rows of a VOTable, cut out of its XML so that a part can be parsed by itself.

What stands before the rows, some of the rows and the closing tags are a small VOTable of its own,
and ``astropy`` parses that. Rows are found as ``<TR`` in TABLEDATA, and by counting letters in the
base64 of BINARY and BINARY2 if all rows are of one length; otherwise all rows are one part.
"""

import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO
from xml.parsers import expat

import numpy as np
import pyarrow as pa
from astropy.io.votable import parse_single_table
from astropy.io.votable.tree import Field, TableElement
from upath import UPath

from kidsclf.surveys.opening import HEADERS, ROWS, open_unpacked
from kidsclf.surveys.table_format import Extent, equal_extents

_SCAN_BYTES = 4 * 1024**2
_DATA = re.compile(
    rb"<(?:\w+:)?(?:(TABLEDATA)\b[^>]*>|(BINARY2?|FITS)\b[^>]*>\s*<(?:\w+:)?STREAM\b[^>]*>)"
)
_ROW = re.compile(rb"<(?:\w+:)?TR[\s/>]")
_END = re.compile(rb"</(?:\w+:)?(?:TABLEDATA|STREAM)")
_TOKEN_BYTES = 64
"""Longer than any token that a block's end may cut in two."""
_BYTES = {
    "boolean": 1,
    "unsignedByte": 1,
    "short": 2,
    "int": 4,
    "long": 8,
    "char": 1,
    "unicodeChar": 2,
    "float": 4,
    "double": 8,
    "floatComplex": 8,
    "doubleComplex": 16,
}
"""Of one element of a datatype (VOTable 1.4, section 6)."""


class _NoRowsError(ValueError):
    """A table that is whole and has no rows."""


@dataclass(frozen=True)
class _Head:
    """What stands before the rows, how they are written, and where they begin."""

    text: bytes
    kind: str
    start: int

    def around(self, rows: bytes) -> bytes:
        """Make a document of its own of some rows."""
        return self.text + rows + _closing_tags(self.text)

    def parse(self, rows: bytes, columns: Collection[str] | None = None) -> TableElement:
        """Parse some rows; of the columns of TABLEDATA those named alone, as the others cost."""
        wanted = None
        if columns is not None and self.kind == "TABLEDATA":
            names = [field.name for field in self.parse(b"").fields]
            wanted = [names.index(name) for name in columns]
        document = io.BytesIO(self.around(rows))
        return parse_single_table(document, verify="ignore", columns=wanted)


def votable_units(path: UPath) -> dict[str, str | None]:
    """List the fields of the first table with their units."""
    fields = _head(path).parse(b"").fields
    return {field.name: str(field.unit) if field.unit else None for field in fields}


def plan_votable(path: UPath, chunk_rows: int) -> tuple[Extent, ...]:
    """Find where rows begin, in one pass."""
    try:
        head = _head(path)
    except _NoRowsError:
        return ()
    fields = head.parse(b"").all_fields
    with open_unpacked(path, ROWS) as file:
        if head.kind == "TABLEDATA":
            return _plan_rows(file, head, chunk_rows)
        width = _row_bytes(fields, head.kind)
        if width is not None:
            return _plan_letters(file, head, width, chunk_rows)
        content = b"".join(block for _, block in _blocks(file, head.start))
    rows = len(head.parse(content).array)
    return (Extent(0, rows, head.start, head.start + len(content)),) if rows else ()


def read_votable(path: UPath, extent: Extent, columns: Collection[str]) -> pa.Table:
    """Parse some columns of some rows."""
    head = _head(path)
    with open_unpacked(path, ROWS) as file:
        file.seek(extent.first_byte)
        content = file.read(extent.end_byte - extent.first_byte)
    table = head.parse(content, columns)
    # The array's fields are called by ID, which may differ from the name people see.
    ids = dict(zip((field.name for field in table.fields), table.array.dtype.names, strict=True))
    return pa.table({name: _column(table.array[ids[name]]) for name in columns})


def _head(path: UPath) -> _Head:
    text = b""
    with open_unpacked(path, HEADERS) as file:
        while (match := _DATA.search(text)) is None:
            block = file.read(_SCAN_BYTES)
            if not block:
                parse_single_table(io.BytesIO(text), verify="ignore")
                raise _NoRowsError("its table has no rows")
            text += block
    kind, opening = (match[1] or match[2]).decode(), match[0]
    if kind == "FITS" or b"href" in opening:
        raise ValueError("its rows are FITS or stand in another file, so give that file instead")
    if kind != "TABLEDATA" and not re.search(rb"encoding\s*=\s*[\"']base64", opening):
        raise ValueError("its rows are in no encoding that can be read, so save it as TABLEDATA")
    return _Head(text[: match.end()], kind, match.end())


def _closing_tags(text: bytes) -> bytes:
    """Close all elements that are open at the end of a beginning of XML."""
    opened: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: opened.append(name)
    parser.EndElementHandler = lambda _: opened.pop()
    parser.Parse(text, False)
    return "".join(f"</{name}>" for name in reversed(opened)).encode()


def _blocks(file: BinaryIO, start: int) -> Iterator[tuple[int, bytes]]:
    """Give the text of the rows in pieces that cut no token, each with its place.

    Raises
    ------
    EOFError
        If the rows do not end.
    """
    file.seek(start)
    position, text = start, b""
    while block := file.read(_SCAN_BYTES):
        text += block
        end = _END.search(text)
        if end:
            yield position, text[: end.start()]
            return
        cut = max(0, text.rfind(b"<", len(text) - _TOKEN_BYTES))
        cut = cut or max(0, len(text) - _TOKEN_BYTES)
        yield position, text[:cut]
        position, text = position + cut, text[cut:]
    raise EOFError("it ends within its rows")


def _plan_rows(file: BinaryIO, head: _Head, chunk_rows: int) -> tuple[Extent, ...]:
    edges, rows, end = [], 0, head.start
    for position, text in _blocks(file, head.start):
        for match in _ROW.finditer(text):
            if rows % chunk_rows == 0:
                edges.append(position + match.start())
            rows += 1
        end = position + len(text)
    return _between([*edges, end], equal_extents(rows, chunk_rows))


def _between(edges: list[int], extents: tuple[Extent, ...]) -> tuple[Extent, ...]:
    return tuple(
        Extent(extent.first_row, extent.rows, edges[k], edges[k + 1])
        for k, extent in enumerate(extents)
    )


def _plan_letters(file: BinaryIO, head: _Head, width: int, chunk_rows: int) -> tuple[Extent, ...]:
    """Find where rows begin in base64: every third row begins with a group of four letters."""
    step = max(1, chunk_rows // 3) * 3
    letters_a_chunk = step * width // 3 * 4
    edges: list[int] = []
    seen, padding, end = 0, 0, head.start
    for position, text in _blocks(file, head.start):
        places = np.flatnonzero(np.frombuffer(text, np.uint8) > ord(" "))
        first = -seen % letters_a_chunk
        edges += (position + places[first::letters_a_chunk]).tolist()
        seen, padding, end = seen + len(places), padding + text.count(b"="), position + len(text)
    rows, left = divmod(seen // 4 * 3 - padding, width)
    if left or seen % 4:
        raise EOFError(f"it ends within row {rows}")
    return _between([*edges, end], equal_extents(rows, step))


def _row_bytes(fields: list[Field], kind: str) -> int | None:
    """Sum the bytes of a row; None if rows differ."""
    total = -(-len(fields) // 8) if kind == "BINARY2" else 0
    for field in fields:
        shape = str(field.arraysize or "1")
        if "*" in shape:
            return None
        count = int(np.prod([int(length) for length in shape.split("x")]))
        total += -(-count // 8) if field.datatype == "bit" else count * _BYTES[field.datatype]
    return total


def _column(values: np.ma.MaskedArray) -> pa.Array:
    mask = np.ma.getmaskarray(values)
    data = np.ma.getdata(values)
    if data.dtype.kind == "O":
        texts = [v.decode("utf-8") if isinstance(v, bytes) else v for v in data.tolist()]
        return pa.array(texts, type=pa.string(), mask=mask)
    if data.dtype.kind in "SU":
        return pa.array(data.astype("U").tolist(), type=pa.string(), mask=mask)
    return pa.array(data.astype(data.dtype.newbyteorder("=")), mask=mask)
