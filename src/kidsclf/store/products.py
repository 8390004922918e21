"""The formats in which the catalogue is handed to others, behind one door."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict

import pyarrow as pa

from kidsclf.errors import StoreError
from kidsclf.places import Place
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.store.column_words import words_of
from kidsclf.store.fits_product import Append, Cards, fits_table
from kidsclf.store.parquet_product import csv_table, parquet_table
from kidsclf.store.records import RecordColumn, Shape, form_of
from kidsclf.store.tables import read_json, write_json
from kidsclf.store.votable_product import votable

SUFFIXES = {"fits": ".fits", "parquet": ".parquet", "votable": ".vot", "csv": ".csv"}
COLUMNS = "columns.json"


def describe(schema: pa.Schema, shape: Shape) -> tuple[RecordColumn, ...]:
    """Say of each column of the catalogue how it is written and what it means.

    Unit, UCD and meaning are those of the fields' metadata. A column of a type that FITS and
    VOTable do not have as one value a row has no form and is left out of them.
    """
    columns = []
    for field in schema:
        said = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
        nullable = field.name in shape.nullable
        columns.append(
            RecordColumn(
                field.name,
                words_of(field.name).fits_name,
                form_of(field.type, shape.widths.get(field.name, 0), nullable=nullable) or "",
                nullable,
                said.get("unit", ""),
                said.get("ucd", ""),
                said.get("description", ""),
            )
        )
    return tuple(columns)


def open_product(
    form: str, path: Place, schema: pa.Schema, columns: Sequence[RecordColumn], cards: Cards
) -> AbstractContextManager[Append]:
    """Hand out a function that appends rows to a file of a format.

    Parameters
    ----------
    form : str
        ``fits``, ``parquet``, ``votable`` or ``csv``.
    path : Place
        Appears whole when the context ends.
    schema : pyarrow.Schema
        Of the rows, with the fields' metadata.
    columns : sequence of RecordColumn
        Of these rows and maybe others; FITS and VOTable hold them without the spatial index,
        which is for files that are read by it.
    cards : mapping of keyword to (value, comment)
        Where the rows are from.
    """
    if form == "parquet":
        return parquet_table(path, schema, cards)
    if form == "csv":
        return csv_table(path, schema)
    known = {column.name: column for column in columns if column.form}
    written = [known[name] for name in schema.names if name in known and name != SPATIAL_INDEX]
    return (fits_table if form == "fits" else votable)(path, written, cards)


def write_columns(path: Place, columns: Sequence[RecordColumn]) -> None:
    """Publish what the columns are as JSON."""
    write_json(path, {"columns": [asdict(column) for column in columns]})


def read_columns(path: Place) -> tuple[RecordColumn, ...]:
    """Read what ``write_columns`` wrote.

    Raises
    ------
    StoreError
        When it is missing or damaged.
    """
    try:
        return tuple(RecordColumn(**column) for column in read_json(path)["columns"])
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"the columns of the catalogue were expected in {path}, but it holds something else "
            f"({error}); run the stage reduce again"
        ) from error
