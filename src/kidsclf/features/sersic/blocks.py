"""Blocks of pixels whose exponentials fit in a processor's cache, or in a GPU's memory."""

from collections.abc import Iterator
from typing import Any

import array_api_compat

from kidsclf.features.arrays import namespace

CACHE_ELEMENTS = 2**18
"""Exponentials of one block on a processor: 1 MiB, which its second-level cache holds."""

GPU_ELEMENTS = 2**28
"""Exponentials of one block on a GPU: 1 GiB."""

SMALLEST_EXPONENT = -80.0
"""Exponentials below e^-80 are taken as e^-80, since arithmetic on denormal numbers is slow."""


def blocks(elements: int, like: Any) -> Iterator[slice]:
    """Cut axis 1 of an array (n, rows, columns) into blocks.

    Parameters
    ----------
    elements : int
        Exponentials for one pixel of all n.
    like : array (n, rows, columns)

    Yields
    ------
    slice
        Of axis 1.
    """
    budget = GPU_ELEMENTS if array_api_compat.is_cupy_array(like) else CACHE_ELEMENTS
    step = max(1, budget // (elements * like.shape[2]))
    for start in range(0, like.shape[1], step):
        yield slice(start, min(start + step, like.shape[1]))


def floor(like: Any) -> Any:
    """Give the smallest exponent as an array that ``maximum`` takes beside another."""
    return namespace(like).asarray(SMALLEST_EXPONENT, dtype=like.dtype)
