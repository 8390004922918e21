"""Where files lie: on a local file system, or in an object store under ``s3://``.

A place is a ``UPath``: a local one is a ``pathlib.Path``, a remote one carries the options of its
store along, so that any worker can open it. All else that differs between the two stands here.
"""

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow.parquet as pq
from typing_extensions import TypeIs
from upath import UPath

from kidsclf.config import StoreSettings
from kidsclf.errors import ConfigError

# By name: what S3 needs is imported only where a run uses it.
fsspec.register_implementation("s3", "kidsclf.object_store.PatientS3FileSystem", clobber=True)

Place = Path | UPath
"""Local or remote; what is written for one works for the other."""

_REMOTE = "s3"
_COPY_BYTES = 64 * 1024**2


def place(text: str | PathLike[str], settings: StoreSettings) -> UPath:
    """Give the place that a path or URL names; nothing is touched.

    Raises
    ------
    ConfigError
        For a kind of URL that cannot be opened.
    """
    kind, sign, _ = str(text).partition("://")
    if not sign:
        return UPath(text)
    if kind != _REMOTE:
        raise ConfigError(
            f"{text} was asked for, but files are reached by local paths and s3:// only; give one "
            f"of those"
        )
    given: dict[str, Any] = {
        "endpoint_url": settings.endpoint_url,
        "profile": settings.profile,
        "region": settings.region,
        "anon": settings.anonymous,
        "patience_seconds": settings.patience_seconds,
        "timeout_seconds": settings.timeout_seconds,
    }
    there: UPath = UPath(text, **{key: value for key, value in given.items() if value is not None})
    return there


def impatient(path: UPath, seconds: float) -> UPath:
    """Give the same place for a first try, which waits no longer than this."""
    options: dict[str, Any] = dict(path.storage_options)
    options["patience_seconds"] = min(seconds, options["patience_seconds"])
    there: UPath = UPath(str(path), **options)
    return there


def is_local(path: Place) -> TypeIs[Path]:
    """Say whether a place is on a local file system."""
    return isinstance(path, Path)


def find_places(pattern: str, settings: StoreSettings) -> list[UPath]:
    """List the files that a path or glob names, sorted; ``**`` goes through all folders."""
    one = place(pattern, settings)
    if is_local(one):
        # Path.glob takes no absolute patterns.
        names = [pattern] if one.is_file() else glob.glob(pattern, recursive=True)  # noqa: PTH207
        return sorted(path for path in map(UPath, names) if path.is_file())
    if not glob.has_magic(one.path):
        return [one] if _is_remote_file(one) else []
    found = one.fs.glob(one.path, detail=True)
    names = sorted(name for name, each in found.items() if each["type"] == "file")
    return [UPath(f"{_REMOTE}://{name}", **one.storage_options) for name in names]


def _is_remote_file(path: UPath) -> bool:
    """Ask once more than ``UPath.is_file``: that takes a server that is away for a no."""
    try:
        return bool(path.fs.info(path.path)["type"] == "file")
    except FileNotFoundError:
        return False


def name_below(folder: Place, path: Place) -> str:
    """Give the name of a file relative to a folder above it, with slashes."""
    return str(path)[len(str(folder).rstrip("/")) + 1 :]


def subfolders(folder: Place) -> list[Place]:
    """List the folders in a folder; nothing where there is none."""
    if is_local(folder):
        return [path for path in folder.iterdir() if path.is_dir()] if folder.exists() else []
    try:
        found = folder.fs.ls(folder.path, detail=True)
    except FileNotFoundError:
        return []
    names = [each["name"].rpartition("/")[2] for each in found if each["type"] == "directory"]
    return [folder / name for name in names]


def files_below(folder: Place) -> dict[Place, int]:
    """List all files below a folder with their bytes; nothing where there is no folder."""
    if is_local(folder):
        return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    found = folder.fs.find(folder.path, detail=True)
    start = len(folder.path.rstrip("/")) + 1
    return {
        folder / name[start:] if name[start:] else folder: int(each["size"])
        for name, each in found.items()
    }


def open_to_read(path: Place, read_ahead: int = 0) -> BinaryIO:
    """Open a file for reading and seeking.

    Parameters
    ----------
    path : Place
    read_ahead : int
        Bytes that one request to an object store fetches beyond those asked for, and keeps: 0 for
        large reads, some 64 KiB for small ones that follow each other.
    """
    if is_local(path):
        return cast("BinaryIO", path.open("rb"))
    cache = "readahead" if read_ahead else "none"
    file = path.fs.open(path.path, "rb", block_size=max(read_ahead, 1), cache_type=cache)
    return cast("BinaryIO", file)


def open_parquet(path: Place) -> Any:
    """Open a Parquet file; of a remote one only the columns and row groups read are fetched.

    Returns
    -------
    pyarrow.parquet.ParquetFile
        A context manager.
    """
    if is_local(path):
        return pq.ParquetFile(path)
    return pq.ParquetFile(open_to_read(path), pre_buffer=True)


@contextmanager
def local_file(path: Place) -> Iterator[Path]:
    """Give a file that libraries without file systems can open: itself, or a copy for a while."""
    if is_local(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="kidsclf-") as folder:
        copy = Path(folder) / path.name
        download(path, copy)
        yield copy


@contextmanager
def local_folder(path: Place) -> Iterator[Path]:
    """Give a folder as ``local_file`` gives a file."""
    if is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kidsclf-") as folder:
        download_tree(path, Path(folder))
        yield Path(folder)


def download_tree(path: Place, folder: Path) -> None:
    """Copy all files below a folder into a local one that exists."""
    for each in files_below(path):
        copy = folder / name_below(path, each)
        copy.parent.mkdir(parents=True, exist_ok=True)
        download(each, copy)


def download(path: Place, copy: Path) -> None:
    """Copy a file to a local one; memory holds a piece of it."""
    with open_to_read(path) as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)


def file_fingerprint(path: Place) -> tuple[str, int, str]:
    """Identify a file by its name, bytes, and time of change (local) or ETag (remote)."""
    if is_local(path):
        status = path.stat()
        return str(path.resolve()), status.st_size, str(status.st_mtime_ns)
    found = path.fs.info(path.path)
    return str(path), int(found["size"]), str(found["ETag"]).strip('"')


def remove_tree(path: Place) -> None:
    """Remove a folder with all below it; nothing there is no error."""
    if is_local(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    path.fs.remove_files([str(each.path) for each in files_below(path) if not is_local(each)])
