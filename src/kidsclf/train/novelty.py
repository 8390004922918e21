"""Learns what the photometry of a training sample looks like, to tell what it does not know.

Nothing here depends on the number of threads: sums over sources are taken in the order of the rows.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kidsclf.models.novelty import Floats, Novelty, expectation

CENTRES = 256
"""Points that stand for the sample; ``benchmarks/novelty.py`` compares them with other ways."""

_ROUNDS = 15
"""Of Lloyd's algorithm (1982); more of them change no answer that matters."""

_FILLINGS = 3
"""Times that missing magnitudes are filled in from a covariance, which then is measured anew."""


def learn_novelty(
    taught: NDArray[np.float32],
    codes: NDArray[np.int64],
    validation: NDArray[np.float32],
    bands: tuple[str, ...],
    seed: int,
) -> Novelty:
    """Learn from the sample that taught a network, and measure the one that validated it.

    Parameters
    ----------
    taught : float32 array (n, bands)
        AB magnitudes; NaN where missing. At least one source has a magnitude.
    codes : int64 array (n,)
        Classes.
    validation : float32 array (v, bands)
        Of sources that did not teach.
    bands : tuple of str
    seed : int
        Of the centres that are begun with.
    """
    some = np.isfinite(taught).any(axis=1)
    magnitudes, codes = taught[some].astype(np.float64), codes[some]
    centre, covariance, filled = _fill(magnitudes)
    within = filled.copy()
    for code in np.unique(codes):
        within[codes == code] -= filled[codes == code].mean(axis=0)
    scale = np.linalg.inv(np.linalg.cholesky(_covariance(within)))
    started = _first_points(filled - centre, scale, seed)
    learnt = Novelty(bands, centre, covariance, scale, started, np.empty(0, np.float32))
    learnt = _settle(learnt, filled)
    known = learnt.distances(validation)
    return replace(learnt, known=np.sort(known[np.isfinite(known)]))


def _fill(magnitudes: Floats) -> tuple[Floats, Floats, Floats]:
    """Give mean, covariance and the magnitudes with those filled in that are missing."""
    missing = ~np.isfinite(magnitudes)
    counts = (~missing).sum(axis=0)
    sums = np.where(missing, 0.0, magnitudes).sum(axis=0)
    filled = np.where(missing, sums / np.maximum(counts, 1), magnitudes)
    for _ in range(_FILLINGS):
        centre = filled.mean(axis=0)
        covariance = _covariance(filled - centre)
        centred = np.where(missing, 0.0, magnitudes - centre)
        for pattern in np.unique(missing, axis=0):
            rows = (missing == pattern).all(axis=1)
            matrix = expectation(covariance, pattern)
            filled[rows] = centre + np.einsum("ij,nj->ni", matrix, centred[rows])
    return centre, covariance, filled


def _covariance(centred: Floats) -> Floats:
    """Measure a covariance and shrink it towards its diagonal.

    The diagonal weighs as much as one source more than there are bands, which keeps the matrix
    regular however few the sources, and moves it by a thousandth where there are ten thousand.
    """
    count, bands = centred.shape
    measured = np.einsum("ni,nj->ij", centred, centred) / count
    variances = np.diagonal(measured)
    # A band without any variance, or without any source, is told in plain magnitudes.
    diagonal = np.diag(np.where(variances > 0, variances, 1.0))
    weight = bands + 1
    return np.asarray((count * measured + weight * diagonal) / (count + weight))


def _first_points(centred: Floats, scale: Floats, seed: int) -> NDArray[np.float32]:
    """Draw sources to begin with, in units of the scatter within a class."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(centred))[:CENTRES]
    return np.asarray(np.einsum("ij,nj->ni", scale, centred[np.sort(chosen)]), np.float32)


def _settle(learnt: Novelty, filled: Floats) -> Novelty:
    """Move each point to the mean of the sources that are nearest to it (Lloyd 1982)."""
    scaled = np.einsum("ij,nj->ni", learnt.scale, filled - learnt.centre)
    shown = filled.astype(np.float32)
    for _ in range(_ROUNDS):
        places, _ = learnt.nearest(shown)
        size = len(learnt.points)
        counts = np.bincount(places, minlength=size)
        sums = [np.bincount(places, weights=column, minlength=size) for column in scaled.T]
        means = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
        points = np.where(counts[:, None] > 0, means, learnt.points).astype(np.float32)
        learnt = replace(learnt, points=points)
    return learnt
