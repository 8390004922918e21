"""The nearest of a few hundred points, as a compiled loop for a processor."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kidsclf.compiling import njit
from kidsclf.models.vectors import (
    INT32,
    INT64,
    NOTHING,
    NUMBERS,
    WORDS,
    all_of,
    data,
    loaded,
    repeated,
    stored,
)

LOOSE = {"contract", "reassoc"}

TOGETHER = NUMBERS.count
"""The number of points is a multiple of it."""


def _nearest_of_lanes(
    _: Any, points: Any, at: Any, dimensions: Any, count: Any, squares: Any, places: Any
) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        points, at, dimensions, count, squares, places = arguments
        least, where = (cgutils.alloca_once(builder, WORDS) for _ in range(2))  # type: ignore[no-untyped-call]
        builder.store(all_of(WORDS, 2**31 - 1), least)
        builder.store(all_of(WORDS, 0), where)
        total = cgutils.alloca_once(builder, NUMBERS)  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, builder.sdiv(count, ir.Constant(INT64, TOGETHER))) as outer:
            first = builder.mul(outer.index, ir.Constant(INT64, TOGETHER))
            builder.store(ir.Constant(NUMBERS, [0.0] * TOGETHER), total)
            with cgutils.for_range(builder, dimensions) as inner:
                word = builder.load(
                    builder.bitcast(builder.gep(at, [inner.index]), INT32.as_pointer())
                )
                start = builder.add(builder.mul(inner.index, count), first)
                apart = builder.fsub(
                    builder.bitcast(repeated(builder, word, WORDS), NUMBERS),
                    loaded(builder, points, start, NUMBERS),
                )
                square = builder.fmul(apart, apart, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), square, flags=["contract"]), total)
            # A square's bits, as a whole number, grow with it.
            bits, before = builder.bitcast(builder.load(total), WORDS), builder.load(least)
            is_less = builder.icmp_signed("<", bits, before)
            chunk = builder.trunc(first, INT32)
            numbers = repeated(builder, chunk, WORDS)
            builder.store(builder.select(is_less, bits, before), least)
            builder.store(builder.select(is_less, numbers, builder.load(where)), where)
        nothing = ir.Constant(INT64, 0)
        stored(builder, builder.load(least), squares, nothing)
        stored(builder, builder.load(where), places, nothing)
        return NOTHING

    return types.void(points, at, dimensions, count, squares, places), generate


nearest_of_lanes: Any = intrinsic(_nearest_of_lanes)
"""Finds the least square of every 16th point, from the first, the second, ... on, and its place.

It takes the addresses of ``points``, float32, dimension after dimension, and of where one is
``at``, float32; the numbers of dimensions and points; and the addresses of 16 int32 each, which are
filled in: the bits of the least squares, and the place of the first of each 16 points among which
it is.
"""


@njit(nogil=True, error_model="numpy", fastmath=LOOSE, forceinline=True)
def _map(numbers, centre, matrix, sums, mapped):  # type: ignore[no-untyped-def]
    sums[:] = 0.0
    for j in range(len(centre)):
        number = np.float64(numbers[j])
        value = number - centre[j] if abs(number) < np.inf else 0.0
        for i in range(len(sums)):
            sums[i] += matrix[j, i] * value
    for i in range(len(sums)):
        mapped[i] = sums[i]


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
        Of what is mapped, then of what it is mapped to.
    which : int64 array (n,)
        Of the maps, the one to use.
    points : float32 array (d, k)
        A multiple of ``TOGETHER``; what repeats one before it is never the nearest.
    places : int64 array (n,)
        Changed in place: the nearest point, of equal ones the first.
    squares : float32 array (n,)
        Changed in place: its squared distance.
    """
    dimensions, count = points.shape
    sums, mapped = np.empty(dimensions), np.empty(dimensions, np.float32)
    least, where = np.empty(TOGETHER, np.int32), np.empty(TOGETHER, np.int32)
    least_bits = squares.view(np.int32)
    for row in range(len(numbers)):
        _map(numbers[row], centre, maps[which[row]], sums, mapped)
        nearest_of_lanes(data(points), data(mapped), dimensions, count, data(least), data(where))
        best, place = least[0], where[0]
        for lane in range(1, TOGETHER):
            found = where[lane] + lane
            if least[lane] < best or (least[lane] == best and found < place):
                best, place = least[lane], found
        places[row] = place
        least_bits[row] = best
