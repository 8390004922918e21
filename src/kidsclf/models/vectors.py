"""Vectors of LLVM's in numba's functions, for loops of which numba makes no good ones by itself.

They are LLVM's own, not a processor's: any that numba knows runs them, as wide as it can.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import DTypeLike, NDArray

BITS = 512
"""Of a vector; a processor with narrower ones takes several."""

INT32, INT64 = ir.IntType(32), ir.IntType(64)
WORDS = ir.VectorType(INT32, BITS // 32)
NUMBERS = ir.VectorType(ir.FloatType(), BITS // 32)
NOTHING = ir.Constant(ir.IntType(8).as_pointer(), None)
"""What an intrinsic gives that gives nothing."""


def _data(_: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    pointer = types.CPointer(array.dtype)  # type: ignore[no-untyped-call]
    return pointer(array), generate


data: Any = intrinsic(_data)
"""Gives the address of the first element of an array."""


def room(shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
    """Make an array of zeros that starts where a vector of it lies in one line of the cache.

    One that lies in two takes twice as long to read.
    """
    size = math.prod(shape) * np.dtype(kind).itemsize
    around = np.zeros(size + BITS // 8, np.uint8)
    start = -around.ctypes.data % (BITS // 8)
    return around[start : start + size].view(kind).reshape(shape)


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Copy an array to where a vector should start (``room``)."""
    copy = room(array.shape, array.dtype)
    copy[...] = array
    return copy


def vector_of(bits: int) -> Any:
    """Name the type of a vector of whole numbers of so many bits each."""
    return ir.VectorType(ir.IntType(bits), BITS // bits)


def all_of(vector: Any, value: int) -> Any:
    """Give a vector of one number."""
    return ir.Constant(vector, [value] * vector.count)


def loaded(builder: Any, array: Any, place: Any, vector: Any) -> Any:
    """Read a vector that starts at an element of an array, wherever that lies in memory."""
    at = builder.bitcast(builder.gep(array, [place]), vector.as_pointer())
    return builder.load(at, align=1)


def stored(builder: Any, value: Any, array: Any, place: Any) -> None:
    """Write a vector to where an element of an array lies."""
    at = builder.bitcast(builder.gep(array, [place]), value.type.as_pointer())
    builder.store(value, at, align=1)


def repeated(builder: Any, word: Any, vector: Any) -> Any:
    """Give a vector of the bits of a word of 32, again and again."""
    nothing = ir.Constant(WORDS, ir.Undefined)
    one = builder.insert_element(nothing, word, ir.Constant(INT32, 0))
    return builder.bitcast(builder.shuffle_vector(one, nothing, all_of(WORDS, 0)), vector)


def above_zero(builder: Any, numbers: Any) -> Any:
    """Round what is above 0 of float32, else 0, to the nearest bfloat16, to even; give the bits."""
    nothing = ir.Constant(NUMBERS, [0.0] * NUMBERS.count)
    is_above = builder.fcmp_ordered(">", numbers, nothing)
    bits = builder.bitcast(builder.select(is_above, numbers, nothing), WORDS)
    even = builder.and_(builder.lshr(bits, all_of(WORDS, 16)), all_of(WORDS, 1))
    bits = builder.add(builder.add(bits, all_of(WORDS, 0x7FFF)), even)
    halves = ir.VectorType(ir.IntType(16), WORDS.count)
    return builder.trunc(builder.lshr(bits, all_of(WORDS, 16)), halves)
