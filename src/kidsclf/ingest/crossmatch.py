"""Nearest neighbours of two tables on the sky, within a radius.

Ties have a rule, so that the answer is one and does not depend on how a tree was built: of
neighbours at exactly the same distance (float64, of unit vectors) the nearest is the one with the
lower row number.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from kidsclf.errors import InputError

ARCSEC = np.pi / (180.0 * 3600.0)
"""One arcsecond in radians."""

_SLACK = 1.0 + 1e-9
"""Neighbours whose distances a tree gives closer than this may be equal: they are compared anew."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def nearest(
    ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats, radius_arcsec: float
) -> tuple[Indices, Indices, Floats]:
    """Match two tables: each row of the first with its nearest of the second.

    Parameters
    ----------
    ra1, dec1 : float64 arrays (n,)
        Degrees, finite.
    ra2, dec2 : float64 arrays (m,)
        Degrees, finite. Fastest where rows that are neighbours on the sky are so in the table;
        rows at the same place should follow each other.
    radius_arcsec : float
        Largest separation, inclusive.

    Returns
    -------
    index1, index2 : int64 arrays (pairs,)
        Rows of the two tables, ascending in ``index1``. A row of the second may stand in several
        pairs.
    separation_arcsec : float64 array (pairs,)

    Raises
    ------
    InputError
        If a position is not finite.
    """
    one, other = unit_vectors(ra1, dec1), unit_vectors(ra2, dec2)
    index1, index2 = _nearest_rows(one, other, radius_arcsec)
    return _within(one, other, index1, index2, radius_arcsec)


def mutual_nearest(
    ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats, radius_arcsec: float
) -> tuple[Indices, Indices, Floats]:
    """Match two tables: pairs within the radius in which either is the other's nearest.

    Parameters, ties and errors are those of ``nearest``; the tables may change places.

    Returns
    -------
    index1, index2 : int64 arrays (pairs,)
        Rows of the two tables, ascending in ``index1``; no row stands in two pairs.
    separation_arcsec : float64 array (pairs,)

    >>> mutual_nearest(np.array([0.0]), np.array([0.0]), np.array([359.9999]), np.array([0.0]), 1.0)
    (array([0]), array([0]), array([0.36]))
    """
    one, other = unit_vectors(ra1, dec1), unit_vectors(ra2, dec2)
    if len(one) <= len(other):
        index1, index2 = _mutual_rows(one, other, radius_arcsec)
    else:  # few rows ask, and many are asked
        index2, index1 = _mutual_rows(other, one, radius_arcsec)
    order = np.argsort(index1)
    return _within(one, other, index1[order], index2[order], radius_arcsec)


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Turn positions in degrees into unit vectors (n, 3); there, RA 0 and the poles are nothing.

    Raises
    ------
    InputError
        If a position is not finite.
    """
    bad = ~(np.isfinite(ra) & np.isfinite(dec))
    if bad.any():
        raise InputError(
            f"a crossmatch was asked for but {int(bad.sum())} of {len(bad)} positions are not "
            f"finite; select finite coordinates first"
        )
    longitude, latitude = np.radians(ra), np.radians(dec)
    across = np.cos(latitude)
    vectors = (across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude))
    return np.stack(vectors, axis=1).astype(np.float64)


def chord(angle_arcsec: float) -> float:
    """Compute the straight distance on the unit sphere that spans an angle."""
    return float(2.0 * np.sin(angle_arcsec * ARCSEC / 2.0))


def _mutual_rows(one: Floats, other: Floats, radius_arcsec: float) -> tuple[Indices, Indices]:
    index1, index2 = _nearest_rows(one, other, radius_arcsec)
    asked, back = _nearest_rows(other[index2], one, radius_arcsec)
    mutual = back == index1[asked]
    return index1[asked][mutual], index2[asked][mutual]


def _nearest_rows(one: Floats, other: Floats, radius_arcsec: float) -> tuple[Indices, Indices]:
    """Give the rows of ``one`` that have a neighbour, ascending, and the nearest of each."""
    if len(one) == 0 or len(other) == 0:
        nothing = np.empty(0, np.int64)
        return nothing, nothing.copy()
    # Of rows at the same place the first stands for all: trees are slow on heaps.
    places = np.flatnonzero(np.append(True, (other[1:] != other[:-1]).any(axis=1)))
    tree = KDTree(other[places], balanced_tree=False, compact_nodes=False)
    reach = chord(radius_arcsec) * _SLACK
    distance, place = tree.query(one, k=2, distance_upper_bound=reach)
    index1 = np.flatnonzero(np.isfinite(distance[:, 0]))
    index2 = places[place[index1, 0]]
    for k in np.flatnonzero(distance[index1, 1] <= distance[index1, 0] * _SLACK):
        point = one[index1[k]]
        equals = places[tree.query_ball_point(point, distance[index1[k], 0] * _SLACK)]
        equals.sort()
        index2[k] = equals[np.argmin(_distances(point, other[equals]))]  # the first of equals
    return index1, index2


def _within(
    one: Floats, other: Floats, index1: Indices, index2: Indices, radius_arcsec: float
) -> tuple[Indices, Indices, Floats]:
    """Measure the separations of pairs, arcsec, and leave out those beyond the radius."""
    chords = _distances(one[index1], other[index2])
    separation = 2.0 * np.arcsin(np.minimum(chords / 2.0, 1.0)) / ARCSEC
    near = separation <= radius_arcsec
    return index1[near], index2[near], separation[near]


def _distances(one: Floats, other: Floats) -> Floats:
    """Measure chords: the same bits whatever stands beside a pair, and in either direction."""
    x, y, z = np.moveaxis((one - other) ** 2, -1, 0)
    return np.asarray(np.sqrt(x + y + z))
