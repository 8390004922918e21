"""Quarantine: what was left out of a run because its input is bad or it kills workers, and why.

A record lies where a receipt would, below ``quarantine/`` instead of ``receipts/``. It holds until
its stage is run again, which tries the task again.
"""

import json
from dataclasses import asdict, dataclass

from kidsclf.places import Place, remove_tree, subfolders
from kidsclf.store.publish import published_file
from kidsclf.store.receipts import receipt_path


@dataclass(frozen=True)
class Quarantined:
    """One task that was left out.

    Attributes
    ----------
    stage, task, fingerprint : str
        As a receipt has them.
    rows : int
        Sources that it was expected to hold.
    reason : str
        What happened, in one sentence.
    """

    stage: str
    task: str
    fingerprint: str
    rows: int
    reason: str


def write_quarantined(root: Place, record: Quarantined) -> None:
    """Publish a record."""
    with published_file(receipt_path(root, record.stage, record.task)) as temporary:
        temporary.write_text(json.dumps(asdict(record), sort_keys=True), encoding="utf-8")


def read_quarantine(root: Place) -> tuple[Quarantined, ...]:
    """Read all records, sorted by stage and task."""
    found = [
        Quarantined(**json.loads(path.read_text(encoding="utf-8")))
        for folder in subfolders(root)
        for path in folder.glob("*.json")
        if not path.name.startswith(".")
    ]
    return tuple(sorted(found, key=lambda record: (record.stage, record.task)))


def release(root: Place, stage: str) -> None:
    """Forget what a stage has left out: its folder, and those named ``STAGE.something``."""
    for folder in subfolders(root):
        if folder.name == stage or folder.name.startswith(f"{stage}."):
            remove_tree(folder)
    if not subfolders(root):
        remove_tree(root)
