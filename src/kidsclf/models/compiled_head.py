"""A network of photometry from its magnitudes to its answer, as a compiled loop.

For processors with tiles (``tiles``). What a layer says of some sources stays in the caches until
the next has read it.
"""

import math

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kidsclf.compiling import njit
from kidsclf.models.compiled_pairs import sum_pairs
from kidsclf.models.tiles import SIDE, finish, multiply, release, set_up
from kidsclf.models.vectors import data

ROWS = 128
"""Sources at a time: kernels, which share the second-level cache with tables, are read so seldom,
and what a layer says of them still lies in it."""

MOST_CLASSES = SIDE // 2


def halves(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Split the last kernel (units, classes) in two of bfloat16, side by side in (units, 32).

    What they are together differs from the kernel by at most 2^-17 of it.
    """
    first = kernel.astype(ml_dtypes.bfloat16).astype(np.float32)
    both = np.zeros((len(kernel), SIDE), np.float32)
    both[:, : kernel.shape[1]] = first
    both[:, MOST_CLASSES : MOST_CLASSES + kernel.shape[1]] = kernel - first
    return both


@njit(nogil=True, error_model="numpy", forceinline=True)
def _add_layer(rows, kernel, bias, sums, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (rows, units) with ReLU(rows @ kernel + bias); ``sums`` is for its use."""
    for part in range(len(kernel)):
        at = part * SIDE
        for start in range(0, len(rows), SIDE):
            multiply(data(rows[start]), rows.shape[1], data(kernel[part]), data(sums))
            finish(data(sums), data(bias[at:]), data(out[start, at:]), out.shape[1])


@njit(nogil=True, error_model="numpy", forceinline=True)
def _answer(rows, kernel, bias, sums, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (n, classes) with softmax(rows @ kernel + bias); n is at most that of rows."""
    classes = len(bias)
    for start in range(0, len(out), SIDE):
        multiply(data(rows[start]), rows.shape[1], data(kernel), data(sums))
        for row in range(min(SIDE, len(out) - start)):
            most, total = np.float32(-np.inf), np.float32(0)
            for k in range(classes):
                sums[row, k] += sums[row, MOST_CLASSES + k] + bias[k]
                most = max(most, sums[row, k])
            for k in range(classes):
                sums[row, k] = math.exp(sums[row, k] - most)
                total += sums[row, k]
            for k in range(classes):
                out[start + row, k] = sums[row, k] / total


@njit(cache=True, nogil=True, error_model="numpy")
def answer_rows(photometry, tables, layers, last, rooms, ready, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (n, classes) with probabilities.

    Parameters
    ----------
    photometry : float32 array (n, features)
        NaN where missing.
    tables : tuple of arrays
        What ``compiled_pairs.sum_pairs`` takes between photometry and ``out``.
    layers : tuple of (kernel, bias), three
        Of the layers between the first of the head and the last: ``tiles.packed``, float32.
    last : tuple of (kernel, bias)
        ``tiles.packed`` of the kernel in two halves (``halves``), and float32 (classes,).
    rooms : tuple of arrays
        uint16 (``ROWS``, units) of what each layer says, and float32 (32, 32).
    ready : uint8 array
        ``tiles.configuration``.
    out : float32 array (n, classes)
        Changed in place.
    """
    (kernel_1, bias_1), (kernel_2, bias_2), (kernel_3, bias_3) = layers
    told, first, second, third, sums = rooms
    set_up(data(ready))
    for start in range(0, len(photometry), ROWS):
        count = min(ROWS, len(photometry) - start)
        sum_pairs(photometry[start : start + count], *tables, told[:count])
        _add_layer(told, kernel_1, bias_1, sums, first)
        _add_layer(first, kernel_2, bias_2, sums, second)
        _add_layer(second, kernel_3, bias_3, sums, third)
        _answer(third, last[0], last[1], sums, out[start : start + count])
    release()
