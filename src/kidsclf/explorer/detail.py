"""All that a run knows of one source."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.errors import ConfigError
from kidsclf.explorer.catalogue import Explored, stretches_at
from kidsclf.explorer.sources import neighbours
from kidsclf.pipeline.infer import CLASS, FLAGS
from kidsclf.schema import (
    DEC,
    NAME,
    RA,
    SPATIAL_INDEX,
    ScoreFlag,
    calibrated_column,
    error_column,
    magnitude_column,
    probability_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore

NEIGHBOURS_ARCSEC = 30.0
MOST_NEIGHBOURS = 50
_LARGEST_WHOLE = 2**53
"""Beyond it a browser's numbers leave integers out."""

Record = dict[str, Any]
_PLACE = (SPATIAL_INDEX, NAME, RA, DEC)


def detail(explored: Explored, index: int, name: str) -> Record:
    """Tell all of a source but for its stamps.

    Returns
    -------
    dict
        ``source`` (its row of the catalogue), ``flags`` by name, ``photometry`` a band, ``scores``
        a network, ``labels`` a sample, ``features``, ``others`` (further columns of the survey)
        and ``neighbours`` within ``NEIGHBOURS_ARCSEC``. What is not known is None.

    Raises
    ------
    ConfigError
        When there is no such source.
    """
    partition, source = _partition(explored, index, name), source_row(explored, index, name)
    measured = _row(HatsCatalogue(explored.work.catalogue), partition, index, name)
    if measured is None:
        raise _no_source(index, name)
    photometry = _photometry(measured)
    return {
        "source": source | {SPATIAL_INDEX: str(index)},
        "flags": flag_names(int(source[FLAGS])),
        "photometry": photometry,
        "scores": _scores(explored, partition, index, name),
        "labels": _labels(explored, partition, index, name),
        "features": _beside(explored, partition, index, name),
        "others": _others(measured, photometry),
        "stamps": list(explored.config.cutouts.bands) if explored.config.has_images else [],
        "neighbours": _neighbours(explored, source, index),
    }


def source_row(explored: Explored, index: int, name: str) -> Record:
    """Read the row of a source in the catalogue.

    Raises
    ------
    ConfigError
        When there is no such source.
    """
    row = _row(explored.store, _partition(explored, index, name), index, name)
    if row is None:
        raise _no_source(index, name)
    return row


def stamp(explored: Explored, index: int, name: str, band: str) -> NDArray[np.float32]:
    """Read the stamp of a source, float32 (size, size), maggies; NaN where there is no image.

    Raises
    ------
    ConfigError
        When there is no such source or band.
    """
    bands = explored.config.cutouts.bands if explored.config.has_images else ()
    if band not in bands:
        raise ConfigError(
            f"a stamp in the band {band[:40]!r} was asked for, but this run has cut "
            f"{', '.join(bands) or 'none'}; give one of those"
        )
    partition = _partition(explored, index, name)
    known = HatsCatalogue(explored.work.catalogue).read(partition, [SPATIAL_INDEX, NAME])
    here = pc.and_(pc.equal(known[SPATIAL_INDEX], index), pc.equal(known[NAME], name))
    rows = np.flatnonzero(here.to_numpy())
    if len(rows) == 0:
        raise _no_source(index, name)
    stamps = CutoutStore(explored.work.cutouts).read(partition, known[NAME], [band], rows[:1])
    return np.asarray(stamps[band][0])


def flag_names(bits: int) -> list[str]:
    """Name the flags that are set.

    >>> flag_names(33)
    ['EXTRAPOLATED', 'MISSING_BAND']
    """
    return [flag.name or "" for flag in ScoreFlag if bits & flag.value]


def rows_of(table: pa.Table) -> list[Record]:
    """Turn rows into records for JSON: a spatial index as text, NaN and infinity as None."""
    rows = _records(table)
    for row in rows:
        if SPATIAL_INDEX in row:
            row[SPATIAL_INDEX] = str(row[SPATIAL_INDEX])
    return rows


def plain(value: Any) -> Any:
    """Give a value of a table as one that JSON has and a browser does not alter.

    What is no number is None; integers beyond 2^53, which a browser would round, and all that JSON
    has no word for (times, dates, decimals) are texts, bytes in hexadecimal digits.

    >>> plain([math.nan, 2**53, 2**53 + 1, b"ab"])
    [None, 9007199254740992, '9007199254740993', '6162']
    """
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and abs(value) <= _LARGEST_WHOLE:
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


def _partition(explored: Explored, index: int, name: str) -> Partition:
    partition = explored.partition_of(index)
    if partition is None:
        raise _no_source(index, name)
    return partition


def _no_source(index: int, name: str) -> ConfigError:
    return ConfigError(
        f"the source {name[:80]!r} at {index} was asked for, but the catalogue has none there; "
        f"choose one that it shows"
    )


def _row(store: HatsCatalogue, partition: Partition, index: int, name: str) -> Record | None:
    """Read the row of a source; None where the table does not have it."""
    if not store.exists(partition):
        return None
    rows = store.read(partition, None, stretches_at(np.array([index], np.int64)))
    rows = rows.filter(pc.equal(rows[NAME], name))
    return _records(rows.slice(0, 1))[0] if len(rows) else None


def _records(table: pa.Table) -> list[Record]:
    return [{key: plain(value) for key, value in row.items()} for row in _readable(table)]


def _readable(table: pa.Table) -> list[Record]:
    """Turn rows into values of Python; times, which may be finer than its own, as texts."""
    for place, column in enumerate(table.schema):
        if pa.types.is_temporal(column.type) and not pa.types.is_duration(column.type):
            texts = table[column.name].cast(pa.string())
            table = table.set_column(place, column.name, texts)
    return list(table.to_pylist())


def _photometry(measured: Record) -> list[Record]:
    """List magnitude and error of each band, in the order of the catalogue."""
    prefix, error = magnitude_column(""), error_column("")
    named = [key for key in measured if key.startswith(prefix) and not key.startswith(error)]
    bands = [key.removeprefix(prefix) for key in named]
    return [
        {
            "band": band,
            "magnitude": measured[magnitude_column(band)],
            "error": measured.get(error_column(band)),
        }
        for band in bands
    ]


def _others(measured: Record, photometry: Iterable[Record]) -> Record:
    bands = [each["band"] for each in photometry]
    known = {column(band) for band in bands for column in (magnitude_column, error_column)}
    return {key: value for key, value in measured.items() if key not in {*known, *_PLACE}}


def _scores(explored: Explored, partition: Partition, index: int, name: str) -> list[Record]:
    found = []
    for network in explored.config.train.networks:
        row = _row(HatsCatalogue(explored.work.scores(network)), partition, index, name)
        if row is None:
            continue
        kinds = (("raw", probability_column), ("calibrated", calibrated_column))
        said: Record = {
            kind: [row.get(column(each)) for each in explored.classes] for kind, column in kinds
        }
        known = {column(each) for each in explored.classes for _, column in kinds}
        rest = {key: value for key, value in row.items() if key not in {*known, *_PLACE}}
        rest[FLAGS] = flag_names(int(row[FLAGS]))
        found.append({"network": network, **said, **rest})
    return found


def _labels(explored: Explored, partition: Partition, index: int, name: str) -> list[Record]:
    found = []
    for sample in explored.config.samples:
        row = _row(HatsCatalogue(explored.work.sample(sample)), partition, index, name)
        if row is not None:
            found.append({"sample": sample} | {k: v for k, v in row.items() if k not in _PLACE})
    return found


def _beside(explored: Explored, partition: Partition, index: int, name: str) -> Record | None:
    row = _row(HatsCatalogue(explored.work.features), partition, index, name)
    return None if row is None else {k: v for k, v in row.items() if k not in _PLACE}


def _neighbours(explored: Explored, source: Record, index: int) -> Record:
    radius = NEIGHBOURS_ARCSEC / 3600.0
    found = neighbours(explored, source[RA], source[DEC], radius, MOST_NEIGHBOURS + 1)
    rows = [
        row
        for row in rows_of(found.rows)
        if (row[SPATIAL_INDEX], row[NAME]) != (str(index), source[NAME])
    ]
    return {"rows": rows, "cut": found.cut, "radius_arcsec": NEIGHBOURS_ARCSEC}


def class_of(record: Record) -> str:
    """Give the class of a source's record."""
    return str(record["source"][CLASS])
