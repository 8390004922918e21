"""Hold a lease for the time of a run: it is renewed as long as the run lives."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from kidsclf.errors import StoreError


class Lease(Protocol):
    """What says that a work directory is in use; it has to be renewed."""

    @property
    def renewed_seconds(self) -> float:
        """How long a run waits before it renews it again."""

    def take(self) -> None:
        """Make it, or take over that of a dead run; StoreError when another run holds it."""

    def renew(self) -> str:
        """Show life; say why that is not possible, or nothing."""

    def give_back(self) -> None:
        """Remove it if it is still this run's."""


@contextmanager
def held(lease: Lease, root: object) -> Iterator[None]:
    """Hold a lease on ``root``; when another run takes it over, this one is interrupted.

    Raises
    ------
    StoreError
        When another run holds it, or has taken it over.
    """
    lease.take()
    ended, lost = threading.Event(), list[str]()
    arguments = (lease, root, ended, lost)
    thread = threading.Thread(target=_keep, args=arguments, name="lease", daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if lost:
            raise StoreError(lost[0]) from None
        raise
    finally:
        ended.set()
        try:
            thread.join()
        except KeyboardInterrupt:
            if not lost:
                raise
        if not lost:
            lease.give_back()
    if lost:  # as the run came to its end
        raise StoreError(lost[0])


def _keep(lease: Lease, root: object, ended: threading.Event, lost: list[str]) -> None:
    """Renew the lease until the run ends; without it, interrupt the run."""
    while not ended.wait(lease.renewed_seconds):
        reason = lease.renew()
        if reason:
            lost.append(
                f"the work directory {root} was held by this run, but its lease could not be "
                f"renewed ({reason}); see that no other run works there, then give the same "
                f"command again"
            )
            # A true signal: the main thread may be waiting for a lock. Shells let what a script
            # starts in the background ignore SIGINT; the command takes SIGTERM for the same.
            ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            interrupt = signal.SIGTERM if ignored else signal.SIGINT
            signal.pthread_kill(threading.main_thread().ident or 0, interrupt)
            return
