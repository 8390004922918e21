"""Where arrays live: their namespace, their way to and from a GPU, and the memory beside them.

The one module that imports CuPy. Kernels take the namespace of their input and so run on NumPy and
CuPy alike; what no array operation can say (growing a region pixel by pixel) runs on the host.
"""

import math
from collections.abc import Iterator
from typing import Any

import array_api_compat
import numpy as np
import psutil
from numpy.typing import NDArray

from kidsclf.errors import InputError

MEMORY_SHARE = 0.25
"""Of the memory that is free when a kernel starts, what its chunks may take."""

CACHE_BYTES = 2 * 2**20
"""Of stamps in a chunk on a processor: the arrays made of more spill out of its caches."""

FEWEST_ROWS = 192
"""Of a chunk on a processor, however large its rows: so many share the cost of a call of NumPy."""


def namespace(*arrays: Any) -> Any:
    """Give the array namespace that all the arrays share (None is passed over)."""
    return array_api_compat.array_namespace(*(each for each in arrays if each is not None))


def is_numpy(array: Any) -> bool:
    """Say whether the array is NumPy's, so that compiled loops can read it in place."""
    return isinstance(array, np.ndarray)


def to_host(array: Any) -> NDArray[Any]:
    """Hand an array of any namespace over as NumPy's; without a copy if it is that already."""
    if array_api_compat.is_cupy_array(array):
        array = array_api_compat.to_device(array, "cpu")
    return np.asarray(array)


def from_host(array: NDArray[Any], like: Any) -> Any:
    """Put a NumPy array where another one lives, in that one's namespace."""
    if is_numpy(like):
        return array
    return namespace(like).asarray(array, device=array_api_compat.device(like))


def count(masks: Any, axis: int | tuple[int, ...] = (1, 2)) -> Any:
    """Count what is set in each mask, float64 array (n,)."""
    if is_numpy(masks) and axis == (1, 2):
        # eight pixels a byte, whose bits a processor counts at once
        packed = np.packbits(masks.reshape(masks.shape[0], masks.shape[1] * masks.shape[2]), axis=1)
        return np.bitwise_count(packed).sum(axis=1, dtype=np.float64)
    xp = namespace(masks)
    return xp.sum(xp.astype(masks, xp.float32), axis=axis, dtype=xp.float64)


def spread(values: Any, wanted: Any, otherwise: Any) -> Any:
    """Write values to the places that are wanted, and keep the others.

    Parameters
    ----------
    values : array (m,)
        In the order of the m places.
    wanted : bool array (n,)
        True at m places.
    otherwise : array (n,)

    Returns
    -------
    array (n,)

    Examples
    --------
    >>> spread(np.array([7.0]), np.array([False, True]), np.array([1.0, 2.0])).tolist()
    [1.0, 7.0]
    """
    if is_numpy(values):
        result = np.array(otherwise, dtype=values.dtype)
        result[wanted] = values
        return result
    xp = namespace(values)
    place = xp.clip(xp.cumulative_sum(xp.astype(wanted, xp.int64)) - 1, 0, None)
    return xp.where(wanted, xp.take(values, place), otherwise)


def to_gpu(array: NDArray[Any]) -> Any:
    """Copy a NumPy array to the current GPU.

    Raises
    ------
    InputError
        If CuPy is not installed or finds no GPU.
    """
    try:
        import cupy as cp  # noqa: PLC0415 (only machines with a GPU have it)

        return cp.asarray(array)
    except (ImportError, RuntimeError) as reason:
        raise InputError(
            f"arrays on a GPU were asked for, but CuPy said {reason!s}; install the extra 'gpu' on "
            "a machine with an NVIDIA driver, or keep the arrays in NumPy"
        ) from reason


def free_bytes(like: Any) -> int:
    """Say how much memory is free where an array lives: on its GPU, or of the machine."""
    if array_api_compat.is_cupy_array(like):
        import cupy as cp  # noqa: PLC0415 (only machines with a GPU have it)

        return int(cp.cuda.runtime.memGetInfo()[0])
    return int(psutil.virtual_memory().available)


def affordable_rows(array: Any, bytes_per_row: int) -> int:
    """Say how many rows may be worked on at once where an array lives.

    Parameters
    ----------
    array : array (n, ...)
    bytes_per_row : int
        What the work on one row holds at its peak, intermediate results included.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, int(free_bytes(array) * MEMORY_SHARE) // bytes_per_row)


def cached_rows(array: Any) -> int:
    """Say how many rows are best worked on at once: all on a GPU, a cacheful on a processor."""
    if array_api_compat.is_cupy_array(array):
        return max(1, int(array.shape[0]))
    bytes_per_row: int = 4 * math.prod(array.shape[1:])
    return max(FEWEST_ROWS, CACHE_BYTES // bytes_per_row)


def row_slices(rows: int, most: int) -> Iterator[slice]:
    """Cut a number of rows into consecutive slices of at most so many.

    >>> list(row_slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, rows, most):
        yield slice(start, min(start + most, rows))
