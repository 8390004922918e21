"""One row a source, where overlapping tiles list it twice."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.spatial import KDTree

from kidsclf.ingest.crossmatch import chord, unit_vectors
from kidsclf.schema import DEC, NAME, RA, CutCount, error_column


@dataclass(frozen=True)
class DuplicateRule:
    """Which rows are one source.

    Attributes
    ----------
    by : {"identifier", "position"}
        Rows of one identifier, or rows of different tiles, that lie within the radius.
    radius_arcsec : float
    reference_band : str, optional
        The better row is that of smaller magnitude error in this band (a missing one is the
        worst). Of equals, or without a band, it is the first in the order of all columns.
    tile_column : str, optional
        What tells the tiles apart, for ``position``.
    """

    by: Literal["identifier", "position"] = "identifier"
    radius_arcsec: float = 1.0
    reference_band: str | None = None
    tile_column: str | None = None


def duplicates_cut(doubled: NDArray[np.bool_], rule: DuplicateRule) -> CutCount:
    """Count doubled rows for the cut flow."""
    whose = "under the same identifier " if rule.by == "identifier" else ""
    reason = f"listed {whose}by another row within {rule.radius_arcsec:g} arcsec, which is better"
    return CutCount("duplicates", reason, len(doubled), int(doubled.sum()))


def doubled_rows(table: pa.Table, rule: DuplicateRule) -> NDArray[np.bool_]:
    """Say which rows have a better one of the same source within the radius.

    Whether the better row has itself a better one does not matter. So the answer for a row depends
    neither on the order of the rows nor on rows further away than the radius.

    Parameters
    ----------
    table : pyarrow.Table
        Canonical columns. A row without an identifier is never doubled by identifier, and a row
        without a tile never by position.

    Returns
    -------
    bool array (n,)
    """
    doubled = np.zeros(table.num_rows, np.bool_)
    groups = _codes(table, NAME if rule.by == "identifier" else str(rule.tile_column))
    candidates = np.flatnonzero(groups >= 0)
    if rule.by == "identifier":
        candidates = candidates[
            np.bincount(groups[candidates], minlength=1)[groups[candidates]] > 1
        ]
    if len(candidates) < 2:
        return doubled
    near = _near_pairs(table, candidates, rule.radius_arcsec)
    same = groups[near[:, 0]] == groups[near[:, 1]]
    pairs = near[same if rule.by == "identifier" else ~same]
    involved, place = np.unique(pairs, return_inverse=True)
    rank = np.empty(len(involved), np.int64)
    rank[_best_first(table.take(involved), rule)] = np.arange(len(involved))
    ranks = rank[place.reshape(pairs.shape)]
    doubled[np.where(ranks[:, 0] > ranks[:, 1], pairs[:, 0], pairs[:, 1])] = True
    return doubled


def _codes(table: pa.Table, column: str) -> NDArray[np.int64]:
    """Number the different values of a column; -1 for null."""
    encoded = table[column].combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, np.int64)


def _near_pairs(
    table: pa.Table, rows: NDArray[np.int64], radius_arcsec: float
) -> NDArray[np.int64]:
    """List the pairs of some rows that lie within the radius, inclusive, int64 (pairs, 2)."""
    vectors = unit_vectors(table[RA].to_numpy()[rows], table[DEC].to_numpy()[rows])
    reach = chord(radius_arcsec)
    # The tree rounds when it leaves branches out: let it find some more than asked for.
    pairs = KDTree(vectors).query_pairs(reach * (1.0 + 1e-9), output_type="ndarray")
    distance = np.linalg.norm(vectors[pairs[:, 0]] - vectors[pairs[:, 1]], axis=1)
    found: NDArray[np.int64] = rows[pairs[distance <= reach]]
    return found


def _best_first(table: pa.Table, rule: DuplicateRule) -> NDArray[np.int64]:
    first = [error_column(rule.reference_band)] if rule.reference_band is not None else []
    last = [rule.tile_column] if rule.tile_column is not None else []
    between = [column for column in table.column_names if column not in (*first, *last)]
    keys = [(column, "ascending") for column in (*first, *between, *last)]
    return np.asarray(pc.sort_indices(table, sort_keys=keys).to_numpy(), np.int64)
