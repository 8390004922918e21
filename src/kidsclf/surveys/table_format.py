"""What every catalogue format can do: say what it holds, and give some columns of some rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.errors import InputError


@dataclass(frozen=True)
class TableFormat:
    """A file format of catalogues; its functions raise what their library raises.

    Attributes
    ----------
    suffixes : tuple of str
        Endings of file names, lower case.
    units : callable
        ``units(path)``: its columns, each with the unit that the file states, or None.
    count : callable
        ``count(path)``: its rows.
    read : callable
        ``read(path, first_row, rows, columns) -> pyarrow.Table``; nulls where the file has none.
        ``columns`` are the names asked for, each with whether it is to be read as the text that
        stands there, which matters where a format does not state types.
    by_rows : bool
        Whether memory is bounded by the rows asked for; otherwise the file is read whole.
    """

    name: str
    suffixes: tuple[str, ...]
    units: Callable[[Path], Mapping[str, str | None]]
    count: Callable[[Path], int]
    read: Callable[[Path, int, int, Mapping[str, bool]], pa.Table]
    by_rows: bool = True


def column_numbers(table: pa.Table, column: str, where: str) -> NDArray[np.float64]:
    """Give a column as float64 of its own; null is NaN.

    Raises
    ------
    InputError
        If it holds something else than numbers.
    """
    values = table[column]
    kind = values.type
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    if not any(test(kind) for test in tests):
        raise InputError(
            f"column {column} of {where} was asked for as numbers but holds {kind}; "
            f"correct the column map or the file"
        )
    floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(floats, dtype=np.float64)
