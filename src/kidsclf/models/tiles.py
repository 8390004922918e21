"""Products of small matrices of bfloat16 by the tile registers of Intel's processors (AMX).

A tile is 16 rows of 64 bytes; one instruction adds the product of two to a third. Compiled for a
processor that has none the program would end, so ``have_tiles`` is asked first. Instructions are
those of Intel's Architecture Instruction Set Extensions Programming Reference, chapter 3.
"""

import ctypes
import platform
import sys
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from kidsclf.models.vectors import INT64, NOTHING, NUMBERS, above_zero, aligned, loaded, stored

SIDE = 32
"""Rows and columns of a product; the number of columns on the left is a multiple of it."""

_TILE = 16
_FEATURES = {"+amx-tile", "+amx-bf16"}
_ARCH_PRCTL, _ASK_LEAVE, _TILE_DATA = 158, 0x1023, 18
"""System call of Linux on x86-64, its ARCH_REQ_XCOMP_PERM, and the state that is asked for."""

_BYTE, _BYTES = ir.IntType(8), ir.IntType(8).as_pointer()


@cache
def have_tiles() -> bool:
    """Say whether this processor has tiles and the system lets this process use them."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return False
    *_, features = cpu_target.target_context.codegen().magic_tuple()
    if not set(features.split(",")) >= _FEATURES:
        return False
    refused: int = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK_LEAVE, _TILE_DATA)
    return refused == 0


def configuration() -> NDArray[np.uint8]:
    """Describe eight whole tiles, as ``set_up`` takes it."""
    words = np.zeros(64, np.uint8)
    words[0] = 1  # the palette
    words[16:32].view(np.uint16)[:] = 64  # bytes of a row
    words[48:56] = _TILE  # rows
    return words


def packed(kernel: NDArray[Any]) -> NDArray[np.uint16]:
    """Lay out the right side of products as tiles read it.

    Parameters
    ----------
    kernel : array (k, n)
        Multiples of ``SIDE``. Rounded to bfloat16.

    Returns
    -------
    uint16 array (n / 32, k / 32, 2, 16, 16, 2)
        Bits of bfloat16: of each 32 columns, of each 32 rows, two tiles of pairs of rows.
    """
    depth, width = kernel.shape
    bits = kernel.astype(ml_dtypes.bfloat16).view(np.uint16)
    parts = bits.reshape(depth // SIDE, _TILE, 2, width // SIDE, 2, _TILE)
    return aligned(parts.transpose(3, 0, 4, 1, 5, 2))


def _set_up(_: Any, words: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        _call(builder, "ldtilecfg", builder.bitcast(arguments[0], _BYTES))
        return NOTHING

    return types.void(words), generate


def _release(_: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, ___: Any) -> Any:
        _call(builder, "tilerelease")
        return NOTHING

    return types.void(), generate


def _multiply(_: Any, left: Any, depth: Any, right: Any, out: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        left, depth, right, out = arguments
        left, right, out = (builder.bitcast(each, _BYTES) for each in (left, right, out))
        stride = builder.mul(depth, ir.Constant(INT64, 2))
        for tile in range(4):
            _call(builder, "tilezero", _register(tile))
        count = builder.sdiv(depth, ir.Constant(INT64, SIDE))
        with cgutils.for_range(builder, count) as loop:
            first = builder.gep(left, [builder.mul(loop.index, ir.Constant(INT64, 64))])
            second = builder.gep(first, [builder.mul(stride, ir.Constant(INT64, _TILE))])
            third = builder.gep(right, [builder.mul(loop.index, ir.Constant(INT64, 2048))])
            fourth = builder.gep(third, [ir.Constant(INT64, 1024)])
            whole = ir.Constant(INT64, 64)
            parts = (first, stride), (second, stride), (third, whole), (fourth, whole)
            for tile, (at, step) in enumerate(parts, start=4):
                _call(builder, "tileloadd64", _register(tile), at, step)
            for tile in range(4):
                registers = tile, 4 + tile // 2, 6 + tile % 2
                _call(builder, "tdpbf16ps", *map(_register, registers))
        for tile in range(4):
            at = ir.Constant(INT64, 4 * (SIDE * _TILE * (tile // 2) + _TILE * (tile % 2)))
            step = ir.Constant(INT64, 4 * SIDE)
            _call(builder, "tilestored64", _register(tile), builder.gep(out, [at]), step)
        return NOTHING

    return types.void(left, depth, right, out), generate


set_up: Any = intrinsic(_set_up)
"""Readies the tiles of a thread, from the address of a ``configuration``."""

release: Any = intrinsic(_release)
"""Gives the tiles of a thread back."""

multiply: Any = intrinsic(_multiply)
"""Multiplies 32 rows of bfloat16 with 32 columns; sums are of float32.

It takes the address of the rows, one after the other; their length, int64, a multiple of 32; that
of the columns, as of ``packed``; and that of float32 (32, 32), which is filled in.
"""


def _finish(_: Any, sums: Any, bias: Any, out: Any, width: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        sums, bias, out, width = arguments
        both = [loaded(builder, bias, ir.Constant(INT64, start), NUMBERS) for start in (0, _TILE)]
        with cgutils.for_range(builder, ir.Constant(INT64, SIDE)) as loop:
            for half, more in enumerate(both):
                start = ir.Constant(INT64, half * _TILE)
                at = builder.add(builder.mul(loop.index, ir.Constant(INT64, SIDE)), start)
                value = builder.fadd(loaded(builder, sums, at, NUMBERS), more)
                at = builder.add(builder.mul(loop.index, width), start)
                stored(builder, above_zero(builder, value), out, at)
        return NOTHING

    return types.void(sums, bias, out, width), generate


finish: Any = intrinsic(_finish)
"""Adds a bias to the rows of a product, and rounds what is above 0, else 0, to bfloat16.

It takes the addresses of float32 (32, 32), of float32 (32,), and of where the first row is to lie
in an array of bits of bfloat16; and the length of a row of that.
"""


def _call(builder: Any, name: str, *arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [each.type for each in arguments])
    instruction = f"llvm.x86.{name}"
    function = cgutils.get_or_insert_function(builder.module, kind, instruction)  # type: ignore[no-untyped-call]
    builder.call(function, arguments)


def _register(number: int) -> Any:
    return ir.Constant(_BYTE, number)
