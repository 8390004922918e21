"""Pairs of sources of two tables that are each other's nearest neighbour on the sky."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from kidsclf.errors import InputError

ARCSEC = np.pi / (180.0 * 3600.0)
"""One arcsecond in radians."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def mutual_nearest(
    ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats, radius_arcsec: float
) -> tuple[Indices, Indices, Floats]:
    """Match two tables: pairs within the radius in which either is the other's nearest.

    Parameters
    ----------
    ra1, dec1 : float64 arrays (n,)
        Degrees, finite.
    ra2, dec2 : float64 arrays (m,)
        Degrees, finite.
    radius_arcsec : float
        Largest separation, inclusive.

    Returns
    -------
    index1, index2 : int64 arrays (pairs,)
        Rows of the two tables, ascending in ``index1``; no row stands in two pairs. Of neighbours
        at exactly the same distance the one with the lower row number is the nearest.
    separation_arcsec : float64 array (pairs,)

    Raises
    ------
    InputError
        If a position is not finite.

    >>> mutual_nearest(np.array([0.0]), np.array([0.0]), np.array([359.9999]), np.array([0.0]), 1.0)
    (array([0]), array([0]), array([0.36]))
    """
    one, other = unit_vectors(ra1, dec1), unit_vectors(ra2, dec2)
    if len(one) == 0 or len(other) == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing.copy(), np.empty(0)
    # All pairs within the radius, of which there are few; a tree query of the single nearest
    # would leave it to the tree which of two equals it gives.
    reach = chord(radius_arcsec) * (1.0 + 1e-9)
    pairs = KDTree(one).sparse_distance_matrix(KDTree(other), reach, output_type="ndarray")
    index1, index2 = pairs["i"].astype(np.int64), pairs["j"].astype(np.int64)
    distance = np.linalg.norm(one[index1] - other[index2], axis=1)
    separation = 2.0 * np.arcsin(np.minimum(distance / 2.0, 1.0)) / ARCSEC
    mutual = (
        _is_nearest(index1, separation, index2)
        & _is_nearest(index2, separation, index1)
        & (separation <= radius_arcsec)
    )
    kept = np.flatnonzero(mutual)
    kept = kept[np.argsort(index1[kept])]
    return index1[kept], index2[kept], separation[kept]


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


def _is_nearest(owner: Indices, separation: Floats, neighbour: Indices) -> NDArray[np.bool_]:
    """Mark, of the pairs of each owner, the one of smallest separation, then smallest row."""
    order = np.lexsort((neighbour, separation, owner))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = owner[order][1:] != owner[order][:-1]
    nearest = np.empty(len(order), dtype=np.bool_)
    nearest[order] = first
    return nearest
