"""A lease on a work directory in an object store, which knows no locks.

The lease is one small object that is made only where none is, and renewed as long as the run
lives. All times compared are the server's own. What it cannot do: hold back workers of a run that
lost it, which may still end the task they are at.
"""

import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil
from upath import UPath

from kidsclf.errors import StoreError
from kidsclf.store.holding import held

NAME = ".lease.json"
RENEWED_SECONDS = 30.0
STALE_SECONDS = 300.0
"""Not renewed for so long: its run is dead, or cut off for longer than it has patience."""


@dataclass(frozen=True)
class _Held:
    """A lease as it was found: who holds it, and how long ago it was renewed, seconds."""

    holder: Mapping[str, Any]
    etag: str
    age: float

    @property
    def is_dead(self) -> bool:
        """Whether nobody can hold it any more: it is stale, or its process was here and ended."""
        return self.age > STALE_SECONDS or (
            self.holder.get("host") == socket.gethostname() and not _lives(self.holder)
        )


@contextmanager
def leased(root: UPath) -> Iterator[None]:
    """Hold a lease; when another run takes it over, this one is interrupted.

    Raises
    ------
    StoreError
        When another run holds it, or has taken it over.
    """
    with held(_Lease(root / NAME), root):
        yield


def is_leased(root: UPath) -> bool:
    """Say whether a run holds a lease."""
    found = _Lease(root / NAME).found()
    return found is not None and not found.is_dead


class _Lease:
    def __init__(self, path: UPath) -> None:
        self._path = path
        self._etag = ""
        self._holder = {
            "token": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "started": psutil.Process().create_time(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def take(self) -> None:
        """Make the lease, or take a dead one over.

        Raises
        ------
        StoreError
            When another run holds it, or the object store cannot keep two runs apart.
        """
        if not self._put(None):
            found = self.found()
            if found is None or not found.is_dead or not self._put(found.etag):
                raise StoreError(self._refusal(found))
        if self._path.fs.write_if(self._path.path, b"{}", None) is not None:
            self._path.unlink(missing_ok=True)
            raise StoreError(
                f"the work directory {self._path.parent} was to be held for one run, but its "
                f"object store writes without looking at conditions (If-None-Match); use another "
                f"store or a local --workdir"
            )

    @property
    def renewed_seconds(self) -> float:
        """How long a run waits before it renews it again."""
        return RENEWED_SECONDS

    def renew(self) -> str:
        """Show life; say why that is not possible, or nothing."""
        try:
            return "" if self._put(self._etag) else "another run has taken it over"
        except OSError as error:
            return str(error)

    def give_back(self) -> None:
        """Remove the lease if it is still ours."""
        found = self.found()
        if found is not None and found.holder.get("token") == self._holder["token"]:
            self._path.unlink(missing_ok=True)

    def _put(self, etag: str | None) -> bool:
        """Write the lease where this is there; a repeated request may meet its own success."""
        written = self._path.fs.write_if(self._path.path, json.dumps(self._holder).encode(), etag)
        if written is None:
            found = self.found()
            if found is not None and found.holder.get("token") == self._holder["token"]:
                written = found.etag
        self._etag = written or self._etag
        return written is not None

    def found(self) -> _Held | None:
        """Read who holds it, if anybody."""
        try:
            content, etag, age = self._path.fs.read_dated(self._path.path)
        except FileNotFoundError:
            return None
        return _Held(json.loads(content), etag, age)

    def _refusal(self, found: _Held | None) -> str:
        who = "another run has just taken it"
        if found is not None:
            holder = found.holder
            who = (
                f"process {holder['process']} on {holder['host']} holds it since "
                f"{holder['since']} and showed life {found.age:.0f} s ago"
            )
        return (
            f"the work directory {self._path.parent} was to be used, but {who}; wait for that run "
            f"to end (or {STALE_SECONDS:.0f} s, if it is dead), or give another --workdir"
        )


def _lives(holder: Mapping[str, Any]) -> bool:
    try:
        return bool(psutil.Process(holder["process"]).create_time() == holder["started"])
    except psutil.NoSuchProcess:
        return False
