"""Files of a survey, opened for reading, through gzip where their name says so."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from upath import UPath

from kidsclf.places import open_to_read

HEADERS = 64 * 1024
"""Bytes to read ahead where a file is looked at here and there (of an object store)."""
ROWS = 8 * 1024**2
"""... and where it is read through."""


@contextmanager
def open_unpacked(path: Path | UPath, read_ahead: int) -> Iterator[BinaryIO]:
    """Open a file for reading; a gzipped one reads as what was packed.

    To go forward in a gzipped file is to unpack what lies between, and to go back is to begin anew.
    """
    with open_to_read(UPath(path), read_ahead) as file:
        if path.name.lower().endswith(".gz"):
            with gzip.open(file, "rb") as unpacked:
                yield cast("BinaryIO", unpacked)
        else:
            yield file
