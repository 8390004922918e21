"""How far a run has come, from what it left on disk; no cluster is needed, and nothing is touched.

What is counted is what stands: whether it would stand with other settings is said by a dry run.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from kidsclf.config import Config, load_config
from kidsclf.errors import ConfigError
from kidsclf.pipeline.client_files import FILES
from kidsclf.pipeline.context import STAGE_ORDER, SUMMARY
from kidsclf.places import Place, subfolders
from kidsclf.store.failure import Failure, read_failure
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.lock import is_held
from kidsclf.store.quarantine import Quarantined, read_quarantine
from kidsclf.store.receipts import read_receipt

_OF_THE_CLIENT = (SUMMARY, FILES)


@dataclass(frozen=True)
class StageStatus:
    """One stage: tasks that left receipts, and how many there are in all.

    Attributes
    ----------
    stage : str
    finished : int
    expected : int or None
        None where it is not known yet: before the sky is split.
    quarantined : int
    rows : int
        Sources that the finished tasks held; a task for each network counts its own.
    seconds : float
        Sum of their wall times on the workers.
    """

    stage: str
    finished: int
    expected: int | None
    quarantined: int
    rows: int
    seconds: float

    @property
    def state(self) -> str:
        """Say it in a word."""
        if self.expected == 0:
            return "left out"
        if self.expected is not None and self.finished + self.quarantined >= self.expected:
            return "done but for quarantine" if self.quarantined else "done"
        return "begun" if self.finished else "not begun"


@dataclass(frozen=True)
class RunStatus:
    """A whole run: its stages, what was left out, and how the last command ended."""

    title: str
    running: bool
    stages: tuple[StageStatus, ...]
    quarantined: tuple[Quarantined, ...]
    failure: Failure | None

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(stage.state.startswith(("done", "left out")) for stage in self.stages)


def status_of(work: WorkDirectory) -> RunStatus:
    """Read how far a run has come.

    Raises
    ------
    ConfigError
        When there is no run in the folder.
    """
    if not work.settings.exists():
        raise ConfigError(
            f"the status of a run was asked for, but {work.root} holds no run.toml; give the "
            f"--workdir of a run"
        )
    config = load_config(work.settings)
    expected = _expected(work, config)
    quarantined = read_quarantine(work.quarantine)
    return RunStatus(
        config.run.title,
        is_held(work.root),
        tuple(_stage(work, stage, expected[stage], quarantined) for stage in STAGE_ORDER),
        quarantined,
        read_failure(work.failure),
    )


def _expected(work: WorkDirectory, config: Config) -> dict[str, int | None]:
    """Count the tasks of each stage; most have one a partition."""
    networks = len(config.train.networks)
    trained = (
        networks if config.train.pretrained is not None else networks * (1 + config.train.folds)
    )
    summary = read_receipt(work.receipts, "ingest", SUMMARY)
    partitions = None if summary is None else len(summary.facts["partitions"])
    each = None if partitions is None else partitions * networks
    return {
        "ingest": partitions,
        "cutouts": partitions if config.has_images else 0,
        "match": partitions if config.samples else 0,
        "train": trained,
        "infer": each,
        "reduce": each,
        "products": partitions,
    }


def _stage(
    work: WorkDirectory, stage: str, expected: int | None, left_out: Iterable[Quarantined]
) -> StageStatus:
    records = [_read(path) for path in _receipts(work.receipts / stage)]
    return StageStatus(
        stage,
        len(records),
        expected,
        sum(record.stage == stage for record in left_out),
        sum(int(record.get("rows", 0)) for record in records),
        sum(float(record.get("seconds", 0.0)) for record in records),
    )


def _receipts(folder: Place) -> list[Place]:
    """List the receipts of a stage's tasks, without those of the client."""
    if folder.name not in {each.name for each in subfolders(folder.parent)}:
        return []
    return [
        path
        for path in folder.glob("*.json")
        if path.stem not in _OF_THE_CLIENT and not path.name.startswith(".")
    ]


def _read(path: Place) -> dict[str, float]:
    try:
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
