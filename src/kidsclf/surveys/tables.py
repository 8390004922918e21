"""Catalogue files of a survey, in chunks of bounded size and canonical columns."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from upath import UPath

from kidsclf.config import StoreSettings
from kidsclf.errors import InputError
from kidsclf.places import find_places, is_local, place
from kidsclf.surveys.canonical import canonical_table, check_units, source_columns
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.csv_tables import csv_units, plan_csv, read_csv
from kidsclf.surveys.damage import named_errors
from kidsclf.surveys.fits_tables import fits_units, plan_fits, read_fits
from kidsclf.surveys.hats_folders import hats_files, is_hats_folder
from kidsclf.surveys.parquet_tables import parquet_units, plan_parquet, read_parquet
from kidsclf.surveys.table_format import Extent, TableFormat
from kidsclf.surveys.votable_tables import plan_votable, read_votable, votable_units

_FITS = (".fits", ".fit", ".cat", ".fits.gz", ".fit.gz", ".fits.fz")
_VOTABLE = (".vot", ".votable", ".xml", ".vot.gz", ".votable.gz", ".xml.gz")
FORMATS = (
    TableFormat("FITS", _FITS, fits_units, plan_fits, read_fits),
    TableFormat("Parquet", (".parquet", ".pq"), parquet_units, plan_parquet, read_parquet),
    TableFormat("CSV", (".csv", ".csv.gz"), csv_units, plan_csv, read_csv),
    TableFormat("VOTable", _VOTABLE, votable_units, plan_votable, read_votable),
)
"""Every format of catalogue that can be read."""


LOCAL_OR_DEFAULT = StoreSettings()
"""Local files, and an object store as the environment describes it."""
_AT_ONCE = 16
"""Files of an object store whose rows are counted side by side; nearly all of it is waiting."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of one file, enough to be read anywhere."""

    path: UPath
    extent: Extent
    title: str
    """The file's name without its ending, and folders before it where other files share it."""

    @property
    def first_row(self) -> int:
        """Number of its first row in the file, counted from 0."""
        return self.extent.first_row

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.extent.rows

    @property
    def label(self) -> str:
        """Write it as in logs and errors: path and the first and last row, counted from 0."""
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"


def find_files(
    patterns: Sequence[str], settings: StoreSettings = LOCAL_OR_DEFAULT
) -> tuple[UPath, ...]:
    """Expand paths and globs, local or ``s3://``, to existing files, each once, in sorted order.

    The folder of a HATS catalogue or collection stands for the files of its partitions.

    Raises
    ------
    InputError
        If a pattern matches nothing.
    """
    found: dict[str, UPath] = {}
    for pattern in patterns:
        with named_errors(pattern):
            folder = place(pattern, settings)
            matches = find_places(pattern, settings)
            if not matches and is_hats_folder(folder):
                matches = hats_files(folder)
        if not matches:
            raise InputError(
                f"input files {pattern!r} were asked for but none is there; "
                f"correct the path or pattern"
            )
        found |= {str(path): path for path in matches}
    return tuple(found[name] for name in sorted(found))


def plan_chunks(paths: Sequence[UPath], chunk_rows: int) -> tuple[Chunk, ...]:
    """Divide files into chunks of at most ``chunk_rows`` rows.

    Of FITS and Parquet only headers are read; CSV and VOTables are gone through once, to find
    where rows begin.

    Raises
    ------
    InputError
        For a file that is missing, of unknown format, damaged or without rows.
    """
    with ThreadPoolExecutor(1 if all(map(is_local, paths)) else _AT_ONCE) as threads:
        plans = list(threads.map(_plan, paths, [chunk_rows] * len(paths)))
    return tuple(
        Chunk(path, extent, title)
        for path, title, extents in zip(paths, _titles(paths), plans, strict=True)
        for extent in extents
    )


def _plan(path: UPath, chunk_rows: int) -> tuple[Extent, ...]:
    table_format = _format_of(path)
    with named_errors(str(path)):
        extents = table_format.plan(path, chunk_rows)
    if not extents:
        raise InputError(
            f"rows of {path} were asked for but its table is empty; take it off the list"
        )
    return extents


def _titles(paths: Sequence[UPath]) -> list[str]:
    """Call files by their names without endings, or from the folder on where these come twice."""
    names = [path.name[: -len(_ending(path))] for path in paths]
    if len(set(names)) == len(names):
        return names
    parts = [str(path).split("/") for path in paths]
    shared = next((k for k, each in enumerate(zip(*parts, strict=False)) if len(set(each)) > 1), 0)
    return ["/".join(each[shared:]) for each in parts]


def read_chunk(
    chunk: Chunk,
    column_map: ColumnMap,
    keep_columns: Sequence[str] = (),
    only: NDArray[np.bool_] | None = None,
) -> pa.Table:
    """Read a chunk as canonical columns.

    Parameters
    ----------
    chunk : Chunk
        Rows to read.
    column_map : ColumnMap
        What the survey calls its columns.
    keep_columns : sequence of str
        Columns of the survey's own to carry along unchanged, besides those its cuts need.
    only : bool array (rows,), optional
        Rows that are wanted; not for sources that are named after the numbers of their rows.

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
    table_format, path = _format_of(chunk.path), chunk.path
    with named_errors(str(path)):
        units = table_format.units(path)
    own = tuple(dict.fromkeys((*column_map.cut_columns(), *keep_columns)))
    columns = source_columns(column_map, own, tuple(units), str(path))
    check_units(column_map, {name: units[name] for name in columns}, str(path))
    wanted = {name: name in column_map.identifier.columns for name in columns}
    with named_errors(chunk.label):
        raw = table_format.read(path, chunk.extent, wanted)
    if raw.num_rows != chunk.rows:
        raise InputError(
            f"{chunk.label} were asked for but only {raw.num_rows} of {chunk.rows} are there; "
            f"the file changed or is cut short: fetch it anew"
        )
    if only is not None and not only.all():
        raw = raw.filter(pa.array(only))
    return canonical_table(raw, column_map, own, chunk.title, chunk.first_row, chunk.label)


def check_columns(path: UPath, column_map: ColumnMap, keep_columns: Sequence[str] = ()) -> None:
    """Make sure, from its header alone, that a file has the columns that would be read.

    Raises
    ------
    InputError
        For a file that is damaged, a missing column, or a unit other than the map's.
    """
    with named_errors(str(path)):
        units = _format_of(path).units(path)
    own = tuple(dict.fromkeys((*column_map.cut_columns(), *keep_columns)))
    columns = source_columns(column_map, own, tuple(units), str(path))
    check_units(column_map, {name: units[name] for name in columns}, str(path))


def read_names(path: UPath, column: str, chunk_rows: int) -> Iterator[NDArray[np.object_]]:
    """Read one column of identifiers as texts, chunk by chunk.

    Raises
    ------
    InputError
        For a file that is missing, damaged or without that column.
    """
    table_format, columns = _format_of(path), column_names(path)
    if column not in columns:
        raise InputError(
            f"column {column} of {path} was asked for but the file has {', '.join(columns)}; "
            f"correct the name"
        )
    for extent in _plan(path, chunk_rows):
        with named_errors(str(path)):
            values = table_format.read(path, extent, {column: True})[column]
        yield values.cast(pa.string()).to_numpy(zero_copy_only=False)


def column_names(path: UPath) -> tuple[str, ...]:
    """List the columns of a file.

    Raises
    ------
    InputError
        For a file that is missing, of unknown format or damaged.
    """
    table_format = _format_of(path)
    with named_errors(str(path)):
        return tuple(table_format.units(path))


def _format_of(path: UPath) -> TableFormat:
    ending = _ending(path)
    return next(each for each in FORMATS if ending.lower() in each.suffixes)


def _ending(path: UPath) -> str:
    """Find the ending that says the format.

    Raises
    ------
    InputError
        If it is none that is known.
    """
    known = [suffix for each in FORMATS for suffix in each.suffixes]
    found = [suffix for suffix in known if path.name.lower().endswith(suffix)]
    if not found:
        raise InputError(
            f"{path} was asked for as a catalogue but its ending is none of {', '.join(known)}; "
            f"rename or convert it"
        )
    return path.name[-len(max(found, key=len)) :]
