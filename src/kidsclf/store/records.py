"""Rows of a table as records of fixed width: what FITS and VOTable have in common.

Both hold big-endian numbers and texts of a stated width, so one layout serves both. Integers
without a sign are widened to the next type with one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.store.fixed_width import lay_texts

_FORMS = {
    "double": "D",
    "float": "E",
    "halffloat": "E",
    "int64": "K",
    "uint32": "K",
    "uint64": "K",
    "int32": "J",
    "uint16": "J",
    "int16": "I",
    "int8": "I",
    "uint8": "B",
    "bool": "L",
}
_STORED = {"D": ">f8", "E": ">f4", "K": ">i8", "J": ">i4", "I": ">i2", "B": "u1", "L": "u1"}
_ARROW = {"K": pa.int64(), "J": pa.int32(), "I": pa.int16(), "B": pa.uint8()}
_NULLS = {"K": -(2**63), "J": -(2**31), "I": -(2**15)}


@dataclass(frozen=True)
class RecordColumn:
    """One column: its name in the rows, and what is written of it.

    Attributes
    ----------
    name, fits_name : str
        In Arrow tables; in FITS and VOTable.
    form : str
        As FITS has it: ``D``, ``E``, ``K``, ``J``, ``I``, ``B``, ``L`` or ``12A``.
    nullable : bool
        Integers of it may be missing.
    unit, ucd, meaning : str
    """

    name: str
    fits_name: str
    form: str
    nullable: bool
    unit: str
    ucd: str
    meaning: str

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.form.endswith("A")

    @property
    def null(self) -> int | None:
        """What stands for a missing integer; None where none is missing."""
        return _NULLS.get(self.form) if self.nullable else None

    @property
    def stored(self) -> np.dtype[Any]:
        """The big-endian type of a value."""
        return np.dtype(f"S{self.form[:-1]}" if self.is_text else _STORED[self.form])


def form_of(kind: pa.DataType, width: int, *, nullable: bool = False) -> str | None:
    """Say the FITS format of an Arrow type; None where there is none.

    A byte has no number to spare for what is missing, so that it is widened then.

    >>> form_of(pa.string(), 12), form_of(pa.uint16(), 0), form_of(pa.list_(pa.int8()), 0)
    ('12A', 'J', None)
    """
    if is_text(kind):
        return f"{max(1, width)}A"
    form = _FORMS.get(str(kind))
    return "I" if form == "B" and nullable else form


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type holds texts."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


@dataclass(frozen=True)
class Shape:
    """What a layout has to hold: the longest text of each column, and where numbers are missing."""

    widths: Mapping[str, int]
    nullable: frozenset[str]

    @classmethod
    def of(cls, table: pa.Table) -> "Shape":
        """Measure a table; texts in characters."""
        widths = {
            field.name: pc.max(pc.utf8_length(table[field.name])).as_py() or 0
            for field in table.schema
            if is_text(field.type)
        }
        return cls(widths, frozenset(n for n in table.column_names if table[n].null_count))

    def facts(self) -> dict[str, Any]:
        """Write it as JSON can hold it."""
        return {"widths": dict(self.widths), "nullable": sorted(self.nullable)}

    @classmethod
    def joined(cls, facts: Iterable[Mapping[str, Any]]) -> "Shape":
        """Give the shape that holds all of some, as ``facts`` wrote them.

        >>> Shape.joined([{"widths": {"a": 3}, "nullable": []}, {"widths": {"a": 5}}]).widths
        {'a': 5}
        """
        widths: dict[str, int] = {}
        nullable: set[str] = set()
        for each in facts:
            nullable |= set(each.get("nullable", ()))
            for name, width in each["widths"].items():
                widths[name] = max(widths.get(name, 0), width)
        return cls(widths, frozenset(nullable))


def record_type(columns: Sequence[RecordColumn]) -> np.dtype[Any]:
    """Give the type of a whole row."""
    return np.dtype([(column.fits_name, column.stored) for column in columns])


def records_of(part: pa.Table, columns: Sequence[RecordColumn]) -> NDArray[Any]:
    """Turn rows into records (n,).

    Floats that are missing are NaN, integers ``RecordColumn.null``, texts empty, truth values 0;
    characters beyond ASCII become ``?``.

    Raises
    ------
    StoreError
        When a value does not fit its column.
    """
    kind = record_type(columns)
    records = np.empty(part.num_rows, kind)
    rows = records.view(np.uint8).reshape(part.num_rows, kind.itemsize)
    starts = accumulate((column.stored.itemsize for column in columns), initial=0)
    for column, start in zip(columns, starts, strict=False):
        try:
            if column.is_text:
                lay_texts(part[column.name], rows, start, column.stored.itemsize)
            else:
                records[column.fits_name] = _values(part[column.name], column)
        except (pa.ArrowException, ValueError) as error:
            raise StoreError(
                f"the column {column.name} was to be written in the format {column.form}, but a "
                f"value does not fit ({error}); take it out of ingest.keep_columns"
            ) from error
    return records


def _values(values: pa.ChunkedArray, column: RecordColumn) -> NDArray[Any]:
    if column.form == "L":
        truth = pc.fill_null(pc.if_else(values, ord("T"), ord("F")), 0)
        return np.asarray(truth.to_numpy())
    if column.form in _ARROW:
        values = values.cast(_ARROW[column.form])
    if column.null is not None:
        values = pc.fill_null(values, column.null)
    return np.asarray(values.to_numpy(zero_copy_only=False))
