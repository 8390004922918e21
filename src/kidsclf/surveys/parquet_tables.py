"""Rows of Parquet files, by row groups."""

from collections.abc import Collection

import pyarrow as pa
from upath import UPath

from kidsclf.places import open_parquet
from kidsclf.surveys.table_format import Extent, equal_extents, plain_type

_BATCH_ROWS = 65_536
"""Rows decoded at once where a row group is not wanted whole."""


def parquet_units(path: UPath) -> dict[str, str | None]:
    """List columns; a ``unit`` in a field's metadata is taken as its unit."""
    with open_parquet(path) as file:
        return {field.name: _unit(field) for field in file.schema_arrow}


def _unit(field: pa.Field) -> str | None:
    unit = (field.metadata or {}).get(b"unit")
    return unit.decode("utf-8") if unit else None


def plan_parquet(path: UPath, chunk_rows: int) -> tuple[Extent, ...]:
    """Put whole row groups together up to ``chunk_rows``, and divide larger ones."""
    with open_parquet(path) as file:
        groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    extents: list[Extent] = []
    first, pending = 0, 0
    for rows in groups:
        if pending + rows > chunk_rows and pending:
            extents.append(Extent(first, pending))
            first, pending = first + pending, 0
        if rows > chunk_rows:
            extents += equal_extents(rows, chunk_rows, first)
            first += rows
        else:
            pending += rows
    return (*extents, Extent(first, pending)) if pending else tuple(extents)


def read_parquet(path: UPath, extent: Extent, columns: Collection[str]) -> pa.Table:
    """Read some columns of some rows, touching only the row groups that hold them."""
    end = extent.first_row + extent.rows
    with open_parquet(path) as file:
        groups, skipped, begin = [], 0, 0
        for group in range(file.num_row_groups):
            after = begin + file.metadata.row_group(group).num_rows
            if after <= extent.first_row:
                skipped = after
            elif begin < end:
                groups.append(group)
            begin = after
        schema = pa.schema([file.schema_arrow.field(name) for name in columns])
        parts, row = [], skipped
        for batch in file.iter_batches(_BATCH_ROWS, groups, list(columns), use_threads=False):
            start = max(0, extent.first_row - row)
            part = batch.slice(start, max(0, end - row - start))
            row += batch.num_rows
            if part.num_rows:
                parts.append(part)
            if row >= end:
                break
    table = pa.Table.from_batches(parts, schema)
    return table.cast(pa.schema([field.with_type(plain_type(field.type)) for field in schema]))
