"""What follows from a source's probabilities, as compiled loops for a processor."""

import math

import numpy as np

from kidsclf.compiling import njit

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def summarise_rows(probabilities, unclassified, codes, largest, entropy):  # type: ignore[no-untyped-def]
    """Fill in what ``score.summarise`` gives of each row of probabilities.

    Parameters
    ----------
    probabilities : float32 array (n, classes)
        A row with a NaN is a source without an answer.
    unclassified : int
        Its code.
    codes : int64 array (n,)
        Changed in place, as what follows.
    largest, entropy : float32 arrays (n,)
    """
    for row in range(len(probabilities)):
        code, most, total, is_known = 0, probabilities[row, 0], 0.0, True
        for k in range(probabilities.shape[1]):
            p = probabilities[row, k]
            is_known = is_known and math.isfinite(p)
            if p > most:
                code, most = k, p
            if p > 0:
                total -= np.float64(p) * math.log(np.float64(p))
        codes[row] = code if is_known else unclassified
        largest[row] = most if is_known else np.float32(np.nan)
        entropy[row] = max(total, 0.0) if is_known else np.nan


@compiled
def calibrate_rows(probabilities, temperature, least, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (n, classes) with softmax(ln p / temperature), where p is at least ``least``."""
    classes = probabilities.shape[1]
    powers = np.empty(classes, np.float64)
    for row in range(len(probabilities)):
        most = -np.inf
        for k in range(classes):
            p = np.float64(probabilities[row, k])
            powers[k] = math.log(max(p, least)) / temperature
            most = max(most, powers[k])
        total = 0.0
        for k in range(classes):
            powers[k] = math.exp(powers[k] - most)
            total += powers[k]
        for k in range(classes):
            out[row, k] = powers[k] / total
