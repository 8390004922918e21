"""The nearest of a few hundred points, as a compiled loop for a processor."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nnan"})
def nearest_points(centred, maps, which, points, places, squares):  # type: ignore[no-untyped-def]
    """Map each row by a matrix of its own and find the nearest point.

    The order of the sums is fixed, so an answer is the same bits whatever rows come with it, and
    whatever the number of threads. Points lie side by side, so that a processor looks at several.

    Parameters
    ----------
    centred : float64 array (n, d)
        0 where a number is missing.
    maps : float64 array (m, d, d)
    which : int64 array (n,)
        Of the maps, the one to use.
    points : float32 array (d, k)
    places : int64 array (n,)
        Changed in place: the nearest point, of equal ones the first.
    squares : float32 array (n,)
        Changed in place: its squared distance.
    """
    dimensions, count = points.shape
    sums = np.empty(count, np.float32)
    mapped = np.empty(dimensions, np.float32)
    for row in range(len(centred)):
        matrix = maps[which[row]]
        for i in range(dimensions):
            total = 0.0
            for j in range(dimensions):
                total += matrix[i, j] * centred[row, j]
            mapped[i] = total
        for k in range(count):
            apart = mapped[0] - points[0, k]
            sums[k] = apart * apart
        for i in range(1, dimensions):
            value = mapped[i]
            for k in range(count):
                apart = value - points[i, k]
                sums[k] += apart * apart
        least = sums[0]
        for k in range(1, count):
            least = min(least, sums[k])
        place = 0
        while sums[place] != least and place < count - 1:
            place += 1
        places[row] = place
        squares[row] = least
