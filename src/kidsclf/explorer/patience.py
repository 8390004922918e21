"""How long a question may take: so many seconds, and no longer than somebody waits for it."""

import time
from collections.abc import Callable

Gone = Callable[[], bool]
"""Says whether nobody waits for the answer any more."""


def nobody_left() -> bool:
    """Say that somebody waits."""
    return False


class Patience:
    """Looked at between two partitions.

    >>> Patience(60.0).over, Patience(60.0, lambda: True).over
    (False, True)
    """

    def __init__(self, seconds: float, gone: Gone = nobody_left) -> None:
        self._until = time.monotonic() + seconds
        self._gone = gone

    @property
    def over(self) -> bool:
        """Whether no further partition is to be opened."""
        return self._gone() or time.monotonic() > self._until
