"""Sums of rounded tables as a compiled loop for a processor, in whole numbers.

The sum of two products of 16-bit numbers, added to one of 32 bits, is one instruction of most
processors for 4 to 16 units at once (VPDPWSSD or VPMADDWD where Intel's names are used). Numba
makes none of it from a loop, so the loop is written as vectors of LLVM's, whichever the processor
has. Whole numbers add up to the same in any order: the sums are the same bits on every machine.
"""

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
    above_zero,
    all_of,
    data,
    loaded,
    repeated,
    stored,
    vector_of,
)

SHARES = 2048
"""A number lies so many parts of the way from its node to the next."""

_VECTORS = 4
UNITS_TOGETHER = _VECTORS * WORDS.count
"""The number of units is a multiple of it."""


def _add_pairs(  # type: ignore[no-untyped-def]
    _: Any, pairs: Any, starts: Any, shares: Any, sizes: Any, step: Any, bias: Any, out: Any
):
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pairs, starts, shares, sizes, step, bias, out = arguments
        features, units = (builder.extract_value(sizes, place) for place in range(2))
        steps = builder.bitcast(repeated(builder, builder.bitcast(step, INT32), WORDS), NUMBERS)
        sums = [
            cgutils.alloca_once(builder, WORDS)  # type: ignore[no-untyped-call]
            for _ in range(_VECTORS)
        ]
        count = builder.sdiv(units, ir.Constant(INT64, UNITS_TOGETHER))
        with cgutils.for_range(builder, count) as outer:
            first = builder.mul(outer.index, ir.Constant(INT64, UNITS_TOGETHER))
            places = [
                builder.add(first, ir.Constant(INT64, k * WORDS.count)) for k in range(_VECTORS)
            ]
            for each in sums:
                builder.store(all_of(WORDS, 0), each)
            with cgutils.for_range(builder, features) as inner:
                start = builder.load(builder.gep(starts, [inner.index]))
                word = builder.load(builder.gep(shares, [inner.index]))
                share = repeated(builder, word, vector_of(16))
                for place, each in zip(places, sums, strict=True):
                    row = loaded(builder, pairs, builder.add(start, place), vector_of(16))
                    added = builder.add(builder.load(each), _dot(builder, row, share))
                    builder.store(added, each)
            for place, each in zip(places, sums, strict=True):
                told = builder.fmul(builder.sitofp(builder.load(each), NUMBERS), steps)
                told = builder.fadd(told, loaded(builder, bias, place, NUMBERS))
                stored(builder, above_zero(builder, told), out, place)
        return NOTHING

    return types.void(pairs, starts, shares, sizes, step, bias, out), generate


add_pairs: Any = intrinsic(_add_pairs)
"""Adds up over features a pair of the table times a pair of shares, and says what that means.

It takes addresses of ``pairs``, int32 of two int16 each; of ``starts``, int64, where the row of
pairs of each feature starts; of ``shares``, int32 of two int16, of each feature; the numbers of
features and units; what a step of the sum is, float32; and the addresses of ``bias``, float32, and
of ``out``, bits of bfloat16, which is filled with the sum in steps and the bias where that is above
0.
"""


def _dot(builder: Any, left: Any, right: Any) -> Any:
    """Multiply two vectors of pairs, and add up the two products of each pair."""
    wide = ir.VectorType(ir.IntType(32), left.type.count)
    products = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
    nothing = ir.Constant(wide, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(
            products, nothing, ir.Constant(WORDS, [2 * k + first for k in range(WORDS.count)])
        )
        for first in (0, 1)
    )
    return builder.add(even, odd)


@njit(cache=True, nogil=True, error_model="numpy")
def sum_pairs(  # type: ignore[no-untyped-def]
    photometry, centre, factor, pieces, density, before, pairs, step, bias, out
):
    """Fill each row of ``out`` with what the tables say of a row of photometry, after a ReLU.

    Parameters
    ----------
    photometry : float32 array (n, features)
        NaN where missing, which is taken as the centre.
    centre, factor : float32 arrays (features,)
        Of the standardisation (x - centre) factor.
    pieces : float32 array (k, 2)
        Nodes between which they lie, those of one feature after those of the other. Standardised
        numbers are clipped to between the first and its negative, of which the last piece of each
        feature does not know: its end is infinity.
    density : float32 array (k,)
        ``SHARES`` over the length of a piece.
    before : int32 array (features, cells)
        For each of equal cells, the last piece that starts at or before its left edge.
    pairs : int16 array (k, units, 2)
        Function of the feature at both ends of a piece, in steps.
    step : float32
        What one of the sums of products is.
    bias : float32 array (units,)
    out : uint16 array (n, units)
        Changed in place: the bits of bfloat16 numbers, rounded to the nearest, to even.
    """
    features, units, last = photometry.shape[1], out.shape[1], before.shape[1] - 1
    low = pieces[0, 0]
    per_cell = np.float32(before.shape[1]) / (-low - low)
    starts, shares = np.empty(features, np.int64), np.empty((features, 2), np.int16)
    for row in range(len(photometry)):
        for feature in range(features):
            value = (photometry[row, feature] - centre[feature]) * factor[feature]
            if value != value:  # noqa: PLR0124  (NaN is not itself)
                value = np.float32(0)
            value = min(max(value, low), -low)
            piece = before[feature, min(int((value - low) * per_cell), last)]
            while value >= pieces[piece, 1]:
                piece += 1
            # Rounding may put a value into the cell after its own, and a hair before the piece.
            share = int((value - pieces[piece, 0]) * density[piece] + np.float32(0.5))
            share = min(max(share, 0), SHARES)
            starts[feature] = piece * units
            shares[feature, 0], shares[feature, 1] = SHARES - share, share
        of_pairs, of_shares = data(pairs.view(np.int32)), data(shares.view(np.int32))
        sizes = (features, units)
        add_pairs(of_pairs, data(starts), of_shares, sizes, step, data(bias), data(out[row]))
