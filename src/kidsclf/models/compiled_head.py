"""A network of photometry from its magnitudes to its answer, as a compiled loop.

For processors with tiles (``tiles``). What a layer says of some sources stays in the caches until
the next has read it.
"""

import math

import numpy as np

from kidsclf.compiling import njit
from kidsclf.models.compiled_pairs import sum_pairs
from kidsclf.models.nearest import LOOSE
from kidsclf.models.tiles import SIDE, finish, multiply, release, set_up
from kidsclf.models.vectors import data

ROWS = 128
"""Sources at a time: kernels, which share the second-level cache with tables, are read so seldom,
and what a layer says of them still lies in it."""


@njit(nogil=True, error_model="numpy", forceinline=True)
def _add_layer(rows, kernel, bias, sums, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (rows, units) with ReLU(rows @ kernel + bias); ``sums`` is for its use."""
    for part in range(len(kernel)):
        at = part * SIDE
        for start in range(0, len(rows), SIDE):
            multiply(data(rows[start]), rows.shape[1], data(kernel[part]), data(sums))
            finish(data(sums), data(bias[at:]), data(out[start, at:]), out.shape[1])


@njit(nogil=True, error_model="numpy", fastmath=LOOSE, forceinline=True)
def _answer(bits, kernel, bias, values, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (classes,) with softmax(row @ kernel + bias), of a row's bits of bfloat16."""
    words = values.view(np.uint32)
    for unit in range(len(bits)):
        words[unit] = np.uint32(bits[unit]) << np.uint32(16)
    most, total = np.float32(-np.inf), np.float32(0)
    for k in range(len(out)):
        said = np.float32(0)
        for unit in range(len(bits)):
            said += values[unit] * kernel[k, unit]
        out[k] = said + bias[k]
        most = max(most, out[k])
    for k in range(len(out)):
        out[k] = math.exp(out[k] - most)
        total += out[k]
    for k in range(len(out)):
        out[k] /= total


@njit(cache=True, nogil=True, error_model="numpy")
def answer_rows(photometry, tables, layers, last, ready, out):  # type: ignore[no-untyped-def]
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
        float32 arrays (classes, units) and (classes,).
    ready : uint8 array
        ``tiles.configuration``.
    out : float32 array (n, classes)
        Changed in place.
    """
    (kernel_1, bias_1), (kernel_2, bias_2), (kernel_3, bias_3) = layers
    told = np.zeros((ROWS, kernel_1.shape[1] * SIDE), np.uint16)
    first = np.empty((ROWS, len(bias_1)), np.uint16)
    second = np.empty((ROWS, len(bias_2)), np.uint16)
    third = np.empty((ROWS, len(bias_3)), np.uint16)
    sums, values = np.empty((SIDE, SIDE), np.float32), np.empty(len(bias_3), np.float32)
    set_up(data(ready))
    for start in range(0, len(photometry), ROWS):
        count = min(ROWS, len(photometry) - start)
        sum_pairs(photometry[start : start + count], *tables, told[:count])
        _add_layer(told, kernel_1, bias_1, sums, first)
        _add_layer(first, kernel_2, bias_2, sums, second)
        _add_layer(second, kernel_3, bias_3, sums, third)
        for row in range(count):
            _answer(third[row], last[0], last[1], values, out[start + row])
    release()
