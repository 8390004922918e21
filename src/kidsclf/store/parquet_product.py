"""One Parquet file, or CSV, written part by part."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from kidsclf.errors import StoreError
from kidsclf.places import Place
from kidsclf.store.catalogue import column_encodings
from kidsclf.store.fits_product import Append, Cards
from kidsclf.store.publish import published_file

GROUP_ROWS = 65_536
"""Rows of a row group: some 15 MB of the product's columns, of which a writer holds two."""


@contextmanager
def parquet_table(path: Place, schema: pa.Schema, cards: Cards) -> Iterator[Append]:
    """Hand out a function that appends rows; the file appears whole at the end.

    The same rows give the same bytes, however they are cut into parts.

    Parameters
    ----------
    path : Place
    schema : pyarrow.Schema
        With the metadata of the fields; rows are brought to it.
    cards : mapping of keyword to (value, comment)
        Kept as JSON under ``kidsclf`` in the file's own metadata.
    """
    said = json.dumps({keyword: value for keyword, (value, _) in cards.items()})
    schema = schema.with_metadata({"kidsclf": said})
    held: list[pa.Table] = []
    with (
        published_file(path) as temporary,
        pq.ParquetWriter(
            temporary, schema, compression="zstd", **column_encodings(schema)
        ) as writer,
    ):

        def append(part: pa.Table) -> None:
            held.append(as_schema(part, schema))
            while sum(each.num_rows for each in held) >= GROUP_ROWS:
                rows = pa.concat_tables(held)
                writer.write_table(rows.slice(0, GROUP_ROWS).combine_chunks(), GROUP_ROWS)
                held[:] = [rows.slice(GROUP_ROWS)]

        yield append
        rest = pa.concat_tables([schema.empty_table(), *held]).combine_chunks()
        if rest.num_rows:
            writer.write_table(rest, GROUP_ROWS)


@contextmanager
def csv_table(path: Place, schema: pa.Schema) -> Iterator[Append]:
    """Hand out a function that appends rows to a CSV file with a line of names."""
    with (
        published_file(path) as temporary,
        pa.csv.CSVWriter(temporary, schema.remove_metadata()) as writer,
    ):
        yield lambda part: writer.write_table(as_schema(part, schema))


def as_schema(part: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring rows to the columns of a schema.

    Raises
    ------
    StoreError
        When a value does not fit.
    """
    chosen = part.select(schema.names).replace_schema_metadata(schema.metadata)
    try:
        return chosen.cast(schema)
    except pa.ArrowException as error:
        raise StoreError(
            f"rows were to be written with the columns {', '.join(schema.names)}, but those of one "
            f"partition are of other types ({error}); write the survey's own columns in one type"
        ) from error
