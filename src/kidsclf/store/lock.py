"""One run at a time in a work directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kidsclf.errors import StoreError


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold a work directory; the lock ends with the process, however that ends.

    The folder itself is locked, so that no file has to be left in it.

    Raises
    ------
    StoreError
        When another run holds it.
    """
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(folder)
        raise StoreError(
            f"the work directory {root} was to be used, but another run holds it; wait for that "
            f"run to end, or give another --workdir"
        ) from error
    try:
        yield
    finally:
        os.close(folder)
