"""A lease on a work directory that several machines may see, as over NFS or Lustre.

``flock`` on the folder keeps apart the runs of one machine, and is held before the lease is asked
for: so a lease of this machine, found by who has the lock, is that of a dead run. One of another
machine is watched: who lives renews it. No clocks are compared.

A lease is taken over in two steps, so that one run alone does it: the file that succeeds it, of
which there can be but one as it bears the old one's token, is made, and then put in its place.
"""

import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kidsclf.errors import StoreError
from kidsclf.store import lease

NAME = lease.NAME
RENEWED_SECONDS = 10.0
STALE_SECONDS = 60.0
"""Watched for so long without being renewed: its run is dead, or its machine is cut off."""
_LOOK_SECONDS = 0.5
_log = logging.getLogger(__name__)
_NOWHERE = (0, 0)


def this_machine() -> str:
    """Name the running system: processes that share it share its locks."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class FolderLease:
    """A file that is made only where none is, and touched as long as the run lives."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME
        self._file = -1
        self._holder = {
            "token": uuid.uuid4().hex,
            "machine": this_machine(),
            "host": os.uname().nodename,
            "process": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @property
    def renewed_seconds(self) -> float:
        """How long a run waits before it renews it again."""
        return RENEWED_SECONDS

    def take(self) -> None:
        """Make the lease, or take over that of a dead run.

        Raises
        ------
        StoreError
            When a run on another machine holds it.
        """
        while not self._make(self._path):
            holder = _read(self._path)
            if holder is None:  # given back in this moment
                continue
            if holder.get("machine") != self._holder["machine"]:
                self._watch(holder)
            if self._succeed(holder):
                return

    def renew(self) -> str:
        """Show life; say so when another run has taken it over."""
        # What goes wrong here may be over the next time; who writes results will say what it was.
        with suppress(OSError):
            os.utime(self._file)
        with suppress(OSError):
            return "" if self._is_ours() else "another run has taken it over"
        return ""

    def give_back(self) -> None:
        """Remove the lease if it is still ours."""
        with suppress(OSError):  # the file system may be what failed; then it becomes stale
            if self._is_ours():
                self._path.unlink()
        os.close(self._file)

    def _make(self, path: Path) -> bool:
        """Make a file where none is; False where there is one."""
        try:
            with path.open("x", encoding="ascii") as file:
                json.dump(self._holder, file)
        except FileExistsError:
            return False
        except OSError:  # no space, perhaps
            path.unlink(missing_ok=True)
            raise
        # Kept open for reading only: a file that is written to would keep a disk from being
        # mounted anew.
        self._file = os.open(path, os.O_RDONLY)
        return True

    def _is_ours(self) -> bool:
        """Read whose it is: over a network a file that was replaced may look as it did."""
        holder = _read(self._path)
        return holder is not None and holder.get("token") == self._holder["token"]

    def _watch(self, holder: Mapping[str, Any]) -> None:
        """Wait until it is clear that nobody renews a lease, or it is given back.

        Raises
        ------
        StoreError
            When it is renewed, or replaced.
        """
        _log.warning(
            "kidsclf: process %s on %s has not given %s back: watching for up to %.0f s whether it "
            "lives",
            holder.get("process", "?"),
            holder.get("host", "?"),
            self._path.parent,
            STALE_SECONDS,
        )
        before, deadline = _changed(self._path), time.monotonic() + STALE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            now = _changed(self._path)
            if now == _NOWHERE:
                return
            if now != before:
                raise StoreError(self._refusal(holder))

    def _succeed(self, holder: Mapping[str, Any]) -> bool:
        """Put our lease in the place of a dead one; False where that is gone.

        Raises
        ------
        StoreError
            When another run does so.
        """
        successor = self._path.with_name(f"{NAME}-after-{holder.get('token', '')}")
        if not self._make(successor):
            raise StoreError(
                f"{self._refusal(holder)}; if that is not so, a run was killed as it took the "
                f"folder over: then remove {successor}"
            )
        now = _read(self._path)
        if now is not None and now.get("token") == holder.get("token"):
            successor.replace(self._path)
            return True
        successor.unlink()
        os.close(self._file)
        if now is not None:
            raise StoreError(self._refusal(now))
        return False

    def _refusal(self, holder: Mapping[str, Any]) -> str:
        return (
            f"the work directory {self._path.parent} was to be used, but process "
            f"{holder.get('process', '?')} on {holder.get('host', '?')} holds it since "
            f"{holder.get('since', '?')}; wait for that run to end, or give another --workdir"
        )


def seems_leased(root: Path) -> bool:
    """Say whether a run on another machine holds a folder, by the clocks of both."""
    path = root / NAME
    holder = _read(path)
    if holder is None or holder.get("machine") == this_machine():
        return False  # a lease of this machine says no more than its lock
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    return False


def _read(path: Path) -> dict[str, Any] | None:
    """Read who holds a lease: nothing where there is none, {} in the moment when it is made."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found


def _changed(path: Path) -> tuple[int, int]:
    """Say which file it is and when it was renewed; ``_NOWHERE`` if there is none.

    It is opened, as file systems over a network then ask their server.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
    except FileNotFoundError:
        return _NOWHERE
    return found.st_ino, found.st_mtime_ns
