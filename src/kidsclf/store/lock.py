"""One run at a time in a work directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kidsclf.errors import StoreError
from kidsclf.places import Place, is_local
from kidsclf.store.folder_lease import FolderLease, seems_leased
from kidsclf.store.holding import held
from kidsclf.store.lease import NAME, is_leased, leased

LEASE = NAME
"""File that says whose run it is; one that was killed leaves it."""


@contextmanager
def locked(root: Place) -> Iterator[None]:
    """Hold a work directory for the time of a run.

    In a folder it is a lock, which ends with the process however that ends, and beside it a lease,
    as other machines may see the folder but not its lock. In an object store it is a lease. A
    folder in which nothing was left is removed.

    Raises
    ------
    StoreError
        When another run holds it, or the file system knows no locks.
    """
    if not is_local(root):
        with leased(root):
            yield
        return
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(folder)
        if isinstance(error, BlockingIOError):
            raise StoreError(
                f"the work directory {root} was to be used, but another run holds it; wait for "
                f"that run to end, or give another --workdir"
            ) from error
        raise StoreError(
            f"the work directory {root} was to be held for one run, but its file system refuses "
            f"locks ({error.strerror}); give a --workdir on one that has flock"
        ) from error
    try:
        with held(FolderLease(Path(root)), root):
            yield
    finally:
        with suppress(OSError):  # it holds something
            Path(root).rmdir()
        os.close(folder)


def is_held(root: Place) -> bool:
    """Say whether a run is at work in a directory, without disturbing it."""
    if not is_local(root):
        return is_leased(root)
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # without locks no run can have begun
        return False
    finally:
        os.close(folder)
    return seems_leased(Path(root))
