"""Stamps of a sample in a local file, one record a source, to be read by rows in any order.

It is read, not mapped into memory: resident pages of a map count as the worker's own, and its nanny
would end it for them. The file has no name, so nothing of it outlives the process.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import StoreError


class StampFile:
    """Records of float32 arrays of one shape."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...]) -> None:
        self._file = file
        self._shape = shape
        self._record_bytes = 4 * int(np.prod(shape))

    def append(self, stamps: NDArray[np.float32]) -> None:
        """Write further records, float32 array (n, *shape)."""
        self._file.write(np.ascontiguousarray(stamps, np.float32).data)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read records, float32 array (n, *shape), in the order of the rows.

        Raises
        ------
        StoreError
            When the file holds fewer.
        """
        self._file.flush()
        out = np.empty((len(rows), *self._shape), np.float32)
        ends = [*(np.flatnonzero(np.diff(rows) != 1) + 1), len(rows)]
        for start, end in zip([0, *ends], ends, strict=False):
            self._read_run(out[start:end], int(rows[start]) if start < end else 0)
        return out

    def _read_run(self, out: NDArray[np.float32], first: int) -> None:
        if not out.size:
            return
        wanted, offset = out.data.cast("B"), first * self._record_bytes
        while len(wanted):
            got = os.preadv(self._file.fileno(), [wanted], offset)
            if not got:
                raise StoreError(
                    f"the stamp of row {first} of a training sample was asked for, but its "
                    f"scratch file ends before it; give the same command again"
                )
            wanted, offset = wanted[got:], offset + got


@contextmanager
def stamp_file(folder: Path | None, shape: tuple[int, ...]) -> Iterator[StampFile]:
    """Open an empty file in a local folder, or in the system's for temporary files."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        yield StampFile(file, shape)
