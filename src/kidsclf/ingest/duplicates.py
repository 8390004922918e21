"""One row a source, where overlapping tiles list it twice."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.schema import DEC, NAME, RA, CutCount, error_column
from kidsclf.sky.partition import INDEX_ORDER, spatial_index

_REASON = "listed again by an overlapping tile"
_CELL_ORDER = 18
"""HEALPix cells of 0.8 arcsec, finer than any partition: the rule cannot depend on the split."""


def drop_duplicates(
    table: pa.Table, reference_band: str | None = None
) -> tuple[pa.Table, CutCount]:
    """Keep of rows with the same name at the same place the best measured.

    The same place is the same HEALPix cell of 0.8 arcsec. Rows of one name at different places
    are different sources and all kept.

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
        some = table.take(doubled)
        keep[doubled[_best(some, _keys(some), reference_band)]] = True
        table = table.filter(pa.array(keep))
    return table, CutCount("duplicates", _REASON, len(keep), int((~keep).sum()))


def _keys(table: pa.Table) -> pa.Array:
    """Join name and cell; null without a name."""
    index = spatial_index(table[RA].to_numpy(), table[DEC].to_numpy())
    cells = pa.array(index >> (2 * (INDEX_ORDER - _CELL_ORDER))).cast(pa.string())
    names = table[NAME].combine_chunks().cast(pa.string())
    return pc.binary_join_element_wise(names, cells, "\n")


def _doubled_rows(table: pa.Table) -> NDArray[np.int64]:
    """List the rows whose name and place stand on another row too."""
    codes = _keys(table).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    counts = np.bincount(codes[codes >= 0], minlength=1)
    return np.flatnonzero((codes >= 0) & (counts[codes] > 1))


def _best(table: pa.Table, keys: pa.Array, reference_band: str | None) -> NDArray[np.int64]:
    """List the row of each key that sorts first."""
    columns = [] if reference_band is None else [error_column(reference_band)]
    columns += [column for column in table.column_names if column not in columns]
    keyed = table.append_column("key", keys)
    order = pc.sort_indices(
        keyed, sort_keys=[(column, "ascending") for column in ("key", *columns)]
    ).to_numpy()
    sorted_keys = keys.take(order)
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = pc.not_equal(sorted_keys[1:], sorted_keys[:-1]).to_numpy(zero_copy_only=False)
    best: NDArray[np.int64] = order[first].astype(np.int64)
    return best
