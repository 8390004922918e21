"""Processes that can be killed, and what a killed run leaves."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

sys.path.append(str(Path(__file__).resolve().parents[1] / "pipeline"))

from work_directories import COMMAND, science_of, summary_of

from warm_command import WarmProcess

__all__ = ["COMMAND", "summary_of"]

STAGES = ("ingest.read", "ingest", "match", "train", "infer", "reduce", "products")


@dataclass
class Run:
    """The command as a process, followed by the events that it writes."""

    process: WarmProcess
    stream: IO[str]
    events: list[dict] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def follow(self, at: Callable[[dict], None] = lambda event: None) -> int:
        """Read events until the command ends; give its exit code."""
        for line in self.stream:
            if not line.startswith("{"):
                self.said.append(line.strip())
                continue
            self.events.append(json.loads(line))
            at(self.events[-1])
        return self.process.wait(timeout=60)

    @property
    def workers(self) -> list[psutil.Process]:
        """Worker processes of a local cluster, each forked from the one that has their imports."""
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children()
            return [worker for child in family for worker in child.children()]
        return []


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return "spawn_main" in " ".join(process.cmdline())
    return False


@dataclass
class Cluster:
    """A scheduler and workers under nannies, each a process of its own."""

    folder: Path
    scheduler: subprocess.Popen[bytes]
    nannies: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return str(json.loads((self.folder / "scheduler.json").read_text())["address"])

    @property
    def workers(self) -> list[psutil.Process]:
        """Worker processes, each under a nanny."""
        nannies = [psutil.Process(each.pid) for each in self.nannies if each.poll() is None]
        return [child for nanny in nannies for child in nanny.children() if _is_worker(child)]

    def add_worker(self, number: int = 1, *options: str) -> subprocess.Popen[bytes]:
        """Start one more worker of one thread, or several whose nannies share a process."""
        leaving = "kidsclf.cluster.leaving"
        self.nannies.append(
            dask_process(
                *("worker", self.folder, "--nworkers", str(number), "--nthreads", "1"),
                *("--no-dashboard", "--preload", leaving, "--preload-nanny", leaving),
                *options,
            )
        )
        return self.nannies[-1]

    def stop(self) -> None:
        """End all its processes."""
        for process in (*self.nannies, self.scheduler):
            process.kill()
            process.wait(timeout=30)


def dask_process(what: str, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    with (folder / f"{what}.log").open("ab") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", f"distributed.cli.dask_{what}"),
                *("--scheduler-file", str(folder / "scheduler.json")),
                *("--local-directory", str(folder)) * (what == "worker"),
                *options,
            ],
            stdout=log,
            stderr=log,
            env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0"},
        )


def until(said: Callable[[], bool], seconds: float = 120.0, pause: float = 0.02) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)


def finished_files(work: Path) -> dict[str, int]:
    """Give the time of change of the outputs of finished partitions."""
    found = {}
    for path in (work / "receipts").rglob("[!.]*.json"):
        receipt = json.loads(path.read_text())
        for output in receipt["outputs"] if "/" in receipt["task"] else ():
            if (work / output).is_file():
                found[output] = (work / output).stat().st_mtime_ns
    return found


def whole(work: Path, undisturbed: Path) -> bool:
    """Say whether a run's results are those of the undisturbed one, and nothing lies about."""
    left = [str(path) for path in work.rglob(".unfinished-*")]
    assert not left, left
    assert not (work / "quarantine").exists()
    found, wanted = science_of(work), science_of(undisturbed)
    assert found.keys() == wanted.keys()
    return all(found[name] == wanted[name] for name in wanted)


class AtStages:
    """Does something once in each of some stages, at a random moment of its first half.

    Moments are counted in finished tasks, so that it falls into the stage on any machine.
    """

    def __init__(
        self, work: Path, deed: Callable[[random.Random], None], seed: int, *stages: str
    ) -> None:
        self._work = work
        self._deed = deed
        self._chance = random.Random(seed)
        self._stages = stages
        self.struck: list[str] = []

    def __call__(self, event: dict) -> None:
        if event["event"] != "stage" or not event["tasks"]:
            return
        stage = event["stage"].split()[0]
        if stage in self._stages and stage not in self.struck:
            self.struck.append(stage)
            moment = event["finished_before"] + self._chance.randint(0, event["tasks"] // 2)
            until(lambda: self._finished(stage) >= moment, pause=0.002)
            self._deed(self._chance)

    def _finished(self, stage: str) -> int:
        receipts = (self._work / "receipts" / stage).glob("[!.]*.json")
        return sum(path.stem not in ("summary", "files") for path in receipts)


class AtStageOrLater(AtStages):
    """Does something once: in a stage, or in the first one after it that has tasks to do."""

    def __init__(
        self, work: Path, deed: Callable[[random.Random], None], seed: int, stage: str
    ) -> None:
        super().__init__(work, deed, seed, *STAGES[STAGES.index(stage) :])

    def __call__(self, event: dict) -> None:
        if not self.struck:
            super().__call__(event)


def kill(process: psutil.Process) -> None:
    """Send SIGKILL; it may have ended by itself."""
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        os.kill(process.pid, signal.SIGKILL)
