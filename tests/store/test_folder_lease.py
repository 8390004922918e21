"""A folder that machines share: one run at a time, whoever may see the others' locks."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from kidsclf.errors import StoreError
from kidsclf.store import folder_lease, holding, lock
from kidsclf.store.folder_lease import NAME, FolderLease
from kidsclf.store.lock import is_held, locked

SECONDS = {"RENEWED_SECONDS": 0.1, "STALE_SECONDS": 2.0, "_LOOK_SECONDS": 0.02}

ELSEWHERE = f"""
import signal, sys, time
from pathlib import Path
from kidsclf.store import folder_lease, lock
folder_lease.__dict__.update({SECONDS})
folder_lease.this_machine = lambda: "another machine"
lock.fcntl.flock = lambda *_: None
with lock.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def soon(monkeypatch):
    """Leases that become stale soon, and locks of which others know nothing."""
    for name, seconds in SECONDS.items():
        monkeypatch.setattr(folder_lease, name, seconds)
    monkeypatch.setattr(lock.fcntl, "flock", lambda *_: None)


@contextmanager
def held_elsewhere(folder) -> Iterator[subprocess.Popen]:
    """Hold the folder in a process that shares no lock with this one."""
    command = [sys.executable, "-c", ELSEWHERE, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "held\n", other.communicate()
            yield other
        finally:
            other.kill()


def test_two_machines_are_kept_apart_and_a_dead_one_is_succeeded(soon, tmp_path, caplog):
    (tmp_path / "mine").touch()
    with held_elsewhere(tmp_path) as other:
        assert is_held(tmp_path)
        with pytest.raises(StoreError, match=f"but process {other.pid} on "), locked(tmp_path):
            pytest.fail("held by two")
        assert f"process {other.pid} on " in caplog.text  # it says why nothing happens meanwhile
        assert "watching for up to 2 s whether it lives" in caplog.text
        os.kill(other.pid, signal.SIGSTOP)  # cut off: it does not renew its lease any more
        with locked(tmp_path):
            holder = json.loads((tmp_path / NAME).read_text())
            assert holder["process"] == os.getpid()
            os.kill(other.pid, signal.SIGCONT)
            assert other.wait(timeout=60) == 1
            assert other.stderr is not None
            said = other.stderr.read()
            assert "StoreError: the work directory" in said
            assert "another run has taken it over" in said
            assert json.loads((tmp_path / NAME).read_text()) == holder
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_killed_run_of_this_machine_is_succeeded_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lease.time, "sleep", lambda _: pytest.fail("waited"))
    FolderLease(tmp_path).take()  # and never given back
    assert not is_held(tmp_path)
    with locked(tmp_path):
        assert is_held(tmp_path)
    assert not tmp_path.exists()  # nothing was left in it


def of_another_machine(folder) -> FolderLease:
    lease = FolderLease(folder)
    lease._holder["machine"] = "another machine"
    return lease


def test_of_many_one_succeeds_a_dead_run(tmp_path):
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        dead = of_another_machine(folder)
        dead.take()
        ready = threading.Barrier(8)

        def succeed(_: int, folder=folder, holder=dead._holder, ready=ready) -> bool:
            lease = FolderLease(folder)
            ready.wait()
            try:
                return lease._succeed(holder) and lease.renew() == ""
            except StoreError:
                return False

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(succeed, range(8))) == 1
        assert [path.name for path in folder.iterdir()] == [NAME]


def test_a_takeover_is_seen_by_what_the_file_says(tmp_path, monkeypatch):
    """As over NFS, where the replaced file that is held open may be gone for good."""
    lease = FolderLease(tmp_path)
    lease.take()

    for name in ("fstat", "utime"):
        real = getattr(os, name)

        def stale(file: object, *arguments: object, real=real, **named: object) -> object:
            if file == lease._file:
                raise OSError(116, "Stale file handle")
            return real(file, *arguments, **named)

        monkeypatch.setattr(folder_lease.os, name, stale)
    assert lease.renew() == ""
    other = of_another_machine(tmp_path)
    assert other._succeed(lease._holder)
    assert lease.renew() == "another run has taken it over"
    lease.give_back()
    assert other.renew() == ""


def test_a_lease_lost_at_the_end_of_a_run_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lease, "RENEWED_SECONDS", 0.01)
    lease = FolderLease(tmp_path)
    told = threading.Event()
    monkeypatch.setattr(holding.signal, "pthread_kill", lambda *_: told.set())

    def run() -> None:
        with holding.held(lease, tmp_path):
            of_another_machine(tmp_path)._succeed(lease._holder)
            assert told.wait(10)

    with pytest.raises(StoreError, match="another run has taken it over"):
        run()


def test_a_run_that_ends_while_it_is_watched_is_followed(soon, tmp_path):
    before = of_another_machine(tmp_path)
    before.take()
    threading.Timer(0.2, before.give_back).start()
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["machine"] == folder_lease.this_machine()


def test_a_run_that_was_killed_as_it_took_over_is_named(soon, tmp_path):
    of_another_machine(tmp_path).take()
    token = json.loads((tmp_path / NAME).read_text())["token"]
    (tmp_path / f"{NAME}-after-{token}").touch()
    with pytest.raises(StoreError, match=f"then remove .*{NAME}-after-{token}"):
        FolderLease(tmp_path).take()


def test_a_disk_without_room_leaves_no_lease(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_lease.json, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        FolderLease(tmp_path).take()
    assert not list(tmp_path.iterdir())


def test_a_lease_that_is_given_back_in_this_moment_is_taken(tmp_path, monkeypatch):
    (tmp_path / NAME).write_text("{}")
    read = folder_lease._read

    def gone(path):
        path.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(folder_lease, "_read", gone)
    FolderLease(tmp_path).take()
    assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
