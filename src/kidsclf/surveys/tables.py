"""Catalogue files of a survey, in chunks of bounded size and canonical columns."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from kidsclf.errors import InputError
from kidsclf.surveys.arrow_tables import (
    count_csv,
    count_parquet,
    csv_units,
    parquet_units,
    read_csv,
    read_parquet,
)
from kidsclf.surveys.canonical import canonical_table, check_units, source_columns
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.damage import named_errors
from kidsclf.surveys.fits_tables import count_fits, fits_units, read_fits
from kidsclf.surveys.table_format import TableFormat
from kidsclf.surveys.votable_tables import count_votable, read_votable, votable_units

_FITS = (".fits", ".fit", ".cat", ".fits.gz", ".fit.gz", ".fits.fz")
FORMATS = (
    TableFormat("FITS", _FITS, fits_units, count_fits, read_fits),
    TableFormat("Parquet", (".parquet", ".pq"), parquet_units, count_parquet, read_parquet),
    TableFormat("CSV", (".csv", ".csv.gz"), csv_units, count_csv, read_csv),
    TableFormat(
        "VOTable",
        (".vot", ".votable", ".xml"),
        votable_units,
        count_votable,
        read_votable,
        by_rows=False,
    ),
)
"""Every format of catalogue that can be read."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of one file, enough to be read anywhere."""

    path: str
    first_row: int
    rows: int

    @property
    def label(self) -> str:
        """Write it as in logs and errors: path and the first and last row, counted from 0."""
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"


def find_files(patterns: Sequence[str]) -> tuple[str, ...]:
    """Expand globs to existing files, each once, in sorted order.

    Raises
    ------
    InputError
        If a pattern matches nothing.
    """
    found: set[str] = set()
    for pattern in patterns:
        matches = [pattern] if Path(pattern).is_file() else _matches(pattern)
        if not matches:
            raise InputError(
                f"input files {pattern!r} were asked for but none is there; "
                f"correct the path or pattern"
            )
        found.update(matches)
    return tuple(sorted(found))


def _matches(pattern: str) -> list[str]:
    # Path.glob takes no absolute patterns.
    return [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]  # noqa: PTH207


def plan_chunks(paths: Sequence[str], chunk_rows: int) -> tuple[Chunk, ...]:
    """Divide files into chunks of at most ``chunk_rows`` rows; only sizes are read.

    A VOTable is one chunk, because XML can only be read whole.

    Raises
    ------
    InputError
        For a file that is missing, of unknown format, damaged or without rows.
    """
    chunks: list[Chunk] = []
    for path in paths:
        with named_errors(path):
            rows = _format_of(path).count(Path(path))
        if rows == 0:
            raise InputError(
                f"rows of {path} were asked for but its table is empty; take it off the list"
            )
        step = chunk_rows if _format_of(path).by_rows else rows
        chunks += [Chunk(path, k, min(step, rows - k)) for k in range(0, rows, step)]
    return tuple(chunks)


def read_chunk(chunk: Chunk, column_map: ColumnMap, keep_columns: Sequence[str] = ()) -> pa.Table:
    """Read a chunk as canonical columns.

    Parameters
    ----------
    chunk : Chunk
        Rows to read.
    column_map : ColumnMap
        What the survey calls its columns.
    keep_columns : sequence of str
        Columns of the survey's own to carry along unchanged, besides those its cuts need.

    Returns
    -------
    pyarrow.Table
        ``name`` (string), ``ra``, ``dec`` (float64, degrees, ra in [0, 360), NaN where off the
        sphere), then where mapped ``mag_X``, ``mag_err_X`` (float32, AB mag, NaN: missing),
        ``half_light_radius_arcsec`` (float32), ``label`` (string, null: none), ``redshift``
        (float32), then the survey's own columns.

    Raises
    ------
    InputError
        For a file that is missing or damaged, a missing column, or a unit other than the map's.
    """
    table_format, path = _format_of(chunk.path), Path(chunk.path)
    with named_errors(chunk.path):
        units = table_format.units(path)
    own = tuple(dict.fromkeys((*column_map.cut_columns(), *keep_columns)))
    columns = source_columns(column_map, own, tuple(units), chunk.path)
    check_units(column_map, {name: units[name] for name in columns}, chunk.path)
    wanted = {name: name in column_map.identifier.columns for name in columns}
    with named_errors(chunk.label):
        raw = table_format.read(path, chunk.first_row, chunk.rows, wanted)
    if raw.num_rows != chunk.rows:
        raise InputError(
            f"{chunk.label} were asked for but only {raw.num_rows} of {chunk.rows} are there; "
            f"the file changed or is cut short: fetch it anew"
        )
    return canonical_table(raw, column_map, own, chunk.label)


def _format_of(path: str) -> TableFormat:
    for table_format in FORMATS:
        if path.lower().endswith(table_format.suffixes):
            return table_format
    known = ", ".join(suffix for each in FORMATS for suffix in each.suffixes)
    raise InputError(f"{path} was asked for as a catalogue but its ending is none of {known}")
