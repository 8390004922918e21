"""Boosted trees asked as compiled loops for a processor.

A block of sources goes through a tree side by side. What a tree compares are not numbers but their
ranks among the numbers that the trees split them at: mostly bytes, of which a processor compares 64
at once. In the first levels nothing is looked up (``compiled_levels``). Further down each source
looks up its node.
"""

import math

import numpy as np

from kidsclf.compiling import njit
from kidsclf.models.compiled_levels import LANES, ask_levels
from kidsclf.models.vectors import data

GROUP = 16
"""Cuts that are compared at once; those of a feature and one more are whole groups."""
_FEW_GROUPS = 32

compiled = njit(cache=True, nogil=True, error_model="numpy")
# Not a licence to reorder: margins are to be those of XGBoost, bit for bit.


@compiled
def _rank(photometry, first, count, feature, cuts, lower, upper, most):  # type: ignore[no-untyped-def]
    """Count for each source the cuts at or below its number.

    Where it is missing, it is below all for the splits that send it left (``lower``), and above
    all for the others.
    """
    values, groups = np.empty(LANES, np.float32), np.zeros(LANES, np.int32)
    for lane in range(count):
        values[lane] = photometry[first + lane, feature]
    if (len(cuts) + 1) // GROUP > _FEW_GROUPS:
        _halve(values, cuts, groups)
    else:
        for last in range(GROUP - 1, len(cuts), GROUP):
            cut = cuts[last]
            for lane in range(LANES):
                groups[lane] += np.int32(cut <= values[lane])
    for lane in range(count):
        value, start, inside = values[lane], GROUP * groups[lane], np.int32(0)
        for k in range(GROUP - 1):
            inside += np.int32(cuts[start + k] <= value)
        lower[lane] = start + inside
        upper[lane] = start + inside if value == value else most  # noqa: PLR0124  (NaN is not itself)


@compiled
def _halve(values, cuts, groups):  # type: ignore[no-untyped-def]
    """Count the groups of cuts at or below each number."""
    half = (len(cuts) + 1) // GROUP // 2
    for lane in range(LANES):
        place, step = 0, half
        while step > 0:
            place += step if cuts[GROUP * (place + step) - 1] <= values[lane] else 0
            step //= 2
        groups[lane] = place


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
    photometry, cuts, counts, top, rows, limits, nodes, leaves, classes, start, ranks, out
):
    """Fill in the probability of each class.

    Parameters
    ----------
    photometry : float32 array (n, features)
        NaN where missing.
    cuts : float32 array (features, 2^k - 1)
        What the trees split a feature at, ascending; NaN after the last. At least 15.
    counts : int64 array (features,)
        How many there are.
    top : int
        Levels whose nodes are all asked.
    rows, limits : int32 arrays (trees, 2^top - 1)
        Of the nodes of these levels, as ``compiled_levels.ask_levels`` takes them.
    nodes : int64 array (trees, other nodes)
        Of the levels below, one after the other: the rank from which on a source goes right times
        2^32, and where the row of ``ranks`` starts that is compared.
    leaves : float32 array (trees, 2^depth)
    classes : int64 array (trees,)
        Whose margin a tree adds to.
    start : float32 array (classes,)
        Margins without trees.
    ranks : unsigned array (2 features, LANES)
        Room for the ranks, of 8 bits or 16.
    out : float32 array (n, classes)
        Changed in place.
    """
    features, trees, depth = photometry.shape[1], len(leaves), _log2(leaves.shape[1])
    places, wide = np.zeros(LANES, ranks.dtype), np.zeros(LANES, np.uint32)
    margins = np.empty((len(start), LANES), np.float32)
    for first in range(0, len(photometry), LANES):
        count = min(LANES, len(photometry) - first)
        for feature in range(features):
            lower, upper = ranks[feature], ranks[feature + features]
            _rank(photometry, first, count, feature, cuts[feature], lower, upper, counts[feature])
        for k in range(len(start)):
            margins[k] = start[k]
        for tree in range(trees):
            ask_levels(data(ranks), data(rows[tree]), data(limits[tree]), top, data(places))
            wide[:] = places
            for level in range(top, depth):
                below = (1 << level) - (1 << top)
                _look_up(ranks.reshape(-1), nodes[tree, below : below + (1 << level)], wide)
            _add_leaves(leaves[tree], wide, margins[classes[tree]])
        _softmax(margins[:, :count], out[first : first + count])


@compiled
def _log2(count):  # type: ignore[no-untyped-def]
    power = 0
    while (1 << power) < count:
        power += 1
    return power
