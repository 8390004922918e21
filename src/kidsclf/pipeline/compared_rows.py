"""The rows of a catalogue that is compared: name, place, class, and how sure it is of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.config import StoreSettings
from kidsclf.errors import ConfigError
from kidsclf.places import Place, place
from kidsclf.schema import DEC, LABEL, NAME, RA, SPATIAL_INDEX
from kidsclf.sky.partition import spatial_index
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.products import COLUMNS, read_columns
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.table_format import column_numbers
from kidsclf.surveys.tables import Chunk, column_names, find_files, plan_chunks, read_chunk

CLASS = "class"
P_MAX = "p_max"
MAGNITUDE = "magnitude"
ROLES = (NAME, RA, DEC, CLASS, P_MAX, MAGNITUDE)

USUAL_NAMES = {
    NAME: ("name", "id"),
    RA: ("ra", "raj2000", "ra_icrs"),
    DEC: ("dec", "dej2000", "decj2000", "de_icrs"),
    CLASS: ("class", "label"),
    P_MAX: ("p_max",),
    MAGNITUDE: ("r", "mag_r", "rmag"),
}
"""What columns are called that nobody named, in letters of either case."""
_NEEDED = (RA, DEC, CLASS)
_CHUNK_ROWS = 500_000


@dataclass(frozen=True)
class Catalogue:
    """A catalogue whose columns are known.

    Attributes
    ----------
    chunks : tuple of Chunk
    column_map : ColumnMap
    class_name : str
        Column of the class.
    p_max, magnitude : str or None
        Their columns; None where it has none.
    """

    chunks: tuple[Chunk, ...]
    column_map: ColumnMap
    class_name: str
    p_max: str | None
    magnitude: str | None


def plan_catalogue(text: str, named: Mapping[str, str], settings: StoreSettings) -> Catalogue:
    """Find the tables of a catalogue and what its columns are called; no row is read.

    Parameters
    ----------
    text : str
        The work directory of a run, a HATS catalogue, or a file or glob of tables.
    named : mapping of role to column
        Roles are ``ROLES``; those that are not named are looked for under usual names.
    settings : StoreSettings

    Raises
    ------
    ConfigError
        When a column that is needed is not there.
    InputError
        When there are no tables, or one is damaged.
    """
    usual = dict(USUAL_NAMES)
    root = place(text, settings)
    if (root / "run.toml").exists():
        work = WorkDirectory(root.resolve())
        usual[MAGNITUDE] = _product_magnitudes(work.products / COLUMNS)
        text = str(work.products / "catalog")
    paths = find_files([text], settings)
    present = column_names(paths[0])
    columns = {role: find_column(role, named, usual[role], present, text) for role in ROLES}
    raw = {
        "name": text,
        "identifier": {"columns": [columns[NAME]]} if columns[NAME] else {"from_rows": True},
        "position": {"ra": columns[RA], "dec": columns[DEC]},
        "label": {"column": columns[CLASS]},
    }
    chunks = plan_chunks(paths, _CHUNK_ROWS)
    return Catalogue(
        chunks,
        ColumnMap.model_validate(raw),
        str(columns[CLASS]),
        columns[P_MAX],
        columns[MAGNITUDE],
    )


def _product_magnitudes(path: Place) -> tuple[str, ...]:
    return tuple(column.name.lower() for column in read_columns(path) if column.unit == "mag")


def find_column(
    role: str,
    named: Mapping[str, str],
    usual: tuple[str, ...],
    present: tuple[str, ...],
    text: str,
) -> str | None:
    """Find the column of a role: the one named, or one of a usual name."""
    wanted = (named[role].lower(),) if role in named else usual
    found = next((name for each in wanted for name in present if name.lower() == each), None)
    if found is None and (role in named or role in _NEEDED):
        raise ConfigError(
            f"the column {' or '.join(wanted)} of {text} was looked for as its {role}, but it has "
            f"{', '.join(present[:30])}; name the right one, such as {role}=COLUMN"
        )
    return found


def read_rows(catalogue: Catalogue) -> Iterator[pa.Table]:
    """Read a catalogue piece by piece; rows without a position are left out.

    Yields
    ------
    pyarrow.Table
        The spatial index, ``name``, ``ra``, ``dec`` (degrees), ``class`` (text in capitals, empty
        where there is none), ``p_max`` and ``magnitude`` (float64, NaN where unknown).

    Raises
    ------
    ConfigError
        When the column of the class holds fractions.
    """
    asked = (catalogue.class_name, catalogue.p_max, catalogue.magnitude)
    kept = tuple(name for name in asked if name is not None)
    for chunk in catalogue.chunks:
        rows = read_chunk(chunk, catalogue.column_map, tuple(dict.fromkeys(kept)))
        _check_class(rows, catalogue.class_name, chunk.label)
        rows = rows.filter(pa.array(np.isfinite(rows[RA].to_numpy() + rows[DEC].to_numpy())))
        yield pa.table(
            {
                SPATIAL_INDEX: spatial_index(rows[RA].to_numpy(), rows[DEC].to_numpy()),
                NAME: rows[NAME],
                RA: rows[RA],
                DEC: rows[DEC],
                CLASS: pc.utf8_upper(pc.fill_null(rows[LABEL], "")),
                P_MAX: _numbers(rows, catalogue.p_max, chunk.label),
                MAGNITUDE: _numbers(rows, catalogue.magnitude, chunk.label),
            }
        )


def _check_class(rows: pa.Table, column: str, where: str) -> None:
    """Refuse fractions, such as a probability: each number would be a class of its own."""
    values = rows[column]
    if not pa.types.is_floating(values.type):
        return
    numbers = values.drop_null().to_numpy()
    fractions = numbers[np.isfinite(numbers) & (numbers != np.rint(numbers))]
    if len(fractions):
        raise ConfigError(
            f"column {column} of {where} was looked for as its class, but it holds numbers such as "
            f"{fractions[0]:g}; name the right one: class=COLUMN"
        )


def _numbers(rows: pa.Table, column: str | None, where: str) -> pa.Array:
    if column is None:
        return pa.array(np.full(rows.num_rows, np.nan))
    return pa.array(column_numbers(rows, column, where).astype(np.float64))


def parse_columns(text: str | None) -> dict[str, str]:
    """Read ``role=column`` pairs as they stand on a command line.

    Raises
    ------
    ConfigError
        For another form, or a role that there is not.

    >>> parse_columns("class=CLASS,p_max=prob")
    {'class': 'CLASS', 'p_max': 'prob'}
    """
    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair.strip()]
    for role, sign, column in pairs:
        if not sign or role.strip() not in ROLES or not column.strip():
            raise ConfigError(
                f"columns {text!r} were given, but {role}{sign}{column} is not of the form "
                f"ROLE=COLUMN; roles are {', '.join(ROLES)}"
            )
    return {role.strip(): column.strip() for role, _, column in pairs}
