"""Receipts: what a finished task leaves, and by which it is known to be finished."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kidsclf.store.publish import published_file


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
    """

    stage: str
    task: str
    fingerprint: str
    rows: int
    seconds: float
    outputs: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def fingerprint(*parts: Any) -> str:
    """Hash JSON-like parts, 32 hexadecimal digits.

    >>> fingerprint("a", 1) == fingerprint("a", 1) != fingerprint("a", 2)
    True
    """
    text = json.dumps(parts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def receipt_path(root: Path, stage: str, task: str) -> Path:
    """Say where the receipt of a task lies."""
    return root / stage / f"{task.replace('/', '_')}.json"


def write_receipt(root: Path, receipt: Receipt) -> None:
    """Publish a receipt."""
    with published_file(receipt_path(root, receipt.stage, receipt.task)) as temporary:
        temporary.write_text(json.dumps(asdict(receipt), sort_keys=True), encoding="utf-8")


def read_receipt(root: Path, stage: str, task: str) -> Receipt | None:
    """Read a receipt; None where there is none or it is damaged."""
    try:
        text = receipt_path(root, stage, task).read_text(encoding="utf-8")
        return Receipt(**json.loads(text))
    except (OSError, ValueError, TypeError):
        return None


def measure(path: Path) -> int:
    """Count the bytes of a file, or of all files of a folder; -1 where there is nothing."""
    if path.is_dir():
        return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    return path.stat().st_size if path.exists() else -1


def is_finished(root: Path, work: Path, stage: str, task: str, wanted: str) -> Receipt | None:
    """Give the receipt if the task was done with today's fingerprint and its outputs stand."""
    receipt = read_receipt(root, stage, task)
    if receipt is None or receipt.fingerprint != wanted:
        return None
    whole = all(measure(work / path) == size for path, size in receipt.outputs.items())
    return receipt if whole else None
