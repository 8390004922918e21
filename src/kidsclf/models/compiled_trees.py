"""Boosted trees asked as compiled loops for a processor.

A block of sources goes through a tree side by side. What a tree compares are not numbers but their
ranks among the numbers that the trees split them at: mostly bytes, of which a processor compares 32
or 64 at once. In the first levels, where nodes are few, every source is held against all of them,
and the answer of its own is kept; so nothing is looked up. Further down each looks up its node.
"""

import math

import numpy as np
from numba import njit

LANES = 256
"""Sources of a block; the first loops over them are short enough for the fastest memory."""

TOGETHER = 4
"""Nodes of a level that are asked in one loop; the last two bits of a place choose among them."""

compiled = njit(cache=True, nogil=True, error_model="numpy")
# Not a licence to reorder: margins are to be those of XGBoost, bit for bit.


@compiled
def _rank(photometry, first, count, feature, cuts, lower, upper, most):  # type: ignore[no-untyped-def]
    """Count for each source the cuts at or below its number, by halving.

    Where it is missing, it is below all for the splits that send it left (``lower``), and above
    all for the others.
    """
    half = (len(cuts) + 1) // 2
    for lane in range(count):
        value = photometry[first + lane, feature]
        place, step = 0, half
        while step > 0:
            place += step if cuts[place + step - 1] <= value else 0
            step //= 2
        lower[lane] = place
        upper[lane] = place if value == value else most  # noqa: PLR0124  (NaN is not itself)


@compiled
def _ask_four(ranks, rows, cuts, places, right, group):  # type: ignore[no-untyped-def]
    """Let the sources whose place is in a group of four nodes know whether they go right.

    Plain bytes throughout, so that the loop becomes a few instructions for 32 of them.
    """
    row_0, row_1, row_2, row_3 = ranks[rows[0]], ranks[rows[1]], ranks[rows[2]], ranks[rows[3]]
    cut_0, cut_1, cut_2, cut_3 = cuts[0], cuts[1], cuts[2], cuts[3]
    none, one, two, others = np.uint8(0), np.uint8(1), np.uint8(2), np.uint8(256 - TOGETHER)
    start = np.uint8(TOGETHER * group)
    for lane in range(LANES):
        place = places[lane]
        of_0, of_1 = row_0[lane] >= cut_0, row_1[lane] >= cut_1
        of_2, of_3 = row_2[lane] >= cut_2, row_3[lane] >= cut_3
        odd = np.uint8(place & one) != none
        of_first = of_1 if odd else of_0
        of_last = of_3 if odd else of_2
        answer = of_last if np.uint8(place & two) != none else of_first
        here = np.uint8(place & others) == start
        right[lane] = np.uint8(right[lane] | np.uint8(answer & here))


@compiled
def _descend(places, right):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        places[lane] = np.uint8(places[lane] + places[lane] + right[lane])
        right[lane] = 0


@compiled
def _look_up(ranks, nodes, places):  # type: ignore[no-untyped-def]
    """Go one level down, each source from its own node."""
    for lane in range(LANES):
        place = places[lane]
        node = nodes[place]
        rank = ranks[np.uint32(np.uint32(node) + np.uint32(lane))]
        goes_left = np.int64(rank) < (node >> 32)
        places[lane] = np.uint32(np.uint32(place + place) + np.uint32(0 if goes_left else 1))


@compiled
def _add_leaves(leaves, places, margins):  # type: ignore[no-untyped-def]
    for lane in range(LANES):
        margins[lane] += leaves[places[lane]]


@compiled
def _softmax(margins, out):  # type: ignore[no-untyped-def]
    """Fill (n, classes) from margins (classes, LANES), as XGBoost rounds it."""
    classes = len(margins)
    for lane in range(len(out)):
        largest = margins[0, lane]
        for k in range(1, classes):
            largest = max(largest, margins[k, lane])
        total = 0.0
        for k in range(classes):
            out[lane, k] = math.exp(margins[k, lane] - largest)
            total += out[lane, k]
        for k in range(classes):
            out[lane, k] /= np.float32(total)


@compiled
def ask_trees(  # type: ignore[no-untyped-def]
    photometry, cuts, counts, top, rows, ranks_at, nodes, leaves, classes, start, ranks, out
):
    """Fill in the probability of each class.

    Parameters
    ----------
    photometry : float32 array (n, features)
        NaN where missing.
    cuts : float32 array (features, 2^k - 1)
        What the trees split a feature at, ascending; NaN after the last.
    counts : int64 array (features,)
        How many there are.
    top : int
        Levels whose nodes are all asked.
    rows : int64 array (trees, slots)
        Of the nodes of the top levels: the row of ``ranks`` to compare. A level has room for at
        least ``TOGETHER`` nodes.
    ranks_at : unsigned array (trees, slots)
        The rank from which on a source goes right.
    nodes : int64 array (trees, other nodes)
        Of the levels below, one after the other: that rank times 2^32, and row times ``LANES``.
    leaves : float32 array (trees, 2^depth)
    classes : int64 array (trees,)
        Whose margin a tree adds to.
    start : float32 array (classes,)
        Margins without trees.
    ranks : unsigned array (2 features, LANES)
        Room for the ranks, of the type of ``ranks_at``.
    out : float32 array (n, classes)
        Changed in place.
    """
    features, trees, depth = photometry.shape[1], len(leaves), _log2(leaves.shape[1])
    flat = ranks.reshape(-1)
    places, right = np.zeros(LANES, np.uint8), np.zeros(LANES, np.uint8)
    wide = np.zeros(LANES, np.uint32)
    margins = np.empty((len(start), LANES), np.float32)
    for first in range(0, len(photometry), LANES):
        count = min(LANES, len(photometry) - first)
        for feature in range(features):
            lower, upper = ranks[feature], ranks[feature + features]
            _rank(photometry, first, count, feature, cuts[feature], lower, upper, counts[feature])
        for k in range(len(start)):
            margins[k] = start[k]
        for tree in range(trees):
            places[:] = 0
            slot = 0
            for level in range(top):
                for group in range(max(TOGETHER, 1 << level) // TOGETHER):
                    four = slice(slot, slot + TOGETHER)
                    _ask_four(ranks, rows[tree, four], ranks_at[tree, four], places, right, group)
                    slot += TOGETHER
                _descend(places, right)
            wide[:] = places
            for level in range(top, depth):
                below = (1 << level) - (1 << top)
                _look_up(flat, nodes[tree, below : below + (1 << level)], wide)
            _add_leaves(leaves[tree], wide, margins[classes[tree]])
        _softmax(margins[:, :count], out[first : first + count])


@compiled
def _log2(count):  # type: ignore[no-untyped-def]
    power = 0
    while (1 << power) < count:
        power += 1
    return power
