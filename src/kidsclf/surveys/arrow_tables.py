"""Rows of Parquet and CSV files, a row group or block at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq


def parquet_units(path: Path) -> dict[str, str | None]:
    """List columns; a ``unit`` in a field's metadata is taken as its unit."""
    with pq.ParquetFile(path) as file:
        return {field.name: _unit(field) for field in file.schema_arrow}


def count_parquet(path: Path) -> int:
    """Count rows, from the footer."""
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def read_parquet(path: Path, first_row: int, rows: int, columns: Sequence[str]) -> pa.Table:
    """Read some columns of some rows, touching only the row groups that hold them."""
    with pq.ParquetFile(path) as file:
        groups, skipped, begin = [], 0, 0
        for group in range(file.num_row_groups):
            end = begin + file.metadata.row_group(group).num_rows
            if end <= first_row:
                skipped = end
            elif begin < first_row + rows:
                groups.append(group)
            begin = end
        table = file.read_row_groups(groups, columns=list(columns), use_threads=False)
        return table.slice(first_row - skipped, rows)


def _unit(field: pa.Field) -> str | None:
    unit = (field.metadata or {}).get(b"unit")
    return unit.decode("utf-8") if unit else None


def csv_units(path: Path) -> dict[str, str | None]:
    """List columns; CSV states no units."""
    return dict.fromkeys(_csv_schema(path).names)


def count_csv(path: Path) -> int:
    """Count rows, by parsing the file's first column."""
    schema = _csv_schema(path)
    return sum(batch.num_rows for batch in _csv_batches(path, schema, 0, schema.names[:1]))


def read_csv(path: Path, first_row: int, rows: int, columns: Sequence[str]) -> pa.Table:
    """Read some columns of some rows; the types are those of the file's first megabyte."""
    schema = _csv_schema(path)
    batches, missing = [], rows
    for batch in _csv_batches(path, schema, first_row, columns):
        batches.append(batch.slice(0, missing))
        missing -= batches[-1].num_rows
        if missing == 0:
            break
    return pa.Table.from_batches(batches)


def _csv_schema(path: Path) -> pa.Schema:
    """Infer types once, at the top: every chunk of a file must come out alike."""
    with pa_csv.open_csv(path, read_options=pa_csv.ReadOptions(use_threads=False)) as reader:
        fields = [
            field.with_type(pa.string()) if pa.types.is_null(field.type) else field
            for field in reader.schema
        ]
    return pa.schema(fields)


def _csv_batches(
    path: Path, schema: pa.Schema, first_row: int, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(skip_rows_after_names=first_row, use_threads=False),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: schema.field(name).type for name in columns},
            include_columns=list(columns),
        ),
    ) as reader:
        yield from reader
