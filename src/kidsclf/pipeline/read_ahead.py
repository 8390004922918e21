"""Partitions one after the other, the next ones being read while one is in use."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")

MOST_READERS = 4
"""One unpacks 560,000 stamps of 41 x 41 int16 a second of its core, and two 1.9 times as many; what
four do, on a machine with a GPU, was not measured."""


def readers_for(cores: int, *, on_processor: bool) -> int:
    """Say how many threads are to read stamps while a network is busy with others.

    Where it answers on the processor, one, as the cores are the network's.

    >>> readers_for(16, on_processor=False), readers_for(16, on_processor=True)
    (4, 1)
    """
    return 1 if on_processor else max(1, min(MOST_READERS, cores - 1))


def cores_allowed() -> int:
    """Count the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
