"""What a task is, what it makes, and how a worker does it."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kidsclf.errors import KidsclfError
from kidsclf.pipeline.full_disk import write_failures
from kidsclf.places import Place, name_below
from kidsclf.store.checksums import checksum
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.quarantine import Quarantined
from kidsclf.store.receipts import (
    Receipt,
    fingerprint,
    forget_receipt,
    is_finished,
    measure,
    write_receipt,
)


@dataclass(frozen=True)
class Made:
    """What a task made: rows held, files or folders written, small facts for the client."""

    rows: int
    outputs: tuple[Place, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One call of a module-level function that writes its own outputs."""

    stage: str
    name: str
    fingerprint: str
    work: Callable[..., Made]
    arguments: tuple[Any, ...]
    rows: int = 0
    """Expected rows, for the progress line and for the balance of what was left out."""
    about: str = ""
    """What the progress line calls it beside the stage: a network, a sample."""
    essential: bool = False
    """The run is nothing without it, so it is never put in quarantine."""

    @property
    def title(self) -> str:
        """What progress line and dashboard call the tasks of its kind."""
        return f"{self.stage}:{self.about}" if self.about else self.stage

    @property
    def label(self) -> str:
        """The partition or chunk it works on."""
        return self.name.rpartition("@")[2]


@dataclass(frozen=True)
class Mapped:
    """How tasks went: receipts in the order of the tasks, how many were new, what was left out."""

    receipts: tuple[Receipt, ...]
    done: int
    seconds: float
    quarantined: tuple[Quarantined, ...] = ()
    kept: frozenset[str] = frozenset()
    """Names of the tasks that were finished already."""

    @property
    def skipped(self) -> int:
        """Tasks that were finished already."""
        return len(self.receipts) - self.done


def made_as(wanted: str, *parts: Mapped) -> str:
    """Give the fingerprint of a stage's summary: not the wanted one while tasks were left out.

    So the next run does not take the stage for finished, and tries them again.
    """
    left_out = left_out_names(parts)
    return fingerprint(wanted, left_out) if left_out else wanted


def left_out_names(parts: Iterable[Mapped]) -> list[str]:
    """List what several maps put in quarantine, as ``STAGE TASK``."""
    return [f"{each.stage} {each.task}" for part in parts for each in part.quarantined]


_OF_THREAD = threading.local()


def stop_clock() -> None:
    """Count the seconds of the task that this thread does up to here: the next has its own."""
    _OF_THREAD.ended = time.perf_counter()


def perform(task: Task, work: WorkDirectory) -> Receipt:
    """Do one task on a worker and leave its receipt.

    A worker may have died when the receipt was written but not yet told of: then nothing is redone.
    """
    kept = is_finished(work.receipts, work.root, task.stage, task.name, task.fingerprint)
    if kept is not None:
        return kept
    started, _OF_THREAD.ended = time.perf_counter(), None
    try:
        with write_failures(work.root):
            forget_receipt(work.receipts, task.stage, task.name, but=task.fingerprint)
            made = task.work(*task.arguments)
            outputs = {name_below(work.root, path): measure(path) for path in made.outputs}
            receipt = Receipt(
                task.stage,
                task.name,
                task.fingerprint,
                made.rows,
                (_OF_THREAD.ended or time.perf_counter()) - started,
                outputs,
                made.facts,
                {name_below(work.root, path): checksum(path) for path in made.outputs},
                f"{socket.gethostname()}:{os.getpid()}",
            )
            write_receipt(work.receipts, receipt)
    except KidsclfError as error:
        error.add_note(f"while working on {task.stage} {task.name}")
        raise
    return receipt
