"""Sorting of pixels by their light, as compiled loops for a processor.

The bits of single-precision numbers that are not negative are in the order of the numbers, so
pixels are sorted by the digits of these bits (radix sort): a few passes over thousands of pixels,
several times as fast as comparing them.
"""

import numpy as np

from kidsclf.compiling import njit

sorted_ = njit(cache=True, nogil=True, error_model="numpy")

DIGITS = 4
"""Of eight bits."""


@sorted_
def sort_by_bits(keys, spare, first):  # type: ignore[no-untyped-def]
    """Sort keys by 32 of their bits, from the bit ``first`` on; those alike stay in order.

    Parameters
    ----------
    keys, spare : uint32 or uint64 arrays (n,)
        Both are written to.
    first : int

    Returns
    -------
    array (n,)
        One of the two.
    """
    counts = np.zeros((DIGITS, 256), dtype=np.int64)
    for key in keys:
        for digit in range(DIGITS):
            counts[digit, (np.uint64(key) >> np.uint64(first + 8 * digit)) & np.uint64(255)] += 1
    for digit in range(DIGITS):
        shift, places = np.uint64(first + 8 * digit), counts[digit]
        if keys.size and places[(np.uint64(keys[0]) >> shift) & np.uint64(255)] == keys.size:
            continue
        start = 0
        for value in range(256):
            places[value], start = start, start + places[value]
        for key in keys:
            bucket = (np.uint64(key) >> shift) & np.uint64(255)
            spare[places[bucket]] = key
            places[bucket] += 1
        keys, spare = spare, keys
    return keys


@sorted_
def ascending(values, spare):  # type: ignore[no-untyped-def]
    """Sort float32 values; both arrays (n,) are written to, and one of them is given back."""
    sign = np.uint32(2**31)
    keys = values.view(np.uint32)
    for k in range(keys.size):
        keys[k] = ~keys[k] if keys[k] & sign else keys[k] | sign
    keys = sort_by_bits(keys, spare.view(np.uint32), 0)
    for k in range(keys.size):
        keys[k] = keys[k] & ~sign if keys[k] & sign else ~keys[k]
    return keys.view(np.float32)


@sorted_
def descending_places(flat, places):  # type: ignore[no-untyped-def]
    """Order places, which ascend, by their light, not negative; of those alike the last first."""
    keys = flat[places].view(np.uint32).astype(np.uint64) * np.uint64(2**32)
    keys += places.astype(np.uint64)
    keys = sort_by_bits(keys, np.empty_like(keys), 32)[::-1]
    return (keys & np.uint64(2**32 - 1)).astype(np.int64)
