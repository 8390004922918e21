"""Rows of a FITS binary table, plain, gzipped or packed by fpack, without loading the table.

The file is walked header by header. Rows are read a small block at a time, and the columns asked
for are copied out of each block while it is in the processor's cache, so that neither memory nor
time grows with the columns nobody asked for. ``astropy`` reads the headers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from astropy.io import fits
from numpy.typing import NDArray
from upath import UPath

from kidsclf.surveys.fits_headers import Unit, check_complete, open_fits, walk
from kidsclf.surveys.fits_packed import packed_blocks, packed_header
from kidsclf.surveys.opening import ROWS, open_unpacked
from kidsclf.surveys.table_format import Extent, equal_extents

_BLOCK_BYTES = 1024**2
"""Measured fastest of 0.25, 1, 4 and 16 MiB: a block and its columns stay in the cache."""

_TFORM = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])")
_BYTES = dict(zip("LBIJKAEDCMPQ", (1, 1, 2, 4, 8, 1, 4, 8, 8, 16, 8, 16), strict=True))
_NUMBERS = {"L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}

Block = Mapping[str, NDArray[Any]] | NDArray[Any]
"""Columns by name, as stored; a structured array is one too."""


@dataclass(frozen=True)
class Field:
    """A column as stored: big-endian type, where it begins in a row, and how it is decoded."""

    name: str
    format: str
    stored: np.dtype[Any]
    offset: int
    null: int | None
    scale: float
    zero: float


def fits_units(path: UPath) -> dict[str, str | None]:
    """List the columns of the first binary table with their TUNITs."""
    with open_fits(path) as file:
        header = _first_table(file).header
    fields = range(1, int(header["TFIELDS"]) + 1)
    return {str(header[f"TTYPE{k}"]): header.get(f"TUNIT{k}") for k in fields}


def plan_fits(path: UPath, chunk_rows: int) -> tuple[Extent, ...]:
    """Divide the rows of the first binary table, having seen that its last byte is there."""
    with open_fits(path) as file:
        table = _first_table(file)
        check_complete(file, table)
    return equal_extents(int(table.header["ZNAXIS2" if table.is_packed else "NAXIS2"]), chunk_rows)


def read_fits(path: UPath, extent: Extent, columns: Iterable[str]) -> pa.Table:
    """Read some columns of some rows of the first binary table."""
    with open_fits(path) as file:
        table = _first_table(file)
    fields = _fields(packed_header(table) if table.is_packed else table.header, columns)
    stored = {field.name: field.stored for field in fields}
    with open_unpacked(path, 0 if table.is_packed else ROWS) as file:
        blocks = (
            packed_blocks(file, table, stored, extent)
            if table.is_packed
            else _plain_blocks(file, table, fields, extent)
        )
        values = _gather(blocks, fields, extent.rows)
    return pa.table({field.name: _decode(values[field.name], field) for field in fields})


def _first_table(file: BinaryIO) -> Unit:
    """Find the first binary table that is not a compressed image."""
    for unit in walk(file):
        if unit.header.get("XTENSION") == "BINTABLE" and not unit.is_compressed_image:
            return unit
    raise ValueError("it holds no binary table")


def _fields(header: fits.Header, names: Iterable[str]) -> list[Field]:
    """Look up where columns lie; those that are not one number or text a row are refused."""
    numbers = {str(header[f"TTYPE{k}"]): k for k in range(1, int(header["TFIELDS"]) + 1)}
    forms = {k: _form(str(header[f"TFORM{k}"])) for k in numbers.values()}
    offsets = dict(zip(forms, accumulate(_width(*form) for form in forms.values()), strict=True))
    found = []
    for name in names:
        k = numbers[name]
        count, letter = forms[k]
        texts = letter == "A" and "," not in str(header.get(f"TDIM{k}", ""))
        if not texts and (count != 1 or letter not in _NUMBERS):
            form = str(header[f"TFORM{k}"]).strip()
            raise ValueError(f"column {name} holds {form}, not one number or text a row")
        stored = np.dtype(f"S{count}" if letter == "A" else _NUMBERS[letter])
        null = int(header[f"TNULL{k}"]) if letter in "BIJK" and f"TNULL{k}" in header else None
        scale, zero = header.get(f"TSCAL{k}", 1), header.get(f"TZERO{k}", 0)
        offset = offsets[k] - _width(count, letter)
        found.append(Field(name, letter, stored, offset, null, scale, zero))
    return found


def _form(text: str) -> tuple[int, str]:
    """Read how many elements of which type a TFORM states."""
    match = _TFORM.match(text)
    if match is None:
        raise ValueError(f"it states {text!r}, which is no format of a column")
    return int(match[1] or 1), match[2]


def _width(count: int, letter: str) -> int:
    """Give the bytes of a row that a column takes (standard 4.0, table 18)."""
    return -(-count // 8) if letter == "X" else count * _BYTES[letter]


def _plain_blocks(
    file: BinaryIO, table: Unit, fields: list[Field], extent: Extent
) -> Iterator[Block]:
    width = int(table.header["NAXIS1"])
    row = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [field.stored for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": width,
        }
    )
    file.seek(table.start + extent.first_row * width)
    step = max(1, _BLOCK_BYTES // width)
    for begin in range(0, extent.rows, step):
        wanted = min(step, extent.rows - begin) * width
        payload = file.read(wanted)
        if len(payload) < wanted:
            raise EOFError(f"it ends within the last {extent.rows - begin} of these rows")
        yield np.frombuffer(payload, row)


def _gather(blocks: Iterable[Block], fields: list[Field], rows: int) -> dict[str, NDArray[Any]]:
    """Copy columns out of their blocks, in the machine's byte order."""
    values = {f.name: np.empty(rows, f.stored.newbyteorder("=")) for f in fields}
    filled = 0
    for block in blocks:
        end = filled
        for name, column in values.items():
            part = block[name]
            end = filled + len(part)
            column[filled:end] = part
        filled = end
    return values


def _decode(stored: NDArray[Any], field: Field) -> pa.Array:
    if stored.dtype.kind == "S":
        return pa.array(stored).cast(pa.string())
    if field.format == "L":  # T, F or a zero byte for neither (standard 4.0, section 7.3.3.1)
        return pa.array(stored == ord("T"), mask=stored == 0)
    missing = stored == field.null if field.null is not None else None
    if field.scale != 1 or field.zero != 0:
        stored = _scaled(stored, field.scale, field.zero)
    return pa.array(stored, mask=missing)


def _scaled(stored: NDArray[Any], scale: float, zero: float) -> NDArray[Any]:
    """Apply TSCAL and TZERO; integers of the other signedness come out exactly.

    FITS has no unsigned integers of 16, 32 and 64 bits nor signed bytes; they are stored with half
    their range added or taken away by TZERO (standard 4.0, table 19), which is to flip a bit.
    All else may leave the range of the stored type: it becomes int64 or float64.
    """
    size, half = stored.itemsize, 2 ** (8 * stored.itemsize - 1)
    offset = {"i": half, "u": -half}.get(stored.dtype.kind)
    if offset is None or scale != 1 or zero != offset:
        if offset is not None and scale == 1 and float(zero).is_integer():
            return stored.astype(np.int64) + int(zero)
        return stored * float(scale) + float(zero)
    flipped: NDArray[Any] = stored.view(f"u{size}") ^ np.array(half, f"u{size}")
    return flipped if offset > 0 else flipped.view("i1")
