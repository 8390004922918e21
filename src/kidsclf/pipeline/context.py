"""What every stage is handed, and what it says when it is done."""

import hashlib
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kidsclf import __version__
from kidsclf.config import Config
from kidsclf.errors import StoreError
from kidsclf.pipeline.tasks import Mapped, Task
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import in_sky_order
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.quarantine import Quarantined, read_quarantine
from kidsclf.store.receipts import Receipt, fingerprint, read_receipt, read_receipts
from kidsclf.surveys.column_map import ColumnMap

SUMMARY = "summary"
"""Task name of the receipt that sums a whole stage up."""

ANSWERED_BY, ON_GPU, BY_TILES = "answered_by", "on_gpu", "by_tiles"
"""Facts of a task that scores: the backend, and whether a GPU or a processor's tiles answered."""
SCORING = ("infer/compiled.py", "infer/score.py")
"""Code that training takes from ``infer``, for its fingerprint."""

STAGE_ORDER = (
    *("ingest", "cutouts", "features", "match"),
    *("train", "infer", "reduce", "products"),
)
"""What leaves receipts, in the order in which it is done."""


Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Doer(Protocol):
    """Who does the tasks of a run, or says which are to do."""

    def map(self, tasks: Sequence[Task]) -> Mapped:
        """Do those that are not finished; give the receipts of all, in their order."""

    def ask(
        self, answer: Callable[[Asked], Answer], asked: Mapping[str, Asked]
    ) -> Iterator[Answer]:
        """Give the answers to small questions, in their order."""

    def tell_kept(self, stage: str, tasks: int) -> None:
        """Say that a whole stage was finished before."""

    def restart_workers(self) -> None:
        """Give every worker a fresh process."""


@dataclass(frozen=True)
class Context:
    """One run: its settings, its folder, its column maps and who does the work.

    Attributes
    ----------
    foreseen : mapping of (stage, task) to Receipt
        For a dry run: what tasks that are to be done again will leave.
    tried_again : frozenset of str
        For a dry run: stages whose quarantine a run would try again.
    """

    config: Config
    work: WorkDirectory
    survey: ColumnMap
    samples: Mapping[str, ColumnMap]
    engine: Doer
    foreseen: Mapping[tuple[str, str], Receipt] = field(default_factory=dict)
    tried_again: frozenset[str] = frozenset()

    @property
    def bands(self) -> tuple[str, ...]:
        """Photometric bands of the survey, blue to red."""
        return self.survey.bands

    @property
    def has_images(self) -> bool:
        """Whether the run has stamps."""
        return self.config.has_images

    def receipt(self, stage: str, task: str) -> Receipt | None:
        """Read the receipt of a task; None where there is none."""
        foreseen = self.foreseen.get((stage, task))
        return foreseen or read_receipt(self.work.receipts, stage, task)


@dataclass(frozen=True)
class StageOutcome:
    """How a stage went."""

    stage: str
    tasks: int
    skipped: int
    rows: int
    seconds: float
    task_seconds: float
    """Sum of the tasks' own wall times, as their receipts tell."""
    by_worker: Mapping[str, "Share"] = field(default_factory=dict)
    """What each worker did of it in this run."""
    by_network: Mapping[str, "Share"] = field(default_factory=dict)
    """What each network took of it, as all receipts tell, whenever they were left."""

    @classmethod
    def of(cls, stage: str, *parts: Mapped, rows: int | None = None) -> "StageOutcome":
        """Sum up mapped tasks; ``rows`` counts sources once where several parts held them."""
        receipts = [receipt for part in parts for receipt in part.receipts]
        return cls(
            stage,
            len(receipts),
            sum(part.skipped for part in parts),
            sum(receipt.rows for receipt in receipts) if rows is None else rows,
            sum(part.seconds for part in parts),
            sum(receipt.seconds for receipt in receipts),
            _shares(each for part in parts for each in part.receipts if each.task not in part.kept),
        )


@dataclass(frozen=True)
class Share:
    """A part of a stage; ``seconds`` are those that workers were busy with it."""

    tasks: int = 0
    rows: int = 0
    seconds: float = 0.0
    on_gpu: bool = False
    """Whether every task of it says that a GPU computed."""
    median_rate: float = math.nan
    """Rows a second of the median task: without the first ones, which load and compile."""

    @classmethod
    def of(cls, receipts: Sequence[Receipt]) -> "Share":
        """Sum up what tasks tell of themselves."""
        rates = [each.rows / each.seconds for each in receipts if each.rows and each.seconds]
        return cls(
            len(receipts),
            sum(each.rows for each in receipts),
            sum(each.seconds for each in receipts),
            bool(receipts) and all(each.facts.get(ON_GPU, False) for each in receipts),
            statistics.median(rates) if rates else math.nan,
        )


def _shares(receipts: Iterable[Receipt]) -> dict[str, Share]:
    found: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        if receipt.worker:
            found.setdefault(receipt.worker, []).append(receipt)
    return {worker: Share.of(some) for worker, some in found.items()}


@lru_cache
def code_fingerprint(*packages: str) -> str:
    """Hash the version and the source files of the stages and of some of our packages."""
    digest = hashlib.blake2b(__version__.encode(), digest_size=16)
    root = Path(str(resources.files("kidsclf")))
    for package in ("pipeline", "schema.py", "combinations.py", *sorted(packages)):
        paths = (root / package).rglob("*") if (root / package).is_dir() else (root / package,)
        for path in sorted(paths):
            if path.suffix in {".py", ".toml", ".html", ".css", ".js", ".j2"}:
                digest.update(path.relative_to(root).as_posix().encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def finished_partitions(context: Context, stage: str = "ingest") -> dict[Partition, Receipt]:
    """Read the receipts of the partitions of the catalogue, in sky order.

    Parameters
    ----------
    context : Context
    stage : str
        Who asks: partitions that a stage before it has put in quarantine are left out.

    Raises
    ------
    StoreError
        When ingest has not finished, or not with today's settings.
    """
    summary = stage_summary(context, "ingest")
    if summary.facts["asked"] != ingest_settings(context):
        raise out_of_date("ingest")
    found: dict[Partition, Receipt] = {}
    left_out = left_out_before(context, stage)
    everywhere = in_sky_order(map(Partition.parse, summary.facts["partitions"]))
    wanted = [partition for partition in everywhere if partition.label not in left_out]
    labels = [partition.label for partition in wanted]
    receipts = read_receipts(context.work.receipts, "ingest", labels)
    for partition, read in zip(wanted, receipts, strict=True):
        receipt = context.foreseen.get(("ingest", partition.label), read)
        if receipt is None:
            raise _lacking(context, "ingest")
        found[partition] = receipt
    return found


def quarantined_before(context: Context, stage: str) -> tuple[Quarantined, ...]:
    """Read what stages before one have put in quarantine; with "" what all have."""
    before = set(STAGE_ORDER[: STAGE_ORDER.index(stage)] if stage else STAGE_ORDER)
    before -= context.tried_again
    found = read_quarantine(context.work.quarantine)
    return tuple(each for each in found if each.stage.partition(".")[0] in before)


def left_out_before(context: Context, stage: str) -> frozenset[str]:
    """Name the partitions, and the chunks of tables, that earlier stages put in quarantine."""
    found = quarantined_before(context, stage)
    return frozenset(each.task.rpartition("@")[2] for each in found)


def ingest_settings(context: Context) -> str:
    """Hash the settings that decide what the catalogue holds."""
    return fingerprint(context.survey.model_dump(), settings_of(context.config.ingest))


def out_of_date(stage: str) -> StoreError:
    """Say that a stage would have to be done again first."""
    return StoreError(
        f"the stage {stage!r} was last done with other settings or inputs than this command has; "
        f"add {stage} to --stages, or leave --stages away"
    )


def require_current(context: Context, tasks: Iterable[Task]) -> None:
    """Make sure that tasks of an earlier stage were done as they would be done today.

    What that stage has put in quarantine need not be.

    Raises
    ------
    StoreError
        When one was not done, or otherwise.
    """
    left_out = {(each.stage, each.task) for each in quarantined_before(context, "")}
    for task in tasks:
        if (task.stage, task.name) in left_out:
            continue
        if task_fingerprint(context, task.stage, task.name) != task.fingerprint:
            raise out_of_date(task.stage)


def stage_summary(context: Context, stage: str) -> Receipt:
    """Read a stage's summary.

    Raises
    ------
    StoreError
        When the stage has not finished.
    """
    receipt = context.receipt(stage, SUMMARY)
    if receipt is None:
        raise _lacking(context, stage)
    return receipt


def task_fingerprint(context: Context, stage: str, task: str) -> str:
    """Give the fingerprint of a finished task.

    Raises
    ------
    StoreError
        When there is no such task.
    """
    receipt = context.receipt(stage, task)
    if receipt is None:
        raise _lacking(context, stage)
    return receipt.fingerprint


def _lacking(context: Context, stage: str) -> StoreError:
    return StoreError(
        f"the stage {stage!r} must have finished first, but {context.work.receipts} holds no "
        f"receipt of it; add {stage} to --stages"
    )


def settings_of(*sections: Any) -> list[Any]:
    """Turn frozen settings to plain data for a fingerprint."""
    return [section.model_dump() for section in sections]
