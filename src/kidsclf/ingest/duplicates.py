"""One row a source, where overlapping tiles list it twice."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.schema import NAME, CutCount, error_column

_REASON = "listed again by an overlapping tile"


def drop_duplicates(
    table: pa.Table, reference_band: str | None = None
) -> tuple[pa.Table, CutCount]:
    """Keep of rows with the same name the best measured.

    Parameters
    ----------
    table : pyarrow.Table
        Canonical columns; rows without a name are never duplicates.
    reference_band : str, optional
        The row of smallest magnitude error in this band is kept (a missing one is the worst). Of
        equals, or without a band, the first in the order of all columns is; so the answer does not
        depend on the order of the rows.

    Returns
    -------
    pyarrow.Table
        Rows that are kept, in their order.
    CutCount
    """
    doubled = _doubled_rows(table)
    keep = np.ones(table.num_rows, dtype=np.bool_)
    if len(doubled):
        keep[doubled] = False
        keep[doubled[_best(table.take(doubled), reference_band)]] = True
        table = table.filter(pa.array(keep))
    return table, CutCount("duplicates", _REASON, len(keep), int((~keep).sum()))


def _doubled_rows(table: pa.Table) -> NDArray[np.int64]:
    """List the rows whose name stands on another row too."""
    names = table[NAME].combine_chunks()
    codes = names.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    counts = np.bincount(codes[codes >= 0], minlength=1)
    return np.flatnonzero((codes >= 0) & (counts[codes] > 1))


def _best(table: pa.Table, reference_band: str | None) -> NDArray[np.int64]:
    """List the row of each name that sorts first."""
    keys = [NAME]
    if reference_band is not None:
        keys.append(error_column(reference_band))
    keys += [column for column in table.column_names if column not in keys]
    order = pc.sort_indices(table, sort_keys=[(key, "ascending") for key in keys]).to_numpy()
    names = table[NAME].combine_chunks().take(order)
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = pc.not_equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)
    best: NDArray[np.int64] = order[first].astype(np.int64)
    return best
