"""What libraries say of missing and damaged files, turned into sentences that name the file."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from xml.parsers.expat import ExpatError

import pyarrow as pa

from kidsclf.errors import InputError, StoreError

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    ExpatError,
    zlib.error,
    pa.ArrowException,
)
"""What astropy, arrow and zlib raise for damaged files, themselves or by a derived class."""


@contextmanager
def named_errors(what: str) -> Iterator[None]:
    """Raise InputError naming ``what`` (a file, with rows or pixels) for damage met inside.

    An object store that does not answer says so itself, and is no damage.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{what} was asked for but is not there; correct the path") from error
    except PermissionError as error:
        raise InputError(
            f"{what} was asked for but may not be read; get leave to, or other credentials"
        ) from error
    except StoreError:
        raise
    except _DAMAGE as error:
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        reason = said.partition(". ")[0]  # some libraries go on with guesses
        raise InputError(
            f"cannot read {what}: {reason:.200}; fetch or write the file anew"
        ) from error
