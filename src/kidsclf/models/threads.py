"""Rows of an array worked on by several threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fill_in_threads(
    fill: Callable[[NDArray[Any], NDArray[Any]], None],
    rows: NDArray[Any],
    out: NDArray[Any],
    threads: int,
) -> None:
    """Let threads fill rows of ``out`` from the same rows of another array, a stretch each.

    >>> out = np.empty(5)
    >>> fill_in_threads(lambda some, into: np.copyto(into, 2 * some), np.arange(5.0), out, 2)
    >>> out.tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if threads == 1:
        fill(rows, out)
        return
    parts = (np.array_split(each, threads) for each in (rows, out))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, *parts))
