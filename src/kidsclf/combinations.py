"""Which combinations of yes and no occur among the rows of a table."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

_FEW_BYTES = 2
"""Combinations of so many times 8 are counted one by one, more are sorted."""


def combinations(rows: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """List the combinations that occur, and which one each row is.

    Parameters
    ----------
    rows : bool array (n, d)

    Returns
    -------
    bool array (combinations, d), int64 array (n,)
        Without a row, one combination, of no.

    Examples
    --------
    >>> found, which = combinations(np.array([[True, False], [False, False], [True, False]]))
    >>> found.tolist(), which.tolist()
    ([[False, False], [True, False]], [1, 0, 1])
    """
    width = rows.shape[1]
    if not len(rows):
        return np.zeros((1, width), bool), np.empty(0, np.int64)
    packed = np.packbits(rows, axis=1)
    is_few = packed.shape[1] <= _FEW_BYTES
    size = _FEW_BYTES if is_few else -(-packed.shape[1] // 8) * 8
    padded = np.zeros((len(rows), size), np.uint8)
    padded[:, : packed.shape[1]] = packed
    if is_few:
        occurring, which = _occurring(padded.view(np.uint16)[:, 0])
        bits = np.unpackbits(occurring.view(np.uint8).reshape(-1, size), axis=1, count=width)
        return bits.astype(bool), which
    words = padded.view(np.uint64)
    keys = words[:, 0] if words.shape[1] == 1 else words
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return rows[first], cast("NDArray[np.int64]", which.reshape(-1))


def _occurring(keys: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """List the numbers that occur, and which one each is, without sorting them."""
    occurs = np.zeros(1 << 16, bool)
    occurs[keys] = True
    return np.flatnonzero(occurs).astype(np.uint16), (np.cumsum(occurs) - 1)[keys]
