"""Rows of Parquet and CSV files, a row group or block at a time."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
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


def read_parquet(path: Path, first_row: int, rows: int, columns: Collection[str]) -> pa.Table:
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
    first = _csv_schema(path).field(0)
    return sum(batch.num_rows for batch in _csv_batches(path, {first.name: first.type}))


def read_csv(path: Path, first_row: int, rows: int, columns: Mapping[str, bool]) -> pa.Table:
    """Read some columns of some rows; the types are those of the file's first megabyte.

    Columns of whole numbers that are to be read as text keep their leading zeros; those of decimal
    numbers stay numbers, because their digits cannot be trusted.
    """
    schema = _csv_schema(path)
    types = {name: schema.field(name).type for name in columns}
    texts = [name for name in columns if columns[name] and not pa.types.is_floating(types[name])]
    read_as = types | dict.fromkeys(texts, pa.string())
    # Parsed from the top: a parser that skips lines counts blank ones, which are no rows.
    batches, skip, missing = [], first_row, rows
    for batch in _csv_batches(path, read_as):
        part = batch.slice(min(skip, batch.num_rows), missing)
        skip -= min(skip, batch.num_rows)
        missing -= part.num_rows
        if part.num_rows:  # even an empty slice keeps its block in memory
            batches.append(part)
        if missing == 0:
            break
    table = pa.Table.from_batches(batches)
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


def _csv_schema(path: Path) -> pa.Schema:
    """Infer types once, at the top: every chunk of a file must come out alike."""
    with pa_csv.open_csv(path, read_options=pa_csv.ReadOptions(use_threads=False)) as reader:
        fields = [
            field.with_type(pa.string()) if pa.types.is_null(field.type) else field
            for field in reader.schema
        ]
    return pa.schema(fields)


def _csv_batches(path: Path, types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(use_threads=False),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict(types), include_columns=list(types)
        ),
    ) as reader:
        yield from reader
