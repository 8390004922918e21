"""Rows of a VOTable, which is XML and therefore read whole."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.io.votable import parse_single_table
from astropy.io.votable.tree import TableElement


def votable_units(path: Path) -> dict[str, str | None]:
    """List the fields of the first table with their units."""
    return {field.name: str(field.unit) if field.unit else None for field in _parse(path).fields}


def count_votable(path: Path) -> int:
    """Count the rows of the first table."""
    return len(_parse(path).array)


def read_votable(path: Path, first_row: int, rows: int, columns: Collection[str]) -> pa.Table:
    """Parse the file and keep some columns of some rows."""
    table = _parse(path)
    # The array's fields are called by ID, which may differ from the name people see.
    position = {field.name: k for k, field in enumerate(table.fields)}
    values = table.array[first_row : first_row + rows]
    ids = values.dtype.names
    return pa.table({name: _column(values[ids[position[name]]]) for name in columns})


def _parse(path: Path) -> TableElement:
    # Given a path, astropy leaves the file open when it meets damage.
    with path.open("rb") as file:
        return parse_single_table(file, verify="ignore")


def _column(values: np.ma.MaskedArray) -> pa.Array:
    mask = np.ma.getmaskarray(values)
    data = np.ma.getdata(values)
    if data.dtype.kind == "O":
        texts = [v.decode("utf-8") if isinstance(v, bytes) else v for v in data.tolist()]
        return pa.array(texts, type=pa.string(), mask=mask)
    if data.dtype.kind in "SU":
        return pa.array(data.astype("U").tolist(), type=pa.string(), mask=mask)
    return pa.array(data.astype(data.dtype.newbyteorder("=")), mask=mask)
