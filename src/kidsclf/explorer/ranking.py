"""The sources that the network is least sure of, over the whole sky.

No list is kept on disk. The first question reads two columns of every partition, and those of the
filter, one after the other for a time that is given, and remembers only the few hundred sources
that lead; who asks again goes on from there, so that a list of 27 million sources fills while it is
looked at.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.errors import ConfigError
from kidsclf.explorer.catalogue import Explored
from kidsclf.explorer.patience import Patience
from kidsclf.explorer.sources import listed_columns
from kidsclf.pipeline.infer import ENTROPY, NOVELTY_COLUMN, P_MAX
from kidsclf.pipeline.query_partition import Question, find_rows
from kidsclf.schema import SPATIAL_INDEX

LISTS: Mapping[str, tuple[str, int]] = {
    "entropy": (ENTROPY, -1),
    "p_max": (P_MAX, 1),
    "novelty": (NOVELTY_COLUMN, -1),
}
"""Name of a list: its column, and 1 where the smallest value leads, -1 where the largest does."""

MOST_LISTED = 500
_REMEMBERED = 16
"""Lists; one takes 8 kB."""


@dataclass
class _Scan:
    """How far one list has come; its lock is held while it goes on."""

    keys: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    indices: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    looked_at: int = 0
    rows: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Ranked:
    """A stretch of a list.

    Attributes
    ----------
    rows : pyarrow.Table
        Columns of a listed source and that of the list, the leading one first.
    listed : int
        Sources on the list, at most ``MOST_LISTED``.
    chosen : int
        Sources that the question has found so far, listed or not.
    looked_at, partitions : int
        How many partitions have been looked at.
    """

    rows: pa.Table
    listed: int
    chosen: int
    looked_at: int
    partitions: int


class Ranking:
    """Keeps the lists that were asked for last."""

    def __init__(self, explored: Explored) -> None:
        self._explored = explored
        self._scans: OrderedDict[tuple[str, Question], _Scan] = OrderedDict()
        self._lock = threading.Lock()

    def ranked(
        self, name: str, question: Question, first: int, count: int, patience: Patience
    ) -> Ranked:
        """Give a stretch of a list, after going on with it as long as there is patience.

        Raises
        ------
        ConfigError
            For a list that is none, or whose column the catalogue does not have.
        """
        column, sign = LISTS.get(name, ("", 1))
        if column not in self._explored.schema.names:
            raise ConfigError(
                f"the list {name[:40]!r} was asked for, but there are {', '.join(self.names())}; "
                f"give one of those"
            )
        scan = self._scan_of(name, question)
        with scan.lock:
            self._go_on(scan, question, column, sign, patience)
            indices = scan.indices[first : first + count].tolist()
            listed, chosen, looked_at = len(scan.indices), scan.rows, scan.looked_at
        columns = tuple(dict.fromkeys((*listed_columns(self._explored), column)))
        rows = self._explored.rows_at(indices, columns)
        return Ranked(rows, listed, chosen, looked_at, len(self._explored.partitions))

    def names(self) -> list[str]:
        """Name the lists that this catalogue has columns for."""
        return [
            name for name, (column, _) in LISTS.items() if column in self._explored.schema.names
        ]

    def _scan_of(self, name: str, question: Question) -> _Scan:
        with self._lock:
            scan = self._scans.setdefault((name, question), _Scan())
            self._scans.move_to_end((name, question))
            while len(self._scans) > _REMEMBERED:
                self._scans.popitem(last=False)
            return scan

    def _go_on(
        self, scan: _Scan, question: Question, column: str, sign: int, patience: Patience
    ) -> None:
        names = (SPATIAL_INDEX, column)
        for partition in self._explored.partitions[scan.looked_at :]:
            rows = find_rows(self._explored.store, question, names, partition)
            keys = sign * rows[column].to_numpy().astype(np.float64)
            known = np.flatnonzero(~np.isnan(keys))
            _lead(scan, keys[known], rows[SPATIAL_INDEX].to_numpy()[known])
            scan.rows += rows.num_rows
            scan.looked_at += 1
            if patience.over:
                break


def _lead(scan: _Scan, keys: NDArray[np.float64], indices: NDArray[np.int64]) -> None:
    """Let the sources of a partition onto the list; of equal ones the first in the sky leads."""
    if len(keys) > MOST_LISTED:
        last = np.partition(keys, MOST_LISTED - 1)[MOST_LISTED - 1]
        keys, indices = keys[keys <= last], indices[keys <= last]
    keys, indices = np.append(scan.keys, keys), np.append(scan.indices, indices)
    order = np.lexsort((indices, keys))[:MOST_LISTED]
    scan.keys, scan.indices = keys[order], indices[order]
