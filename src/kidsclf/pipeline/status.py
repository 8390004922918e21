"""How far a run has come, from what it left on disk; no cluster is needed, and nothing is touched.

What is counted is the tasks of today's partitions and networks: whether they would be done again
with other settings is said by a dry run.
"""

import json
from collections.abc import Iterable, Set
from dataclasses import dataclass

from kidsclf.config import Config
from kidsclf.config_file import load_config
from kidsclf.errors import ConfigError
from kidsclf.pipeline.client_files import FILES
from kidsclf.pipeline.context import STAGE_ORDER, SUMMARY
from kidsclf.pipeline.fitting import trained_names
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
    """A whole run: its stages, what was left out, and how the last command ended early."""

    title: str
    running: bool
    stages: tuple[StageStatus, ...]
    quarantined: tuple[Quarantined, ...]
    failure: Failure | None

    @property
    def done(self) -> bool:
        """Whether nothing is left to do, as the last command has come to its end."""
        ended = self.failure is None and not self.running
        return ended and all(each.state.startswith(("done", "left out")) for each in self.stages)


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
    summary = read_receipt(work.receipts, "ingest", SUMMARY)
    partitions = None if summary is None else summary.facts["partitions"]
    quarantined = read_quarantine(work.quarantine)
    expected = {stage: _expected(stage, config, partitions, quarantined) for stage in STAGE_ORDER}
    running = is_held(work.root)
    return RunStatus(
        config.run.title,
        running,
        tuple(_stage(work, stage, expected[stage], quarantined) for stage in STAGE_ORDER),
        quarantined,
        None if running else read_failure(work.failure),
    )


def _expected(
    stage: str,
    config: Config,
    partitions: Iterable[str] | None,
    quarantined: Iterable[Quarantined],
) -> Set[str] | None:
    """Name the receipts of a stage's tasks; None where the sky is not split yet."""
    networks = config.train.networks
    absent = {
        "cutouts": not config.has_images,
        "features": not config.has_features,
        "match": not config.samples,
    }
    if absent.get(stage):
        return frozenset()
    if stage == "train":
        return frozenset(trained_names(config.train))
    if partitions is None:
        return None
    # Stamps and labels are made of every partition, all else of those that nobody has left out.
    before = () if stage == "match" else STAGE_ORDER[: STAGE_ORDER.index(stage)]
    gone = {
        each.task.rpartition("@")[2]
        for each in quarantined
        if each.stage.partition(".")[0] in before
    }
    files = {label.replace("/", "_") for label in partitions if label not in gone}
    if stage in ("infer", "reduce"):
        return {f"{name}@{file}" for name in networks for file in files}
    return files


def _stage(
    work: WorkDirectory, stage: str, expected: Set[str] | None, left_out: Iterable[Quarantined]
) -> StageStatus:
    paths = [
        path
        for path in _receipts(work.receipts / stage)
        if expected is None or path.stem in expected
    ]
    records = [record for record in map(_read, paths) if record]
    return StageStatus(
        stage,
        len(records),
        None if expected is None else len(expected),
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
    """Read a receipt; nothing where it is damaged, as its task will be done again."""
    try:
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
