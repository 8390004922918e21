"""How far a network's probabilities may be believed: a temperature, and prediction sets.

Both are read off the sources that the network was validated on. Those also chose the epoch that
was kept, so they are not quite new to it; what that costs is measured on the test sample by the
reductions ``calibration`` and ``prediction_sets``.

*Temperature* (Guo et al. 2017, arXiv:1706.04599, section 4.2). The calibrated probabilities are
softmax(ln p / T), with the T of the smallest mean -ln p(true class). The logarithm of a softmax
is its input less a number that is the same for all classes, so this is Guo's formula, and it
serves trees too. Classes keep their order: T makes a network more or less sure, and nothing else.

*Sets*, by split-conformal prediction for each class alone (Vovk 2012, arXiv:1209.2673; Sadinle,
Lei & Wasserman 2019, arXiv:1609.00451). A class is in the set of a source if its calibrated
probability reaches the class's threshold: the ``ceil((n + 1) coverage)``-th largest among the n
validation sources of that class. If a new source of the class comes from the same distribution,
its set holds the class with at least that probability, whatever the network.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from kidsclf.combinations import combinations
from kidsclf.infer.compiled import calibrate_rows

_TINY = float(np.finfo(np.float32).tiny)
"""Stands for a probability that underflowed."""

_WIDEST_LOG = math.log(20.0)
"""T is looked for between 1/20 and 20."""

_DIGITS = 4
"""Decimals of T, so that the number that is told is the number that was used."""


@dataclass(frozen=True)
class Calibration:
    """What turns a network's probabilities into ones to be believed.

    Attributes
    ----------
    temperature : float
        Above 1 where the network was too sure of itself.
    thresholds : tuple of float
        Calibrated probability, within [0, 1], from which on a class is in the prediction set; in
        the order of the classes. 0, so always in, where too few sources of it were known.
    """

    temperature: float
    thresholds: tuple[float, ...]


def fit_calibration(
    probabilities: NDArray[np.float32], codes: NDArray[np.int64], coverage: float
) -> Calibration:
    """Fit temperature and thresholds to sources of known class.

    Parameters
    ----------
    probabilities : float32 array (n, classes)
        A row of NaN, a source without an answer, is left out.
    codes : int64 array (n,)
        True classes.
    coverage : float
        Within (0, 1): the share of each class whose sets are to hold it.
    """
    answered = np.isfinite(probabilities).all(axis=1)
    probabilities, codes = probabilities[answered], codes[answered]
    temperature = _temperature(probabilities, codes)
    calibrated = calibrate(probabilities, temperature)
    return Calibration(
        temperature,
        tuple(
            _set_threshold(calibrated[codes == code, code], coverage)
            for code in range(probabilities.shape[1])
        ),
    )


def _temperature(probabilities: NDArray[np.float32], codes: NDArray[np.int64]) -> float:
    """Minimise the mean -ln p(true class) over ln T.

    A normal prior of width 1 on ln T weighs as much as a source or two. Without it, a small
    sample in which every answer is right would ask for T = 0, and make all answers certain.
    """
    rows = np.arange(len(codes))

    def loss(log_temperature: float) -> float:
        logs = _log_softmax(probabilities, math.exp(log_temperature))
        return float(log_temperature**2 / 2 - logs[rows, codes].sum())

    best = minimize_scalar(loss, bounds=(-_WIDEST_LOG, _WIDEST_LOG), method="bounded")
    return round(math.exp(best.x), _DIGITS)


def _set_threshold(said: NDArray[np.float32], coverage: float) -> float:
    """Give the conformal threshold from what n sources of a class got for it."""
    rank = math.ceil(round((len(said) + 1) * coverage, 9))
    return 0.0 if rank > len(said) else float(np.sort(said)[-rank])


def calibrate(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Scale probabilities by a temperature.

    Parameters
    ----------
    probabilities : float32 array (n, classes)
    temperature : float
        Above 0; 1 changes nothing.

    Returns
    -------
    float32 array (n, classes)
        Rows sum to 1; NaN where the probabilities are.

    Examples
    --------
    >>> calibrate(np.array([[0.8, 0.2]], np.float32), 2.0).round(3).tolist()
    [[0.6669999957084656, 0.3330000042915344]]
    """
    calibrated = np.empty(probabilities.shape, np.float32)
    calibrate_rows(probabilities, temperature, _TINY, calibrated)
    return calibrated


def _log_softmax(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    scaled = np.log(np.maximum(probabilities.astype(np.float64), _TINY)) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    logs: NDArray[np.float64] = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return logs


def prediction_sets(
    calibrated: NDArray[np.float32], thresholds: Sequence[float]
) -> NDArray[np.bool_]:
    """Say which classes are in the set of each source, bool array (n, classes).

    A set may be empty: the source looks like no class. One without an answer (NaN) always is.
    """
    return np.asarray(calibrated >= np.array(thresholds, np.float32))


def set_names(inside: NDArray[np.bool_], classes: Sequence[str]) -> pa.Array:
    """Write sets as text, (n,): classes in their order, joined by "+".

    >>> set_names(np.array([[True, True], [False, False]]), ("STAR", "QSO")).to_pylist()
    ['STAR+QSO', '']
    """
    sets, which = combinations(inside)
    names = ["+".join(itertools.compress(classes, each)) for each in sets]
    return pa.array(names, pa.string()).take(pa.array(which))


def sets_from_names(names: pa.ChunkedArray, classes: Sequence[str]) -> NDArray[np.bool_]:
    """Read back what `set_names` wrote, bool array (n, classes)."""
    encoded = names.combine_chunks().dictionary_encode()
    kinds = [kind.split("+") for kind in encoded.dictionary.to_pylist()]
    inside = np.zeros((len(kinds), len(classes)), bool)
    for row, kind in enumerate(kinds):
        inside[row] = [name in kind for name in classes]
    which: NDArray[np.int32] = encoded.indices.to_numpy()
    return inside[which]
