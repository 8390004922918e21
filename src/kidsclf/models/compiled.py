"""Compiled loops for a processor: sums of tabulated functions, and how close an answer is."""

import numpy as np
from numpy.typing import NDArray

from kidsclf.compiling import njit

CELLS = 4096
"""Equal cells between the first node and the last; each knows the node that comes before it."""


def cells(nodes: NDArray[np.float32], count: int = CELLS) -> NDArray[np.int32]:
    """Find for the left edge of each cell the last node at or before it.

    Parameters
    ----------
    nodes : float32 array (k,)
        Ascending.
    count : int
        Of the cells.

    Returns
    -------
    int32 array (count,)
        Between 0 and k - 2.
    """
    edges = np.linspace(nodes[0], nodes[-1], count + 1)[:-1]
    before = np.searchsorted(nodes, edges.astype(np.float32), side="right") - 1
    return np.clip(before, 0, len(nodes) - 2).astype(np.int32)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def sum_tables(  # type: ignore[no-untyped-def]
    photometry, centre, width_of, nodes, before, tables, bias, out
):
    """Fill each row of ``out`` with a bias and what the tables say of a row of photometry.

    Numbers are standardised, and clipped to between the first node and the last. Four tables are
    added at a time, so that a row of ``out`` goes through the registers a quarter as often. The
    order of the sums is that of the tables, whatever rows come before or after.

    Parameters
    ----------
    photometry : float32 array (n, features)
        NaN where missing, which is taken as the centre.
    centre, width_of : float32 arrays (features,)
        Of the standardisation.
    nodes : float32 array (k,)
    before : int32 array (CELLS,)
        Of ``cells``.
    tables : float32 array (features, k, width)
        Function of each feature at the nodes.
    bias : float32 array (width,)
    out : float32 array (n, width)
        Changed in place.
    """
    features, last = photometry.shape[1], len(nodes) - 2
    width = out.shape[1]
    scale = np.float32(CELLS) / (nodes[-1] - nodes[0])
    place, share = np.empty(features, np.int32), np.empty(features, np.float32)
    for row in range(len(photometry)):
        for feature in range(features):
            value = (photometry[row, feature] - centre[feature]) / width_of[feature]
            if value != value:  # noqa: PLR0124  (NaN is not itself)
                value = np.float32(0)
            value = min(max(value, nodes[0]), nodes[-1])
            node = before[min(int((value - nodes[0]) * scale), CELLS - 1)]
            # Rounding may put a value into the next cell.
            while node > 0 and value < nodes[node]:
                node -= 1
            while node < last and value >= nodes[node + 1]:
                node += 1
            place[feature] = node
            share[feature] = (value - nodes[node]) / (nodes[node + 1] - nodes[node])
        sums = out[row]
        sums[:] = bias
        first = 0
        while first + 4 <= features:
            right_0, right_1 = share[first], share[first + 1]
            right_2, right_3 = share[first + 2], share[first + 3]
            left_0, left_1 = np.float32(1) - right_0, np.float32(1) - right_1
            left_2, left_3 = np.float32(1) - right_2, np.float32(1) - right_3
            a_0, b_0 = tables[first, place[first]], tables[first, place[first] + 1]
            a_1, b_1 = tables[first + 1, place[first + 1]], tables[first + 1, place[first + 1] + 1]
            a_2, b_2 = tables[first + 2, place[first + 2]], tables[first + 2, place[first + 2] + 1]
            a_3, b_3 = tables[first + 3, place[first + 3]], tables[first + 3, place[first + 3] + 1]
            for unit in range(width):
                sums[unit] += (
                    left_0 * a_0[unit]
                    + right_0 * b_0[unit]
                    + left_1 * a_1[unit]
                    + right_1 * b_1[unit]
                    + left_2 * a_2[unit]
                    + right_2 * b_2[unit]
                    + left_3 * a_3[unit]
                    + right_3 * b_3[unit]
                )
            first += 4
        while first < features:
            right = share[first]
            left = np.float32(1) - right
            a, b = tables[first, place[first]], tables[first, place[first] + 1]
            for unit in range(width):
                sums[unit] += left * a[unit] + right * b[unit]
            first += 1


@njit(cache=True, nogil=True, error_model="numpy")
def lead_rows(probabilities, leads):  # type: ignore[no-untyped-def]
    """Say by how much the most probable class is ahead of the next.

    Parameters
    ----------
    probabilities : float32 array (n, classes)
        At least two classes, no NaN.
    leads : float32 array (n,)
        Changed in place.
    """
    for row in range(len(probabilities)):
        first, second = np.float32(-np.inf), np.float32(-np.inf)
        for k in range(probabilities.shape[1]):
            p = probabilities[row, k]
            second = max(second, min(first, p))
            first = max(first, p)
        leads[row] = first - second
