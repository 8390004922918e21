"""Ask the catalogue of a run: which sources lie there, of which class, how surely.

Only the partitions that a cone touches are opened, and of them only the row groups that it
touches. Without a cone every partition is looked at, but the other columns are read only of row
groups that hold an answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from kidsclf import __version__
from kidsclf.errors import ConfigError, StoreError
from kidsclf.pipeline.query_partition import Question, find_rows
from kidsclf.pipeline.read_ahead import read_ahead
from kidsclf.places import Place, is_local, open_parquet
from kidsclf.schema import SPATIAL_INDEX, ScoreFlag, calibrated_column
from kidsclf.sky.cone import Cone
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.fits_product import Cards
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.products import COLUMNS, open_product, read_columns
from kidsclf.store.receipts import ASKED_AT_ONCE

_IN_DEGREES = {"arcsec": 1 / 3600, "arcmin": 1 / 60, "deg": 1.0}
_LOCAL_AT_ONCE = 2


@dataclass(frozen=True)
class Answer:
    """How many sources were found, and how many partitions were opened to find them."""

    rows: int
    opened: int
    partitions: int


def cone_of(ra: str, dec: str, radius: str) -> Cone:
    """Read a cone as it stands on a command line.

    Parameters
    ----------
    ra, dec : str
        Degrees, ICRS; right ascensions of any turn are taken.
    radius : str
        A number of degrees, or with its unit: ``30arcsec``, ``2.5arcmin``, ``0.1deg``.

    Raises
    ------
    ConfigError
        When one is not a number, or not on the sphere.

    >>> cone_of("-1", "90", "36arcsec")
    Cone(ra=359.0, dec=90.0, radius_deg=0.01)
    """
    try:
        right, north = float(ra), float(dec)
    except ValueError:
        right = north = np.nan
    if not (np.isfinite(right) and abs(north) <= 90.0):
        raise ConfigError(
            f"--cone {ra} {dec} {radius} was asked for, but {ra} {dec} is no place on the sky; "
            f"give right ascension and declination in degrees"
        )
    return Cone(right % 360.0, north, radius_deg(radius))


def radius_deg(text: str) -> float:
    """Read a radius, degrees where no unit is given.

    Raises
    ------
    ConfigError
        When it is not a number, or not above 0 and at most 180 degrees.

    >>> radius_deg("0.5"), radius_deg("30arcmin")
    (0.5, 0.5)
    """
    unit = next((unit for unit in _IN_DEGREES if text.strip().endswith(unit)), "")
    try:
        size = float(text.strip().removesuffix(unit)) * _IN_DEGREES[unit or "deg"]
    except ValueError:
        size = np.nan
    if not 0.0 < size <= 180.0:
        raise ConfigError(
            f"a radius of {text!r} was asked for, but that is no angle above 0 and up to 180 "
            f"degrees; give one such as 0.1 (degrees), 2.5arcmin or 30arcsec"
        )
    return size


def flags_of(option: str, text: str | None, all_of_them: str = "") -> int:
    """Add up the bits of named flags as they stand on a command line.

    Parameters
    ----------
    option : str
        Its name, for complaints.
    text : str or None
        Names of ``ScoreFlag`` in letters of either case, separated by commas.
    all_of_them : str
        A word that stands for all flags, if there is one.

    Raises
    ------
    ConfigError
        For a name that is none.

    >>> flags_of("--flags", "extrapolated,TRAINED_ON"), flags_of("--flags", None)
    (65, 0)
    """
    bits, known = 0, {flag.name or "": flag.value for flag in ScoreFlag}
    if all_of_them and text is not None and text.strip().lower() == all_of_them:
        return sum(known.values())
    for name in text.split(",") if text is not None else ():
        if name.strip().upper() not in known:
            raise ConfigError(
                f"{option} {text} was asked for, but {name!r} is no flag; name some of "
                f"{', '.join(known)}{f', or {all_of_them}' if all_of_them else ''}"
            )
        bits |= known[name.strip().upper()]
    return bits


def answer(work: WorkDirectory, question: Question, form: str, output: Place) -> Answer:
    """Write the sources that are asked for to a file, in the order of the sky.

    Parameters
    ----------
    work : WorkDirectory
        Of a run that has written its catalogue.
    question : Question
    form : str
        ``fits``, ``parquet``, ``votable`` or ``csv``.
    output : Place
        Appears whole at the end.

    Raises
    ------
    ConfigError
        When a column or class is asked for that the catalogue does not have.
    StoreError
        When there is no catalogue, or it is damaged.
    """
    store = HatsCatalogue(work.products / "catalog")
    everywhere = catalogue_partitions(store)
    touched = concerned(everywhere, question.cone)
    with open_parquet(store.path(everywhere[0])) as file:
        whole = file.schema_arrow
    names = _columns(question, whole)
    schema = pa.schema([whole.field(name) for name in names])
    columns, rows = read_columns(work.products / COLUMNS), 0
    find = partial(find_rows, store, question, names)
    ahead = _LOCAL_AT_ONCE if is_local(work.root) else ASKED_AT_ONCE
    with open_product(form, output, schema, columns, _cards(question)) as append:
        for found in read_ahead(find, touched, ahead):
            if found.num_rows:
                append(found)
                rows += found.num_rows
    return Answer(rows, len(touched), len(everywhere))


def catalogue_partitions(store: HatsCatalogue) -> tuple[Partition, ...]:
    """List the partitions of a finished catalogue in the order of the sky.

    Raises
    ------
    StoreError
        When there is none.
    """
    if not (store.root / "partition_info.csv").exists():
        raise StoreError(
            f"a catalogue was to be asked, but there is none at {store.root}; give the folder of a "
            f"run whose stage reduce has ended"
        )
    return store.partitions()


def concerned(partitions: Sequence[Partition], cone: Cone | None) -> Sequence[Partition]:
    """List the partitions that a cone may touch; without one, all."""
    if cone is None:
        return partitions
    touched = SkyIndex.of_partitions(partitions).touching(cone.stretches())
    return [partitions[place] for place in touched]


def _columns(question: Question, whole: pa.Schema) -> tuple[str, ...]:
    everything = tuple(name for name in whole.names if name != SPATIAL_INDEX)
    classes = catalogue_classes(everything)
    if question.class_name and question.class_name.upper() not in classes:
        raise ConfigError(
            f"--class {question.class_name} was asked for, but the classes are "
            f"{', '.join(classes)}; give one of those"
        )
    if question.p_min is not None and not 0.0 <= question.p_min <= 1.0:
        raise ConfigError(
            f"--pmin {question.p_min:g} was asked for, but a probability lies between 0 and 1; "
            f"give one that does"
        )
    if question.flags & question.without_flags:
        raise ConfigError(
            "--flags and --without-flags name the same flag, but no source has it and lacks it; "
            "take it out of one of them"
        )
    for name in question.columns or ():
        if name not in whole.names:
            raise ConfigError(
                f"--columns asks for {name}, but the catalogue has {', '.join(whole.names)}; name "
                f"some of those"
            )
    return tuple(dict.fromkeys(question.columns)) if question.columns else everything


def catalogue_classes(names: Sequence[str]) -> list[str]:
    """List the classes of a catalogue: those with a probability, raw and calibrated."""
    found = (name[2:].upper() for name in names if name.startswith("p_"))
    return [each for each in found if calibrated_column(each) in names]


def _cards(question: Question) -> Cards:
    """Write what was asked, for the file's header."""
    return dict(_said(question))


def _said(question: Question) -> Iterator[tuple[str, tuple[str | float, str]]]:
    yield "ORIGIN", (f"kidsclf {__version__}", "program that wrote this table")
    yield "RADESYS", ("ICRS", "reference frame")
    if question.cone is not None:
        yield "CONE_RA", (question.cone.ra, "degrees: centre of the circle asked for")
        yield "CONE_DEC", (question.cone.dec, "degrees")
        yield "CONE_RAD", (question.cone.radius_deg, "degrees")
    if question.class_name is not None:
        yield "CLASS", (question.class_name, "class asked for")
    if question.p_min is not None:
        yield "PMIN", (question.p_min, "least p_max asked for")
    if question.flags:
        yield "FLAGS", (question.flags, "bits of flags that are set")
    if question.without_flags:
        yield "NOFLAGS", (question.without_flags, "bits of flags that are not set")
