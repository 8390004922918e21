"""What every catalogue format can do: say what it holds, and give some columns of some rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from upath import UPath

from kidsclf.errors import InputError


@dataclass(frozen=True)
class Extent:
    """Consecutive rows of a file; with their bytes, where rows have no fixed place."""

    first_row: int
    rows: int
    first_byte: int = 0
    end_byte: int = 0


@dataclass(frozen=True)
class TableFormat:
    """A file format of catalogues; its functions raise what their library raises.

    Attributes
    ----------
    suffixes : tuple of str
        Endings of file names, lower case.
    units : callable
        ``units(path)``: its columns, each with the unit that the file states, or None.
    plan : callable
        ``plan(path, chunk_rows)``: its rows in extents that can each be read by itself, none
        longer than ``chunk_rows`` where the format allows it.
    read : callable
        ``read(path, extent, columns) -> pyarrow.Table``; nulls where the file has none.
        ``columns`` are the names asked for, each with whether it is to be read as the text that
        stands there, which matters where a format does not state types.
    """

    name: str
    suffixes: tuple[str, ...]
    units: Callable[[UPath], Mapping[str, str | None]]
    plan: Callable[[UPath, int], tuple[Extent, ...]]
    read: Callable[[UPath, Extent, Mapping[str, bool]], pa.Table]


def equal_extents(rows: int, chunk_rows: int, first_row: int = 0) -> tuple[Extent, ...]:
    """Divide rows into extents of ``chunk_rows``, the last of what is left.

    >>> [extent.rows for extent in equal_extents(5, 2)]
    [2, 2, 1]
    """
    end = first_row + rows
    return tuple(Extent(k, min(chunk_rows, end - k)) for k in range(first_row, end, chunk_rows))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Give the type that canonical columns know: one of strings instead of arrow's four."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind


def column_numbers(table: pa.Table, column: str, where: str) -> NDArray[np.floating]:
    """Give a column as floats of its own (n,): float32 where it holds such; null is NaN.

    Raises
    ------
    InputError
        If it holds something else than numbers.
    """
    values = table[column]
    if pa.types.is_string(values.type):
        values = _parsed(values)
    kind = values.type
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    if not any(test(kind) for test in tests):
        raise InputError(
            f"column {column} of {where} was asked for as numbers but holds {kind}; "
            f"correct the column map or the file"
        )
    wanted = pa.float32() if pa.types.is_float32(kind) else pa.float64()
    floats: NDArray[np.floating] = values.cast(wanted, safe=False).to_numpy(zero_copy_only=False)
    return floats if floats.flags.writeable else floats.copy()


def _parsed(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Read numbers that came as texts, as those below a blank top of a CSV do; blanks are null.

    What holds other texts is given back as it is.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    filled = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    try:
        return filled.cast(pa.float64())
    except pa.ArrowInvalid:
        return texts
