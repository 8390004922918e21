"""Rows of a FITS binary table, plain or gzipped, without loading the table.

The file is walked header by header and only the rows that were asked for are read, a block at a
time, so that memory does not grow with the file; ``astropy`` decodes each block.
"""

from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from astropy.io import fits

from kidsclf.surveys.fits_headers import Unit, check_complete, open_fits, padded, walk

_READ_BYTES = 16 * 1024**2
"""A block of rows is decoded at once; 16 MiB amortises the header and stays out of the way."""


def fits_units(path: Path) -> dict[str, str | None]:
    """List the columns of the first binary table with their TUNITs."""
    with open_fits(path) as file:
        header = _first_table(file).header
    fields = range(1, int(header["TFIELDS"]) + 1)
    return {str(header[f"TTYPE{k}"]): header.get(f"TUNIT{k}") for k in fields}


def count_fits(path: Path) -> int:
    """Count the rows of the first binary table, having seen that the last one is there."""
    with open_fits(path) as file:
        table = _first_table(file)
        check_complete(file, table)
    return int(table.header["NAXIS2"])


def read_fits(path: Path, first_row: int, rows: int, columns: Collection[str]) -> pa.Table:
    """Read some columns of rows ``first_row .. first_row + rows`` of the first binary table."""
    blocks = []
    with open_fits(path) as file:
        table = _first_table(file)
        width = int(table.header["NAXIS1"])
        step = max(1, _READ_BYTES // width)
        file.seek(table.start + first_row * width)
        for begin in range(0, rows, step):
            wanted = min(step, rows - begin)
            payload = file.read(wanted * width)
            if len(payload) < wanted * width:
                raise EOFError(f"it ends within the last {rows - begin} of these rows")
            blocks.append(_decode(table.header, payload, wanted, columns))
    return pa.concat_tables(blocks)


def _first_table(file: BinaryIO) -> Unit:
    """Find the first binary table that is not a compressed image."""
    for unit in walk(file):
        if unit.header.get("XTENSION") == "BINTABLE" and not unit.is_compressed_image:
            if unit.header.get("ZTABLE", False):
                raise ValueError("its table is compressed by fpack, so run funpack on it")
            return unit
    raise ValueError("it holds no binary table")


def _decode(header: fits.Header, payload: bytes, rows: int, columns: Collection[str]) -> pa.Table:
    """Let astropy decode a block of rows as if it were a table of its own."""
    own = header.copy()
    own["NAXIS2"], own["PCOUNT"] = rows, 0
    own.remove("THEAP", ignore_missing=True)
    padding = b"\0" * (padded(len(payload)) - len(payload))
    table = fits.BinTableHDU.fromstring(own.tostring().encode("ascii") + payload + padding)
    raw = np.frombuffer(payload, dtype=table.columns.dtype.newbyteorder(">"), count=rows)
    return pa.table({name: _column(table, raw, name) for name in columns})


def _column(table: fits.BinTableHDU, raw: np.ndarray, name: str) -> pa.Array:
    column = table.columns[name]
    if raw[name].ndim != 1 or column.format.lstrip("0123456789")[:1] in "PQCMX":
        raise ValueError(f"column {name} holds {column.format}, not one number or text a row")
    if raw.dtype[name].kind == "S":
        text = pa.array(raw[name].astype(raw.dtype[name])).cast(pa.binary())
        return text.cast(pa.string())
    values = _flipped_sign(raw[name], column.bscale, column.bzero)
    if values is None:
        values = np.asarray(table.data[name])
        values = values.astype(values.dtype.newbyteorder("="))
    missing = None
    if column.null is not None and raw.dtype[name].kind in "iu":
        missing = raw[name] == int(column.null)
    return pa.array(values, mask=missing)


def _flipped_sign(stored: np.ndarray, scale: float | None, zero: float | None) -> np.ndarray | None:
    """Decode integers of the other signedness, exactly; None where they are none.

    FITS has no unsigned integers of 16, 32 and 64 bits nor signed bytes; they are stored with half
    their range added or taken away by TZERO (standard 4.0, table 19), which is to flip a bit.
    """
    size, half = stored.itemsize, 2 ** (8 * stored.itemsize - 1)
    offset = {"i": half, "u": -half}.get(stored.dtype.kind)
    if offset is None or scale not in (None, "", 1) or zero != offset:
        return None
    native = stored.astype(stored.dtype.newbyteorder("="))
    flipped: np.ndarray = native.view(f"u{size}") ^ np.array(half, f"u{size}")
    return flipped if offset > 0 else flipped.view("i1")
