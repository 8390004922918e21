"""Which sources teach, which choose, and which judge: decided by each identifier alone.

A source keeps its place when others join or leave the sample, whatever the order or the
partitioning, and no random state has to be kept.
"""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import ConfigError
from kidsclf.schema import SPLITS

_TRAIN, _VALIDATION, _TEST = SPLITS


def split_of(
    names: Iterable[object], *, validation_fraction: float, test_fraction: float
) -> NDArray[np.str_]:
    """Assign each source to ``train``, ``validation`` or ``test``.

    Parameters
    ----------
    names : iterable (n,)
        Identifiers of the survey; their text is what counts.
    validation_fraction, test_fraction : float
        Shares within [0, 1), together below 1; met to within sqrt(n).

    Returns
    -------
    str array (n,)

    Raises
    ------
    ConfigError
        If the shares leave nothing to train on.
    """
    if not 0 <= validation_fraction + test_fraction < 1:
        raise ConfigError(
            f"shares of {validation_fraction} for validation and {test_fraction} for test were "
            "asked for, which leave nothing to train on; lower one of them"
        )
    share = _uniform(names, b"split")
    conditions = [share < test_fraction, share < test_fraction + validation_fraction]
    return np.select(conditions, [_TEST, _VALIDATION], default=_TRAIN)


def fold_of(names: Iterable[object], folds: int) -> NDArray[np.int64]:
    """Assign each source to one of ``folds`` folds, independently of its split.

    Parameters
    ----------
    names : iterable (n,)
    folds : int
        At least 2.

    Returns
    -------
    int64 array (n,)
        Within [0, folds).

    Raises
    ------
    ConfigError
        If there are fewer than two folds.

    Examples
    --------
    >>> bool((fold_of(["a", "b"], 5) == fold_of(["b", "a"], 5)[::-1]).all())
    True
    """
    if folds < 2:
        raise ConfigError(
            f"{folds} folds were asked for, which leave nothing to train on or to test; "
            "set train.folds to 2 or more"
        )
    return (_uniform(names, b"fold") * folds).astype(np.int64)


def _uniform(names: Iterable[object], purpose: bytes) -> NDArray[np.float64]:
    """Hash names to numbers within [0, 1); purposes are independent of each other."""
    digests = b"".join(
        blake2b(str(name).encode(), digest_size=8, person=purpose).digest() for name in names
    )
    # 53 bits: a double holds no more, and rounding the rest up would reach 1.
    return (np.frombuffer(digests, dtype="<u8") >> np.uint64(11)) / np.float64(1 << 53)
