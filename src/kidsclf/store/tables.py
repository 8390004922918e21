"""Small tables and records: Parquet and JSON, published by rename."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kidsclf.errors import StoreError
from kidsclf.places import Place, open_parquet
from kidsclf.store.publish import published_file


def write_table(path: Place, table: pa.Table) -> None:
    """Publish a Parquet table."""
    with published_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Place, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet table.

    Raises
    ------
    StoreError
        When it is missing or damaged.
    """
    try:
        with open_parquet(path) as file:
            return file.read(columns=list(columns) if columns is not None else None)
    except StoreError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(
            f"the table {path} was expected, but cannot be read ({error}); run the stage that "
            f"makes it again"
        ) from error


def write_json(path: Place, record: Mapping[str, Any]) -> None:
    """Publish a JSON record; NaN becomes null, keys keep their order."""
    with published_file(path) as temporary:
        text = json.dumps(_without_nan(record), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Place) -> Any:
    """Read a JSON record.

    Raises
    ------
    StoreError
        When it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the record {path} was expected, but cannot be read ({error}); run the stage that "
            f"makes it again"
        ) from error


def write_text(path: Place, text: str) -> None:
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
