"""Passes over the pixels of stamps as compiled loops: one where array formulas need five.

Stamps come flat, (n, pixels), and lines are taken out before the loops over their pixels: only then
does the compiler see that it can work on many pixels at once. Threads can run them side by side.
"""

import numpy as np

from kidsclf import schema
from kidsclf.compiling import njit

NAN_CODE = np.float32(schema.NAN_CODE)

_WITHOUT_SIGN = np.int32(0x7FFF_FFFF)
_INFINITE = np.int32(0x7F80_0000)

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def peak_bits(bits):  # type: ignore[no-untyped-def]
    """Find the largest absolute value of each stamp that is not NaN, or 0.

    Parameters
    ----------
    bits : int32 array (n, pixels)
        Of float32 numbers. Without their signs they are in the order of the numbers, and NaN are
        above infinity; a largest integer is found many at a time, a largest float is not.

    Returns
    -------
    int32 array (n,)
        Bits of float32 numbers.
    """
    peaks = np.zeros(len(bits), np.int32)
    for row in range(len(bits)):
        line, peak = bits[row], np.int32(0)
        for pixel in range(len(line)):
            size = line[pixel] & _WITHOUT_SIGN
            peak = max(peak, size if size <= _INFINITE else np.int32(0))
        peaks[row] = peak
    return peaks


@compiled
def differences(stamps, first, second):  # type: ignore[no-untyped-def]
    """Take the absolute differences of pairs of pixels (int64, k) of each stamp (n, pixels).

    NaN, where one of the two is NaN or 0, which is no data.
    """
    found = np.empty((len(stamps), len(first)), np.float32)
    for row in range(len(stamps)):
        line, to = stamps[row], found[row]
        for pair in range(len(first)):
            one, other = line[first[pair]], line[second[pair]]
            no_data = one == np.float32(0.0) or other == np.float32(0.0)
            to[pair] = np.float32(np.nan) if no_data else abs(one - other)
    return found


@compiled
def medians(ordered):  # type: ignore[no-untyped-def]
    """Take the median of each row, and count its values.

    Parameters
    ----------
    ordered : float32 array (n, k)
        Each row ascending, NaN at its end and left out.

    Returns
    -------
    medians : float32 array (n,)
        NaN for a row of NaN.
    values : int64 array (n,)
    """
    found = np.full(len(ordered), np.float32(np.nan))
    values = np.zeros(len(ordered), np.int64)
    for row in range(len(ordered)):
        line = ordered[row]
        count = len(line)
        while count and np.isnan(line[count - 1]):
            count -= 1
        values[row] = count
        if count:
            found[row] = np.float32(0.5) * (line[(count - 1) // 2] + line[count // 2])
    return found, values


@compiled
def quantise(stamps, step, codes, rows):  # type: ignore[no-untyped-def]
    """Divide stamps by their steps and round to the nearest whole number; NaN is ``NAN_CODE``.

    Parameters
    ----------
    stamps : float32 array (n, pixels)
    step : float32 array (n,)
        Such that no quotient is above 32,767.
    codes : int16 array (m, pixels)
        Gets the result, in ``rows`` (int64, n).
    """
    for row in range(len(rows)):
        line, to, unit = stamps[row], codes[rows[row]], step[row]
        for pixel in range(len(line)):
            code = line[pixel] / unit
            code = NAN_CODE if np.isnan(code) else code
            to[pixel] = np.int16(np.int32(np.rint(code)))


@compiled
def dequantise(codes, step, stamps):  # type: ignore[no-untyped-def]
    """Multiply codes (n, pixels) by their steps (n,) into float32 ``stamps``; see ``quantise``."""
    for row in range(len(codes)):
        line, to, unit = codes[row], stamps[row], step[row]
        for pixel in range(len(line)):
            code = np.float32(line[pixel])
            to[pixel] = code * unit if code != NAN_CODE else np.float32(np.nan)
