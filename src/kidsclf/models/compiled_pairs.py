"""Sums of rounded tables as a compiled loop for a processor, in whole numbers.

The sum of two products of 16-bit numbers, added to one of 32 bits, is one instruction of most
processors for 4 to 16 units at once (VPDPWSSD or VPMADDWD where Intel's names are used). Numba
makes none of it from a loop, so the loop is written as vectors of LLVM's, whichever the processor
has. Whole numbers add up to the same in any order: the sums are the same bits on every machine.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

SHARES = 2048
"""A number lies so many parts of the way from its node to the next."""

_LANES, _VECTORS = 16, 4
UNITS_TOGETHER = _LANES * _VECTORS
"""The number of units is a multiple of it."""

_INT16, _INT32, _INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_PAIRS, _PRODUCTS = ir.VectorType(_INT16, 2 * _LANES), ir.VectorType(_INT32, 2 * _LANES)
_SUMS = ir.VectorType(_INT32, _LANES)


def _data(_: Any, array: Any) -> Any:
    """Give the address of the first element of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    pointer = types.CPointer(array.dtype)  # type: ignore[no-untyped-call]
    return pointer(array), generate


def _add_pairs(  # type: ignore[no-untyped-def]
    _: Any, pairs: Any, starts: Any, shares: Any, features: Any, units: Any, out: Any
):
    """Fill ``out[u]`` with the sum over features of a pair of the table times a pair of shares.

    Parameters
    ----------
    pairs : pointer to int32
        Two int16 each.
    starts : pointer to int64
        For each feature, where its row of pairs starts.
    shares : pointer to int32
        For each feature, two int16.
    features, units : int64
    out : pointer to int32
    """

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pairs, starts, shares, features, units, out = arguments
        sums = [
            cgutils.alloca_once(builder, _SUMS)  # type: ignore[no-untyped-call]
            for _ in range(_VECTORS)
        ]
        count = builder.sdiv(units, ir.Constant(_INT64, UNITS_TOGETHER))
        with cgutils.for_range(builder, count) as outer:
            first = builder.mul(outer.index, ir.Constant(_INT64, UNITS_TOGETHER))
            places = [builder.add(first, ir.Constant(_INT64, k * _LANES)) for k in range(_VECTORS)]
            for each in sums:
                builder.store(ir.Constant(_SUMS, [0] * _LANES), each)
            with cgutils.for_range(builder, features) as inner:
                start = builder.load(builder.gep(starts, [inner.index]))
                share = _repeated(builder, builder.load(builder.gep(shares, [inner.index])))
                for place, each in zip(places, sums, strict=True):
                    at = builder.gep(pairs, [builder.add(start, place)])
                    row = builder.load(builder.bitcast(at, _PAIRS.as_pointer()), align=4)
                    added = builder.add(builder.load(each), _dot(builder, row, share))
                    builder.store(added, each)
            for place, each in zip(places, sums, strict=True):
                at = builder.bitcast(builder.gep(out, [place]), _SUMS.as_pointer())
                builder.store(builder.load(each), at, align=4)
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    return types.void(pairs, starts, shares, features, units, out), generate


def _repeated(builder: Any, pair: Any) -> Any:
    """Give a vector of the same two int16 again and again."""
    nothing, lanes = ir.Constant(_SUMS, ir.Undefined), ir.Constant(_SUMS, [0] * _LANES)
    one = builder.insert_element(nothing, pair, ir.Constant(_INT32, 0))
    return builder.bitcast(builder.shuffle_vector(one, nothing, lanes), _PAIRS)


def _dot(builder: Any, left: Any, right: Any) -> Any:
    """Multiply two vectors of pairs, and add up the two products of each pair."""
    products = builder.mul(builder.sext(left, _PRODUCTS), builder.sext(right, _PRODUCTS))
    nothing = ir.Constant(_PRODUCTS, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(
            products, nothing, ir.Constant(_SUMS, [2 * k + first for k in range(_LANES)])
        )
        for first in (0, 1)
    )
    return builder.add(even, odd)


data: Any = intrinsic(_data)
add_pairs: Any = intrinsic(_add_pairs)


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
    sums, said = np.empty(units, np.int32), np.empty(units, np.float32)
    bits = said.view(np.uint32)
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
        add_pairs(of_pairs, data(starts), of_shares, features, units, data(sums))
        for unit in range(units):
            said[unit] = max(np.float32(sums[unit]) * step + bias[unit], np.float32(0))
        for unit in range(units):
            even = (bits[unit] >> np.uint32(16)) & np.uint32(1)
            out[row, unit] = (bits[unit] + np.uint32(0x7FFF) + even) >> np.uint32(16)
