"""The nearest of a few hundred points, as a compiled loop for a processor."""

import numpy as np

from kidsclf.compiling import njit

LOOSE = {"contract", "reassoc"}


@njit(nogil=True, error_model="numpy", fastmath=LOOSE, forceinline=True)
def _map(numbers, centre, matrix, mapped):  # type: ignore[no-untyped-def]
    for i in range(len(mapped)):
        total = 0.0
        for j in range(len(centre)):
            number = np.float64(numbers[j])
            total += matrix[i, j] * (number - centre[j] if abs(number) < np.inf else 0.0)
        mapped[i] = total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=LOOSE)
def nearest_points(numbers, centre, maps, which, points, places, squares):  # type: ignore[no-untyped-def]
    """Map each row by a matrix of its own and find the nearest point.

    The order of the sums is fixed, so an answer is the same bits whatever rows come with it, and
    whatever the number of threads. Points lie side by side, so that a processor looks at several.

    Parameters
    ----------
    numbers : float32 array (n, d)
        One that is not finite is taken as the centre's.
    centre : float64 array (d,)
        What is taken off the numbers before they are mapped.
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
    sums, mapped = np.empty(count, np.float32), np.empty(dimensions, np.float32)
    # A square's bits, as a whole number, grow with it; of whole numbers a processor finds the least
    # of several at once, where the order of floating-point numbers has its zeros and NaN.
    bits, least_bits = sums.view(np.int32), squares.view(np.int32)
    for row in range(len(numbers)):
        _map(numbers[row], centre, maps[which[row]], mapped)
        sums[:] = 0
        first = 0
        while first + 4 <= dimensions:  # so that the sums are read and written a quarter as often
            # One by one: taken out of a slice, numba counts their holders in the loop.
            at_0, at_1 = mapped[first], mapped[first + 1]
            at_2, at_3 = mapped[first + 2], mapped[first + 3]
            points_0, points_1 = points[first], points[first + 1]
            points_2, points_3 = points[first + 2], points[first + 3]
            for k in range(count):
                apart_0, apart_1 = at_0 - points_0[k], at_1 - points_1[k]
                apart_2, apart_3 = at_2 - points_2[k], at_3 - points_3[k]
                sums[k] += (
                    apart_0 * apart_0 + apart_1 * apart_1 + apart_2 * apart_2 + apart_3 * apart_3
                )
            first += 4
        for i in range(first, dimensions):
            value = mapped[i]
            for k in range(count):
                apart = value - points[i, k]
                sums[k] += apart * apart
        least = bits[0]
        for k in range(1, count):
            least = min(least, bits[k])
        place = 0
        while bits[place] != least:
            place += 1
        places[row] = place
        least_bits[row] = least
