"""Small tables and records: Parquet and JSON, published by rename."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kidsclf.errors import StoreError
from kidsclf.store.publish import published_file


def write_table(path: Path, table: pa.Table) -> None:
    """Publish a Parquet table."""
    with published_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet table.

    Raises
    ------
    StoreError
        When it is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=list(columns) if columns is not None else None)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"the table {path} was expected, but cannot be read ({error}); run the stage that "
            f"makes it again"
        ) from error


def read_rows_between(path: Path, column: str, first: int, last: int) -> pa.Table:
    """Read the rows of a sorted table with ``first <= column < last``, row groups skipped."""
    with pq.ParquetFile(path) as file:
        place = file.schema_arrow.get_field_index(column)
        wanted = []
        for group in range(file.num_row_groups):
            statistics = file.metadata.row_group(group).column(place).statistics
            if statistics is None or (statistics.max >= first and statistics.min < last):
                wanted.append(group)
        table = file.read_row_groups(wanted) if wanted else file.schema_arrow.empty_table()
    values = table[column].to_numpy()
    start, stop = values.searchsorted([first, last])
    return table.slice(int(start), int(stop - start))


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Publish a JSON record; NaN becomes null, keys keep their order."""
    with published_file(path) as temporary:
        text = json.dumps(_without_nan(record), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON record.

    Raises
    ------
    StoreError
        When it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the record {path} was expected, but cannot be read ({error}); run the stage that "
            f"makes it again"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Publish a text file."""
    with published_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value
