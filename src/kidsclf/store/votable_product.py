"""A VOTable in BINARY2, written part by part (IVOA VOTable 1.4, section 5.4)."""

import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.places import Place
from kidsclf.store.fits_product import Append, Cards
from kidsclf.store.publish import published_file
from kidsclf.store.records import RecordColumn, record_type, records_of

_TYPES = {
    "D": "double",
    "E": "float",
    "K": "long",
    "J": "int",
    "I": "short",
    "B": "unsignedByte",
    "L": "boolean",
}
_LINE = 48
"""Bytes that one line of 64 letters holds; a longer text is a burden for readers of XML."""


@contextmanager
def votable(path: Place, columns: Sequence[RecordColumn], cards: Cards) -> Iterator[Append]:
    """Hand out a function that appends rows; the file appears whole at the end.

    Parameters are those of ``fits_table``; the cards become ``INFO`` elements.
    """
    rest = b""
    with published_file(path) as temporary, temporary.open("wb") as file:
        file.write(_head(columns, cards).encode("utf-8"))

        def append(part: pa.Table) -> None:
            nonlocal rest
            data = rest + _with_null_bits(part, columns).tobytes()
            whole = len(data) - len(data) % _LINE
            rest = data[whole:]
            file.write(_lines(data[:whole]))

        yield append
        file.write(_lines(rest))
        file.write(b"</STREAM>\n</BINARY2>\n</DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n")


def _with_null_bits(part: pa.Table, columns: Sequence[RecordColumn]) -> NDArray[np.uint8]:
    """Put before each record one bit a column, the highest first, that says what is missing."""
    records = records_of(part, columns)
    missing = np.zeros((part.num_rows, len(columns)), np.bool_)
    for place, column in enumerate(columns):
        if part[column.name].null_count and not column.is_text:
            missing[:, place] = pc.is_null(part[column.name]).to_numpy()
    bits = np.packbits(missing, axis=1)
    rows = records.view(np.uint8).reshape(part.num_rows, record_type(columns).itemsize)
    return np.concatenate([bits, rows], axis=1)


def _lines(data: bytes) -> bytes:
    """Encode bytes in lines of 64 letters."""
    text = np.frombuffer(binascii.b2a_base64(data, newline=False), np.uint8)
    whole = len(text) // 64
    lines = np.full((whole, 65), ord("\n"), np.uint8)
    lines[:, :64] = text[: 64 * whole].reshape(whole, 64)
    last = text[64 * whole :].tobytes()
    return lines.tobytes() + (last + b"\n" if last else b"")


def _head(columns: Sequence[RecordColumn], cards: Mapping[str, tuple[Any, str]]) -> str:
    infos = [
        f"<INFO name={quoteattr(name)} value={quoteattr(str(value))}>{escape(comment)}</INFO>"
        for name, (value, comment) in cards.items()
    ]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">',
        "<RESOURCE>",
        *infos,
        '<COOSYS ID="icrs" system="ICRS"/>',
        '<TABLE name="CATALOGUE">',
        *map(_field, columns),
        "<DATA>",
        "<BINARY2>",
        '<STREAM encoding="base64">',
    ]
    return "\n".join(lines) + "\n"


def _field(column: RecordColumn) -> str:
    kind = f'datatype="{"char" if column.is_text else _TYPES[column.form]}"'
    size = f' arraysize="{column.form[:-1]}"' if column.is_text else ""
    unit = f" unit={quoteattr(column.unit)}" if column.unit else ""
    ucd = f" ucd={quoteattr(column.ucd)}" if column.ucd else ""
    frame = ' ref="icrs"' if column.ucd.startswith("pos.eq") else ""
    return (
        f"<FIELD name={quoteattr(column.fits_name)} {kind}{size}{unit}{ucd}{frame}>"
        f"<DESCRIPTION>{escape(column.meaning)}</DESCRIPTION></FIELD>"
    )
