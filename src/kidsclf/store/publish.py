"""Publish by rename: a file or folder appears whole or not at all.

Two workers may do the same task at once; the later rename wins and both wrote the same bytes.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MARK = ".unfinished-"


@contextmanager
def published_file(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside ``path`` and rename it there on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def published_folder(path: Path) -> Iterator[Path]:
    """Hand out a temporary folder beside ``path`` and put it in its place on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex}-{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        _replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(temporary: Path, path: Path) -> None:
    """Rename a folder over another; a rival that came first is moved aside, then removed."""
    while True:
        try:
            temporary.rename(path)
        except OSError:
            if not path.exists():
                raise
            aside = path.with_name(f"{_MARK}{uuid.uuid4().hex}-old-{path.name}")
            try:
                path.rename(aside)
            except FileNotFoundError:
                continue
            shutil.rmtree(aside, ignore_errors=True)
        else:
            return


def remove_unfinished(root: Path) -> int:
    """Remove what killed tasks left behind; return how many things that were."""
    left = [path for path in root.rglob(f"{_MARK}*") if _MARK not in str(path.parent)]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)
