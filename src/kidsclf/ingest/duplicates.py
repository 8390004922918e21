"""One row a source, where overlapping tiles list it twice."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.ingest.crossmatch import unit_vectors
from kidsclf.schema import DEC, NAME, RA, CutCount, error_column

SAME_PLACE_ARCSEC = 1.0
_REASON = "listed again by an overlapping tile"


def drop_duplicates(
    table: pa.Table, reference_band: str | None = None
) -> tuple[pa.Table, CutCount]:
    """Drop rows for which a better row of the same name lies within 1 arcsec.

    Parameters
    ----------
    table : pyarrow.Table
        Canonical columns; rows without a name are never duplicates, and rows of one name at
        different places are different sources.
    reference_band : str, optional
        The better row is that of smaller magnitude error in this band (a missing one is the
        worst). Of equals, or without a band, it is the first in the order of all columns; so the
        answer depends neither on the order of the rows nor on rows further away than 1 arcsec.

    Returns
    -------
    pyarrow.Table
        Rows that are kept, in their order.
    CutCount
    """
    doubled = doubled_rows(table, reference_band)
    return table.filter(pa.array(~doubled)), duplicates_cut(doubled)


def duplicates_cut(doubled: NDArray[np.bool_]) -> CutCount:
    """Count doubled rows for the cut flow."""
    return CutCount("duplicates", _REASON, len(doubled), int(doubled.sum()))


def doubled_rows(table: pa.Table, reference_band: str | None = None) -> NDArray[np.bool_]:
    """Say which rows have a better one of the same name within 1 arcsec, bool (n,)."""
    doubled = np.zeros(table.num_rows, np.bool_)
    names = table[NAME].combine_chunks()
    codes = names.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    counts = np.bincount(codes[codes >= 0], minlength=1)
    several = np.flatnonzero((codes >= 0) & (counts[codes] > 1))
    if len(several) == 0:
        return doubled
    order = several[_best_first(table.take(several), reference_band)]
    groups = codes[order]
    vectors = unit_vectors(table[RA].to_numpy()[order], table[DEC].to_numpy()[order])
    chord = 2 * np.sin(np.radians(SAME_PLACE_ARCSEC / 3600) / 2)
    for step in range(1, int(counts.max())):  # each row and that ``step`` places before it
        same = groups[step:] == groups[:-step]
        near = np.linalg.norm(vectors[step:] - vectors[:-step], axis=1) <= chord
        doubled[order[step:][same & near]] = True
    return doubled


def _best_first(table: pa.Table, reference_band: str | None) -> NDArray[np.int64]:
    """Sort by name, then best first."""
    columns = [NAME] if reference_band is None else [NAME, error_column(reference_band)]
    columns += [column for column in table.column_names if column not in columns]
    keys = [(column, "ascending") for column in columns]
    return np.asarray(pc.sort_indices(table, sort_keys=keys).to_numpy(), np.int64)
