"""Rows of a Parquet file that lie in stretches of its spatial index, other row groups unread."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from upath import UPath

from kidsclf.errors import InputError, StoreError
from kidsclf.places import open_parquet
from kidsclf.sky.margin import Stretches, within


def row_groups_touching(
    metadata: pq.FileMetaData, column: str, stretches: Stretches
) -> NDArray[np.int64]:
    """Number the row groups whose least and greatest spatial index may lie in some stretches.

    A group without such statistics is taken, and all are where the file has no such column.
    """
    place = place_of(metadata, column)
    if place is None:
        return np.arange(metadata.num_row_groups)
    wanted = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_min_max:
            wanted.append(group)
            continue
        nearest = np.searchsorted(stretches[:, 1], statistics.min, side="right")
        if nearest < len(stretches) and stretches[nearest, 0] <= statistics.max:
            wanted.append(group)
    return np.array(wanted, np.int64)


def place_of(metadata: pq.FileMetaData, column: str) -> int | None:
    """Number a column among those of the file; None where it has none of that name.

    Not among the fields of the table: one of lists or structures takes several columns.
    """
    paths = [metadata.schema.column(k).path for k in range(metadata.num_columns)]
    return paths.index(column) if column in paths else None


def rows_within(
    path: UPath, column: str, stretches: Stretches
) -> tuple[tuple[int, NDArray[np.bool_]], ...]:
    """Find the rows of a survey's file that lie in some stretches, by its own spatial index.

    Returns
    -------
    tuple of (int, bool array)
        Runs of rows: number of the first, and which of them lie there, the first and the last
        among them. All rows of a file without that index may.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    StoreError
        When its object store does not answer.
    """
    try:
        with open_parquet(path) as file:
            groups = row_groups_touching(file.metadata, column, stretches)
            return tuple(_runs(file, groups, column, stretches))
    except StoreError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"a partition of a HATS catalogue was expected at {path}, but cannot be read "
            f"({error}); fetch or write the catalogue anew"
        ) from error


def _runs(
    file: pq.ParquetFile, groups: NDArray[np.int64], column: str, stretches: Stretches
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)])
    for run in np.split(groups, np.flatnonzero(np.diff(groups) > 1) + 1):
        near = np.ones(sum(rows[group] for group in run), np.bool_)
        if column in file.schema_arrow.names and len(run):
            index = file.read_row_groups(run.tolist(), columns=[column])[column]
            near = within(index.to_numpy().astype(np.int64), stretches)
        there = np.flatnonzero(near)
        if len(there):
            yield int(starts[run[0]] + there[0]), near[there[0] : there[-1] + 1]
