"""Receipts: what a finished task leaves, and by which it is known to be finished."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from kidsclf.places import Place, files_below, is_local
from kidsclf.store.publish import publish_note

ASKED_AT_ONCE = 16
"""Requests that one process has under way in an object store: nearly all of it is waiting."""


@dataclass(frozen=True)
class Receipt:
    """One finished task.

    Attributes
    ----------
    stage, task : str
    fingerprint : str
        Hash of the settings, inputs and code that made it.
    rows : int
        Sources it held.
    seconds : float
        Wall time on the worker.
    outputs : mapping of path below the work directory to bytes
        Folders count with the size of their files.
    facts : mapping
        Small things the client needs: cut counts, sums.
    checksums : mapping of path below the work directory to eight hexadecimal digits
        Of the same outputs; see ``kidsclf.store.checksums``.
    worker : str
        Machine and number of the process that did it; empty where that was not noted.
    """

    stage: str
    task: str
    fingerprint: str
    rows: int
    seconds: float
    outputs: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    worker: str = ""


def fingerprint(*parts: Any) -> str:
    """Hash JSON-like parts, 32 hexadecimal digits.

    >>> fingerprint("a", 1) == fingerprint("a", 1) != fingerprint("a", 2)
    True
    """
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def receipt_path(root: Place, stage: str, task: str) -> Place:
    """Say where the receipt of a task lies."""
    return root / stage / f"{task.replace('/', '_')}.json"


def write_receipt(root: Place, receipt: Receipt) -> None:
    """Publish a receipt; one that a power cut empties is none, and its task is done again."""
    path = receipt_path(root, receipt.stage, receipt.task)
    publish_note(path, json.dumps(asdict(receipt), sort_keys=True))


def read_receipt(root: Place, stage: str, task: str) -> Receipt | None:
    """Read a receipt; None where there is none or it is damaged."""
    try:
        text = receipt_path(root, stage, task).read_text(encoding="utf-8")
        return Receipt(**json.loads(text))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def read_receipts(root: Place, stage: str, tasks: Sequence[str]) -> list[Receipt | None]:
    """Read several as ``read_receipt`` does; an object store is asked for many at a time."""
    with ThreadPoolExecutor(1 if is_local(root) else ASKED_AT_ONCE) as pool:
        return list(pool.map(lambda task: read_receipt(root, stage, task), tasks))


def all_finished(
    root: Place, work: Place, stage: str, wanted: Mapping[str, str]
) -> list[Receipt] | None:
    """Give the receipts of tasks if all were done with these fingerprints, by ``is_finished``."""
    with ThreadPoolExecutor(1 if is_local(root) else ASKED_AT_ONCE) as pool:
        found = pool.map(lambda task: is_finished(root, work, stage, task, wanted[task]), wanted)
        receipts = [receipt for receipt in found if receipt is not None]
    return receipts if len(receipts) == len(wanted) else None


def forget_receipt(root: Place, stage: str, task: str, but: str) -> None:
    """Remove the receipt of a task, unless it has this fingerprint.

    What it says of the outputs no longer holds once they are written anew.
    """
    receipt = read_receipt(root, stage, task)
    if receipt is not None and receipt.fingerprint != but:
        receipt_path(root, stage, task).unlink(missing_ok=True)


def measure(path: Place) -> int:
    """Count the bytes of a file, or of all files of a folder; -1 where there is nothing."""
    if is_local(path):
        if path.is_dir():
            return sum(files_below(path).values())
        return path.stat().st_size if path.exists() else -1
    found = files_below(path)  # of a file it is the file
    return sum(found.values()) if found else -1


def is_finished(root: Place, work: Place, stage: str, task: str, wanted: str) -> Receipt | None:
    """Give the receipt if the task was done with today's fingerprint and its outputs stand."""
    receipt = read_receipt(root, stage, task)
    if receipt is None or receipt.fingerprint != wanted:
        return None
    whole = all(measure(work / path) == size for path, size in receipt.outputs.items())
    return receipt if whole else None
