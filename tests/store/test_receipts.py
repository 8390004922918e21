"""What vouches for a finished task, and what does not; and who may do tasks at all."""

import errno
import fcntl
import os

import pytest

from kidsclf.errors import StoreError
from kidsclf.store.lock import is_held, locked
from kidsclf.store.receipts import (
    Receipt,
    is_finished,
    read_receipt,
    receipt_path,
    write_receipt,
)


@pytest.fixture
def done(tmp_path):
    """A work directory with one finished task."""
    (tmp_path / "made").write_bytes(b"12345")
    write_receipt(tmp_path, Receipt("match", "5/7", "as today", 3, 0.1, {"made": 5}))
    assert is_finished(tmp_path, tmp_path, "match", "5/7", "as today") is not None
    return tmp_path


def test_a_receipt_is_whole_or_none(done):
    """A power cut may leave a file empty, full of zeros or cut short."""
    path = receipt_path(done, "match", "5/7")
    text = path.read_bytes()
    for left in (b"", bytes(len(text)), text[: len(text) // 2], text[:-1], b"\xff", b"null", b"[]"):
        path.write_bytes(left)
        assert read_receipt(done, "match", "5/7") is None, left
        assert is_finished(done, done, "match", "5/7", "as today") is None, left


def test_a_receipt_does_not_outlive_its_outputs(done):
    for left in (b"", b"1234", b"123456"):
        (done / "made").write_bytes(left)
        assert is_finished(done, done, "match", "5/7", "as today") is None, left
    (done / "made").unlink()
    assert is_finished(done, done, "match", "5/7", "as today") is None


def test_a_file_system_without_locks_is_not_taken_for_another_run(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match=r"its file system refuses locks \(No locks"):
        locked(tmp_path).__enter__()
    assert not is_held(tmp_path)
