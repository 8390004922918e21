"""Square windows of an image as compiled loops, without a copy of what is only looked at.

They work on the bits of float32 numbers, so that pixels in the byte order of FITS are turned while
they are copied. Lines are taken out before the loops over their pixels: only then does the compiler
see that it can work on many pixels at once. Threads can run them side by side.
"""

import numpy as np

from kidsclf.compiling import njit

_EXPONENT = np.int32(0x7F80_0000)
"""All bits set in infinite numbers and NaN only."""

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def copy_windows(image, swapped, top, left, stamps, finite):  # type: ignore[no-untyped-def]
    """Copy windows that lie whole on an image.

    Parameters
    ----------
    image : int32 array (ny, nx)
        Bits of its pixels.
    swapped : bool
        Whether the bytes of a pixel are in the other order than the machine's.
    top, left : int64 arrays (n,)
        First row and column of each window; those off the image are passed over.
    stamps : int32 array (n, size, size)
        Gets the bits of the windows.
    finite : bool array (n,)
        Gets whether a copied window has neither infinite pixels nor NaN; others keep what is there.
    """
    size = stamps.shape[1]
    for number in range(len(top)):
        y, x = top[number], left[number]
        if y < 0 or x < 0 or y + size > image.shape[0] or x + size > image.shape[1]:
            continue
        most = np.int32(0)
        for row in range(size):
            line, to = image[y + row, x : x + size], stamps[number, row]
            for column in range(size):
                bits = line[column]
                if swapped:
                    bits = _turned(bits)
                to[column] = bits
                most = max(most, bits & _EXPONENT)
        finite[number] = most != _EXPONENT


@njit(inline="always")
def _turned(bits):  # type: ignore[no-untyped-def]
    """Reverse the bytes of an integer."""
    word = np.uint32(bits)
    halves = (word >> np.uint32(16)) | (word << np.uint32(16))
    even = (halves & np.uint32(0xFF00_FF00)) >> np.uint32(8)
    odd = (halves & np.uint32(0x00FF_00FF)) << np.uint32(8)
    return np.int32(even | odd)


@compiled
def all_positive(image, swapped, top, left, size, positive):  # type: ignore[no-untyped-def]
    """Say of each window whether all its pixels are above 0; parameters as of ``copy_windows``.

    As integers, the bits of numbers above 0 are above 0, those of NaN above those of infinity.
    """
    for number in range(len(top)):
        y, x = top[number], left[number]
        if y < 0 or x < 0 or y + size > image.shape[0] or x + size > image.shape[1]:
            continue
        least, most = np.int32(0x7FFF_FFFF), np.int32(0)
        for row in range(size):
            line = image[y + row, x : x + size]
            for column in range(size):
                bits = line[column]
                if swapped:
                    bits = _turned(bits)
                least, most = min(least, bits), max(most, bits)
        positive[number] = least > 0 and most <= _EXPONENT
