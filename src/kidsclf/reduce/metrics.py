"""Precision, recall and their kin from a confusion matrix.

Feng et al., section 3.2, equations 3-6. What is undefined (0/0) is NaN, never 0 or 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class MatrixScores:
    """Scores of a confusion matrix of k classes.

    Attributes
    ----------
    support, true_positive, false_positive, false_negative : int64 arrays (k,)
    precision : float64 array (k,)
        TP / (TP + FP), eq. 4: purity. NaN where nothing was predicted to be of the class.
    recall : float64 array (k,)
        TP / (TP + FN), eq. 5: completeness. NaN where the class has no member.
    f1 : float64 array (k,)
        Eq. 6, written 2 TP / (2 TP + FP + FN): the same wherever precision and recall exist,
        and 0 for a class that has members of which none is found. NaN where it has no member.
    accuracy : float
        Correct / all. Eq. 3 is this with more than two classes.
    balanced_accuracy : float
        Mean recall of the classes that have members.
    """

    support: Counts
    true_positive: Counts
    false_positive: Counts
    false_negative: Counts
    precision: Floats
    recall: Floats
    f1: Floats
    accuracy: float
    balanced_accuracy: float


def matrix_scores(matrix: Counts) -> MatrixScores:
    """Compute the scores of a confusion matrix.

    Parameters
    ----------
    matrix : int64 array (k, k + 1)
        Rows are true classes, columns predicted ones; the last column is "unclassified", which
        is a false negative of its class and a false positive of none.

    Examples
    --------
    >>> scores = matrix_scores(np.array([[8, 1, 1], [0, 0, 0]]))
    >>> scores.precision.tolist(), scores.recall.tolist(), scores.accuracy
    ([1.0, 0.0], [0.8, nan], 0.8)
    """
    square = matrix[:, :-1]
    true_positive = np.diagonal(square).astype(np.int64)
    support = matrix.sum(axis=1)
    false_positive = square.sum(axis=0) - true_positive
    false_negative = support - true_positive
    errors = false_positive + false_negative
    recall = ratio(true_positive, support)
    f1 = ratio(2 * true_positive, 2 * true_positive + errors)
    known = recall[support > 0]
    return MatrixScores(
        support=support,
        true_positive=true_positive,
        false_positive=false_positive,
        false_negative=false_negative,
        precision=ratio(true_positive, true_positive + false_positive),
        recall=recall,
        f1=np.where(support > 0, f1, np.nan),
        accuracy=float(ratio(true_positive.sum(), support.sum())),
        balanced_accuracy=float(known.mean()) if len(known) else float("nan"),
    )


def ratio(part: Counts, whole: Counts) -> Floats:
    """Divide counts; NaN where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    quotient = np.full(part.shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient


def binomial_interval(part: int, whole: int) -> tuple[float, float]:
    """Give the bounds of a fraction, at one standard deviation (68.3 %).

    Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22, 209; advised for few sources by
    Brown, Cai & DasGupta 2001, Stat. Sci. 16, 101): it holds the fraction itself, and has a width
    at fractions of 0 and 1 too. NaN where the whole is 0.

    >>> binomial_interval(0, 4)
    (0.0, 0.2)
    """
    if whole == 0:
        return float("nan"), float("nan")
    middle, half = part + 0.5, math.sqrt(part * (whole - part) / whole + 0.25)
    return max((middle - half) / (whole + 1), 0.0), min((middle + half) / (whole + 1), 1.0)


def count_each(numbers: Counts) -> dict[str, int]:
    """Count how often each number occurs, below some ten thousand; those below 0 are left out.

    >>> count_each(np.array([3, -1, 3, 0]))
    {'0': 1, '3': 2}
    """
    counts = np.bincount(numbers[numbers >= 0])
    filled = np.flatnonzero(counts)
    return dict(zip(map(str, filled.tolist()), counts[filled].tolist(), strict=True))


def count_cube(
    slots: Counts, true: Counts, predicted: Counts, shape: tuple[int, int]
) -> list[list[list[int]]]:
    """Count sources by slot, true class and predicted class.

    Parameters
    ----------
    slots, true, predicted : int64 arrays (n,)
    shape : (number of slots, number of classes k)

    Returns
    -------
    nested lists (slots, k, k + 1)
    """
    number_of_slots, k = shape
    flat = (slots * k + true) * (k + 1) + predicted
    counts = np.bincount(flat, minlength=number_of_slots * k * (k + 1))
    cube: list[list[list[int]]] = counts.reshape(number_of_slots, k, k + 1).tolist()
    return cube
