"""A work directory that takes no more is the user's to mend, and no defect of the program."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from kidsclf.errors import StoreError
from kidsclf.places import Place

_FOUND = {
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "its file system is read-only",
    errno.EACCES: "that is not permitted",
    errno.EPERM: "that is not permitted",
}


@contextmanager
def write_failures(root: Place) -> Iterator[None]:
    """Turn the errors of a full, read-only or forbidden work directory into one sentence.

    Raises
    ------
    StoreError
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FOUND:
            raise
        raise StoreError(
            f"results were to be written below {root}, but {_FOUND[error.errno]} ({error}); mend "
            f"that and give the same command again, which goes on from here"
        ) from error
