"""The catalogue as others load it: one FITS binary table, written as a stream."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.io import fits

from kidsclf.errors import StoreError
from kidsclf.places import Place
from kidsclf.store.publish import published_file

_BLOCK = 2880


@dataclass(frozen=True)
class FitsColumn:
    """One column: FITS format (``D``, ``E``, ``J``, ``12A``), unit and meaning."""

    name: str
    form: str
    unit: str
    meaning: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The big-endian type of a value."""
        if self.form.endswith("A"):
            return np.dtype(f"S{int(self.form[:-1])}")
        return np.dtype({"D": ">f8", "E": ">f4", "J": ">i4", "K": ">i8"}[self.form])


def write_fits_table(
    path: Place,
    columns: tuple[FitsColumn, ...],
    rows: int,
    parts: Iterable[pa.Table],
    cards: Mapping[str, tuple[Any, str]],
) -> None:
    """Write a FITS binary table part by part; memory holds one part.

    Parameters
    ----------
    path : Place
        Appears whole at the end. The same input gives the same bytes: no date is written.
    columns : tuple of FitsColumn
    rows : int
        Of all parts together, known beforehand.
    parts : iterable of pyarrow.Table
        With the columns by name.
    cards : mapping of keyword to (value, comment)

    Raises
    ------
    StoreError
        When the parts hold another number of rows.
    """
    dtype = np.dtype([(column.name, column.dtype) for column in columns])
    written = 0
    with published_file(path) as temporary, temporary.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        file.write(_table_header(columns, rows, dtype, cards).tostring().encode("ascii"))
        for part in parts:
            file.write(_records(part, columns, dtype).tobytes())
            written += part.num_rows
        file.write(b"\0" * (-(written * dtype.itemsize) % _BLOCK))
        if written != rows:
            raise StoreError(
                f"{path.name} was to hold {rows} rows by the receipts, but the scores hold "
                f"{written}; run again with --fresh"
            )


def _table_header(
    columns: tuple[FitsColumn, ...],
    rows: int,
    dtype: np.dtype[Any],
    cards: Mapping[str, tuple[Any, str]],
) -> fits.Header:
    header = fits.Header()
    header["XTENSION"] = ("BINTABLE", "binary table extension")
    for keyword, value in (("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", dtype.itemsize)):
        header[keyword] = value
    for keyword, value in (("NAXIS2", rows), ("PCOUNT", 0), ("GCOUNT", 1)):
        header[keyword] = value
    header["TFIELDS"] = len(columns)
    for number, column in enumerate(columns, start=1):
        header[f"TTYPE{number}"] = column.name
        header[f"TFORM{number}"] = column.form
        if column.unit:
            header[f"TUNIT{number}"] = column.unit
        header[f"TCOMM{number}"] = column.meaning
    header["EXTNAME"] = "CATALOGUE"
    for keyword, (value, comment) in cards.items():
        header[keyword] = (value, comment)
    return header


def _records(
    part: pa.Table, columns: tuple[FitsColumn, ...], dtype: np.dtype[Any]
) -> np.ndarray[Any, np.dtype[Any]]:
    records = np.zeros(part.num_rows, dtype)
    for column in columns:
        values = part[column.name].to_numpy(zero_copy_only=False)
        if column.form.endswith("A"):
            values = np.char.encode(values.astype(str), "ascii", "replace")
        records[column.name] = values
    return records
