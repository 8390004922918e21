"""The match of point sources with a shifted PSF, as compiled loops for a processor."""

import math

import numpy as np

from kidsclf.compiling import njit

matched = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
part = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"}, forceinline=True)
"""What kernels are made of. Always inlined: else the process that compiles a kernel would run
another copy of its parts than those that load it, with other last bits."""

TINY_SHIFT_PX = 1e-6
"""Below it the kernel is 1 to rounding."""

TAPS = 9
"""Pixels that a kernel of four lobes to both sides touches, the ends of which are 0."""


@part
def _lanczos(shift, order, taps):  # type: ignore[no-untyped-def]
    """Fill the kernel that moves a profile back by parts of a pixel, from the largest lag on."""
    for k in range(TAPS):
        lag = order - k + shift
        if abs(lag) < TINY_SHIFT_PX:
            taps[k] = 1.0
        elif abs(lag) < order:
            angle = math.pi * lag
            taps[k] = order * math.sin(angle) * math.sin(angle / order) / (angle * angle)
        else:
            taps[k] = 0.0


@part
def _moved_rows(image, taps, order, moved):  # type: ignore[no-untyped-def]
    """Move an image along its first axis; what the edge cuts off is made up for."""
    size = image.shape[0]
    for i in range(size):
        row, total = moved[i], 0.0
        row[:] = np.float32(0)
        for k in range(TAPS):
            j = i - order + k
            if 0 <= j < size:
                total += taps[k]
                weight, line = np.float32(taps[k]), image[j]
                for m in range(size):
                    row[m] += weight * line[m]
        share = np.float32(1.0 / total)
        for m in range(size):
            row[m] *= share


@part
def _moved(image, rows, columns, order, first, turned, second):  # type: ignore[no-untyped-def]
    """Move an image along both axes; the result lies turned, columns first."""
    _moved_rows(image, rows, order, first)
    for i in range(image.shape[0]):
        for j in range(image.shape[0]):
            turned[j, i] = first[i, j]
    _moved_rows(turned, columns, order, second)


@matched
def matches(images, good, x, y, points, wides, order):  # type: ignore[no-untyped-def]
    """Sum the products of what is seen with two templates, and of these; see ``stellarity``.

    Gives those of wide and seen, point and seen, wide and point, point and point, (4, n).
    """
    n, size, side = images.shape[0], images.shape[1], points.shape[1]
    result, taps = np.zeros((4, n)), np.empty((2, TAPS))
    work = np.empty((4, side, side), dtype=np.float32)
    first, turned, point, wide = work[0], work[1], work[2], work[3]
    for s in range(n):
        column, row = int(np.round(x[s])), int(np.round(y[s]))
        _lanczos(row - y[s], order, taps[0])
        _lanczos(column - x[s], order, taps[1])
        t = s if points.shape[0] > 1 else 0
        _moved(points[t], taps[0], taps[1], order, first, turned, point)
        _moved(wides[t], taps[0], taps[1], order, first, turned, wide)
        for j in range(side):
            for i in range(side):
                v, u = row + j - side // 2, column + i - side // 2
                if 0 <= v < size and 0 <= u < size and good[s, v, u]:
                    here, near, far = images[s, v, u], point[i, j], wide[i, j]
                    result[0, s] += far * here
                    result[1, s] += near * here
                    result[2, s] += far * near
                    result[3, s] += near * near
    return result
