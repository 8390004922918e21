"""What was counted before, as long as it is small enough: what was not asked for longest goes."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

Counted = tuple[NDArray[np.int64], NDArray[np.int32]]


class Remembered:
    """Pairs of arrays by a key, of so many bytes together; for several threads at once."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Counted] = OrderedDict()

    def get(self, key: Hashable) -> Counted | None:
        """Give what was kept; None where there is nothing any more."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def keep(self, key: Hashable, counted: Counted) -> None:
        """Keep arrays, and let go of others until they fit; too large ones are not kept."""
        with self._lock:
            if key in self._kept:
                self.bytes -= _bytes(self._kept.pop(key))
            if _bytes(counted) > self.most_bytes:
                return
            self._kept[key] = counted
            self.bytes += _bytes(counted)
            while self.bytes > self.most_bytes:
                self.bytes -= _bytes(self._kept.popitem(last=False)[1])


def _bytes(counted: Counted) -> int:
    return sum(each.nbytes for each in counted)
