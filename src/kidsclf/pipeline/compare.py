"""Two catalogues of classes side by side: where they agree, and what changed.

Either may be a run's work directory or tables of any format that a survey may have. Both are
staged in pieces sorted by the sky, and matched a pixel of the sky at a time with what lies around
it, so that memory does not grow with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.errors import ConfigError
from kidsclf.ingest.crossmatch import mutual_nearest
from kidsclf.pipeline.compared_rows import CLASS, MAGNITUDE, P_MAX, Catalogue, read_rows
from kidsclf.pipeline.comparison import (
    CUBE,
    NOT_THERE,
    UNCLASSIFIED,
    Comparison,
    add_up,
    binned,
)
from kidsclf.places import Place
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX
from kidsclf.sky.partition import Partition
from kidsclf.sky.split import PixelCounts, split_sky
from kidsclf.store.parquet_product import parquet_table
from kidsclf.store.staging import StagedChunk, chunks_of, gather
from kidsclf.store.tables import write_table

WIDEST_ARCSEC = 30.0
"""Largest radius: twice as far a piece of the sky must see beyond its border."""

_ORDER = 9
"""Pixels of 7 arcmin: no piece of the sky is smaller."""
_MOST_ROWS = 200_000
"""Sources of both catalogues that are matched at a time, unless a pixel of 7 arcmin has more."""

CHANGED = pa.schema(
    [
        ("name_a", pa.string()),
        ("name_b", pa.string()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("separation_arcsec", pa.float64()),
        ("magnitude", pa.float64()),
        ("class_a", pa.string()),
        ("class_b", pa.string()),
        ("p_max_a", pa.float64()),
        ("p_max_b", pa.float64()),
    ]
)


def compare(a: Catalogue, b: Catalogue, radius_arcsec: float, output: Place) -> Comparison:
    """Match two catalogues, and write where they agree and what changed.

    A pair is each other's nearest within the radius. Written are ``agreement.parquet`` (the cube
    of ``Comparison``) and ``changed.parquet`` (a row for each pair whose classes differ).

    Parameters
    ----------
    a, b : Catalogue
    radius_arcsec : float
        Up to ``WIDEST_ARCSEC``.
    output : Place
        A folder.

    Raises
    ------
    ConfigError
        For another radius.
    InputError
        When a table is damaged.
    """
    if not 0.0 < radius_arcsec <= WIDEST_ARCSEC:
        raise ConfigError(
            f"catalogues were to be matched within {radius_arcsec:g} arcsec, but that must be "
            f"above 0 and at most {WIDEST_ARCSEC:g}; give another --radius"
        )
    with TemporaryDirectory(prefix="kidsclf-compare-") as scratch:
        sides = [
            _staged(each, Path(scratch) / name, 2 * radius_arcsec)
            for each, name in ((a, "a"), (b, "b"))
        ]
        found = _matched(sides[0], sides[1], radius_arcsec, output)
    table = pa.Table.from_pandas(found.cube, CUBE, preserve_index=False)
    write_table(output / "agreement.parquet", table)
    return found


@dataclass(frozen=True)
class _Side:
    """One catalogue, staged; ``occupied`` are the pixels that each chunk has rows in or near."""

    chunks: tuple[StagedChunk, ...]
    counts: PixelCounts
    occupied: tuple[NDArray[np.int64], ...]

    def rows_near(self, partitions: tuple[Partition, ...]) -> Iterator[pd.DataFrame]:
        """Give the rows in and around each partition."""
        for partition, holding in zip(
            partitions, chunks_of(partitions, self.occupied, _ORDER), strict=True
        ):
            chunks = [self.chunks[number] for number in holding]
            yield gather(chunks, partition).to_pandas() if chunks else _NO_ROWS


_NO_ROWS = pd.DataFrame(
    {
        SPATIAL_INDEX: np.empty(0, np.int64),
        NAME: np.empty(0, object),
        RA: np.empty(0),
        DEC: np.empty(0),
        CLASS: np.empty(0, object),
        P_MAX: np.empty(0),
        MAGNITUDE: np.empty(0),
    }
)


def _staged(catalogue: Catalogue, folder: Path, margin_arcsec: float) -> _Side:
    chunks, counts = [], []
    for number, rows in enumerate(read_rows(catalogue)):
        chunk = StagedChunk(folder / f"{number}.arrow", folder / f"{number}.parquet")
        chunk.write(rows, _ORDER, margin_arcsec)
        chunks.append(chunk)
        counts.append(chunk.read_counts(_ORDER))
    occupied = tuple(each.pixels for each in counts)
    return _Side(tuple(chunks), PixelCounts.merge(counts, _ORDER), occupied)


def _matched(a: _Side, b: _Side, radius_arcsec: float, output: Place) -> Comparison:
    """Match the sky piece by piece, writing what changed on the way."""
    together = PixelCounts.merge((a.counts, b.counts), _ORDER)
    most = max(_MOST_ROWS, int(together.rows.max(initial=0)))
    partitions = tuple(partition for partition, _ in split_sky(together, most))
    cube, matched, changed = add_up([]), 0, 0
    with parquet_table(output / "changed.parquet", CHANGED, {}) as append:
        near = zip(partitions, a.rows_near(partitions), b.rows_near(partitions), strict=True)
        for partition, rows_a, rows_b in near:
            pairs = _pairs(partition, rows_a, rows_b, radius_arcsec)
            both = pairs[(pairs["class_a"] != NOT_THERE) & (pairs["class_b"] != NOT_THERE)]
            differ = both[both["class_a"] != both["class_b"]]
            matched, changed = matched + len(both), changed + len(differ)
            append(pa.Table.from_pandas(differ[CHANGED.names], CHANGED, preserve_index=False))
            cube = add_up([cube, binned(pairs)])
    return Comparison(int(a.counts.rows.sum()), int(b.counts.rows.sum()), matched, changed, cube)


def _pairs(
    partition: Partition, a: pd.DataFrame, b: pd.DataFrame, radius_arcsec: float
) -> pd.DataFrame:
    """Match what lies in and around a partition; give what belongs to it, pairs where A lies."""
    places = [side[each].to_numpy(np.float64) for side in (a, b) for each in (RA, DEC)]
    ra_a, dec_a, ra_b, dec_b = places
    in_a, in_b, apart = mutual_nearest(ra_a, dec_a, ra_b, dec_b, radius_arcsec)
    own_a, own_b = (partition.contains(side[SPATIAL_INDEX].to_numpy()) for side in (a, b))
    own = own_a[in_a]
    both = _side_by_side(a.iloc[in_a[own]], b.iloc[in_b[own]], apart[own])
    own_a[in_a], own_b[in_b] = False, False
    only_a = _side_by_side(a[own_a], None, np.nan)
    only_b = _side_by_side(None, b[own_b], np.nan)
    return pd.concat([part for part in (both, only_a, only_b) if len(part)] or [both])


def _side_by_side(
    a: pd.DataFrame | None, b: pd.DataFrame | None, apart: NDArray[np.float64] | float
) -> pd.DataFrame:
    """Put what two catalogues say of the same sources in one table; place and magnitude are A's."""
    said = a if a is not None else b
    assert said is not None  # noqa: S101  # one of them is given
    columns: dict[str, Any] = {each: said[each].to_numpy() for each in (RA, DEC, MAGNITUDE)}
    for side, rows in (("a", a), ("b", b)):
        columns[f"name_{side}"] = "" if rows is None else rows[NAME].to_numpy()
        columns[f"p_max_{side}"] = np.nan if rows is None else rows[P_MAX].to_numpy()
        classes = NOT_THERE if rows is None else rows[CLASS].replace("", UNCLASSIFIED).to_numpy()
        columns[f"class_{side}"] = classes
    return pd.DataFrame({**columns, "separation_arcsec": apart}, index=range(len(said)))
