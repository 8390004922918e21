"""Partitions one after the other, the next ones being read while one is in use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_ahead(
    read: Callable[[Item], Read], items: Iterable[Item], ahead: int = 1
) -> Iterator[Read]:
    """Read items in other threads and give the results in order; memory holds ``ahead`` and one.

    >>> list(read_ahead(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    waiting: deque[Future[Read]] = deque()
    with ThreadPoolExecutor(ahead) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(read, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
