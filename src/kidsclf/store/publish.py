"""Publish: a file appears whole or not at all, and so does a folder on a local file system.

On a local file system the last step is a rename. An object store has none: there a file is made in
local scratch and appears by one upload, and a folder object by object, the file that opens it last;
readers go by receipts, which come after. Two workers may do the same task at once: both write the
same bytes, and the later one wins.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upath import UPath

from kidsclf.places import Place, files_below, is_local

_MARK = ".unfinished-"
_PART_BYTES = 64 * 1024**2
_PARTS = 2
"""Parts that an upload holds in memory at once; S3 takes 10,000 of them, 625 GiB together."""


@contextmanager
def published_file(path: Place) -> Iterator[Path]:
    """Hand out a local temporary path and put what is written there in its place on success."""
    if not is_local(path):
        with tempfile.TemporaryDirectory(prefix="kidsclf-") as folder:
            temporary = Path(folder) / path.name
            yield temporary
            upload(temporary, path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def secure(path: Place) -> None:
    """Wait until the folder of a published file has its name on the disk, for after a power cut.

    A rename is else written down some seconds later. An object store has it at once.
    """
    if not is_local(path):
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def publish_note(path: Place, text: str) -> None:
    """Put a small text in its place without waiting for the disk, which may take milliseconds.

    After a power cut it may be empty: it is for what is then merely made again.
    """
    if not is_local(path):
        with published_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex}-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def published_folder(path: Place, last: str) -> Iterator[Path]:
    """Hand out a local temporary folder and put it in its place on success.

    Parameters
    ----------
    path : Place
    last : str
        The file in it without which it cannot be opened: an object store gets it last.
    """
    if not is_local(path):
        with tempfile.TemporaryDirectory(prefix="kidsclf-") as folder:
            yield Path(folder)
            _upload_folder(Path(folder), path, last)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex}-{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        _replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def upload(file: Path, path: UPath) -> None:
    """Copy a local file to an object store, where it appears whole."""
    try:
        path.fs.put_file(str(file), path.path, chunksize=_PART_BYTES, max_concurrency=_PARTS)
    except FileNotFoundError:
        # The end of an upload in parts was done, but its answer lost: asked again, the store no
        # longer knows the upload.
        if not path.exists() or path.stat().st_size != file.stat().st_size:
            raise


def _upload_folder(folder: Path, path: UPath, last: str) -> None:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    files.sort(key=lambda file: file == folder / last)
    targets = {file: path / file.relative_to(folder).as_posix() for file in files}
    for file, target in targets.items():
        upload(file, target)
    for old in files_below(path).keys() - targets.values():
        old.unlink(missing_ok=True)


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


def remove_unfinished(root: Place) -> int:
    """Remove what killed tasks left behind; return how many things that were.

    Nothing unfinished can be seen in an object store: uploads in parts that were cut off are not
    objects, and the store's own rules remove them.
    """
    if not is_local(root):
        return 0
    left = [path for path in root.rglob(f"{_MARK}*") if _MARK not in str(path.parent)]
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(left)
