"""Rows of CSV files: where they begin is found once, and then only what is asked for is parsed."""

import io
from collections.abc import Iterator, Mapping
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray
from upath import UPath

from kidsclf.surveys.opening import HEADERS, ROWS, open_unpacked
from kidsclf.surveys.table_format import Extent, equal_extents

_BLOCK_BYTES = 4 * 1024**2
_TOP_BYTES = 1024**2
"""As much of a file as says the types of its columns."""
_LONGEST_ROW_BYTES = 64 * 1024**2
"""Longer rows are refused: what looks like one is a quotation mark that nobody closed."""


def csv_units(path: UPath) -> dict[str, str | None]:
    """List columns; CSV states no units."""
    return dict.fromkeys(_schema(path).names)


def plan_csv(path: UPath, chunk_rows: int) -> tuple[Extent, ...]:
    """Find where rows begin, in one pass; blank lines are no rows, and the first row is names."""
    found, seen, end = [], 0, 0
    with open_unpacked(path, ROWS) as file:
        for text, ends in _whole_rows(file, _BLOCK_BYTES):
            starts = end + _row_starts(text, ends)
            data = np.arange(seen, seen + len(starts)) - 1  # the row of names is -1
            found += starts[(data >= 0) & (data % chunk_rows == 0)].tolist()
            seen, end = seen + len(starts), end + len(text)
    edges = [*found, end]
    return tuple(
        Extent(extent.first_row, extent.rows, edges[k], edges[k + 1])
        for k, extent in enumerate(equal_extents(max(0, seen - 1), chunk_rows))
    )


def _whole_rows(file: BinaryIO, block_bytes: int) -> Iterator[tuple[bytes, NDArray[np.int64]]]:
    """Go through a file in pieces of whole rows; with each, the places of its lines' ends.

    Pieces are handed to arrow one by one, because it loses line ends within quotation marks where
    one of its own blocks ends between a carriage return and its newline.
    """
    tail = b""
    while block := file.read(block_bytes):
        tail += block
        ends = _line_ends(tail)
        if len(ends):
            used = int(ends[-1]) + 1
            yield tail[:used], ends
            tail = tail[used:]
        elif len(tail) > _LONGEST_ROW_BYTES:
            raise ValueError("a row is longer than 64 MiB, or a quotation mark is not closed")
    if tail:
        ends = _line_ends(tail + b"\n")
        if not len(ends):
            raise ValueError("a quotation mark is not closed")
        yield tail + b"\n", ends


def _line_ends(text: bytes) -> NDArray[np.int64]:
    """Find newlines that have an even number of quotation marks before them."""
    letters = np.frombuffer(text, np.uint8)
    newlines: NDArray[np.int64] = np.flatnonzero(letters == ord("\n")).astype(np.int64)
    if b'"' in text:
        quotes = np.searchsorted(np.flatnonzero(letters == ord('"')), newlines)
        newlines = newlines[quotes % 2 == 0]
    return newlines


def _row_starts(text: bytes, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find where rows begin: lines that are not blank."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    returns = np.frombuffer(text, np.uint8)[starts] == ord("\r")
    begun: NDArray[np.int64] = starts[(lengths > 1) | ((lengths == 1) & ~returns)]
    return begun


def read_csv(path: UPath, extent: Extent, columns: Mapping[str, bool]) -> pa.Table:
    """Read some columns of some rows; the types are those of the file's first megabyte.

    Columns of whole numbers that are to be read as text keep their leading zeros; those of decimal
    numbers stay numbers, because their digits cannot be trusted.

    Raises
    ------
    ValueError
        If what is parsed is another number of rows than there are lines.
    """
    schema = _schema(path)
    types = {name: schema.field(name).type for name in columns}
    texts = [name for name in columns if columns[name] and not pa.types.is_floating(types[name])]
    read_as = types | dict.fromkeys(texts, pa.string())
    with open_unpacked(path, ROWS) as file:
        file.seek(extent.first_byte)
        section = cast("BinaryIO", _Section(file, extent.end_byte - extent.first_byte))
        parts = [
            _parse(text, read_as, schema.names) for text, _ in _whole_rows(section, _BLOCK_BYTES)
        ]
    table = pa.concat_tables(parts)
    if table.num_rows != extent.rows:
        raise ValueError(
            f"{extent.rows} lines hold {table.num_rows} rows, so a quotation mark stands within a "
            f"value or lines end in bare carriage returns"
        )
    for name in texts:
        if pa.types.is_integer(types[name]):
            table = table.set_column(
                table.column_names.index(name), name, _whole_numbers(table[name], types[name])
            )
    return table


def _whole_numbers(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Give the texts, null for blanks, having seen that numbers do not turn decimal further down.

    Raises
    ------
    pyarrow.ArrowInvalid
        If one is no whole number.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    filled = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    filled.cast(kind)
    return filled


def _parse(text: bytes, types: Mapping[str, pa.DataType], names: list[str]) -> pa.Table:
    return pa_csv.read_csv(
        io.BytesIO(text),
        read_options=pa_csv.ReadOptions(
            use_threads=False, column_names=names, block_size=_one_block(text)
        ),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(column_types=types, include_columns=list(types)),
    )


def _schema(path: UPath) -> pa.Schema:
    """Infer types once, at the top: every chunk of a file must come out alike."""
    with open_unpacked(path, HEADERS) as file:
        text, lines = b"", 0
        for piece, ends in _whole_rows(file, _TOP_BYTES):
            text, lines = text + piece, lines + len(ends)
            if lines > 1:  # the names and something to judge their types by
                break
    top = pa_csv.read_csv(
        io.BytesIO(text),
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=_one_block(text)),
        # A row of another length is for the chunk that holds it to refuse.
        parse_options=pa_csv.ParseOptions(
            newlines_in_values=True, invalid_row_handler=lambda _: "skip"
        ),
    )
    return pa.schema(
        field.with_type(pa.string()) if pa.types.is_null(field.type) else field
        for field in top.schema
    )


def _one_block(text: bytes) -> int:
    return len(text) + 1


class _Section(io.RawIOBase):
    """The next bytes of a file, read as if they were all of it."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(content)
        return content
