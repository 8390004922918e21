"""Cost of the engine: what a task costs beside its work, and how far one scheduler goes.

Three questions. What share of a run's seconds goes to scheduling, receipts and publishing by rename
(tasks that do nothing, and files published against files written, set against the tasks of a real
run of all stages)? How much faster are two workers of one thread than one, where the processor is
the limit? And what do very many partitions cost: tasks a second, memory and processor time of the
client and of a scheduler in a process of its own?
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, LocalCluster

from benchmarks.record import Measurement, Record, ratio, seconds_in_turn
from kidsclf.pipeline.mapping import Engine, Made, Task
from kidsclf.sky.partition import spatial_index
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.publish import published_file

_ROOT = Path(__file__).resolve().parents[1]
_MIB = 1024.0**2
_WORKERS = 2
# partitions and rows of each in the run, trivial tasks, tasks and loops of the hard ones, and very
# many partitions
_SIZES = {
    "tiny": (12, 120, 50, 4, 20_000, 200),
    "small": (12, 20_000, 1_000, 16, 10_000_000, 5_000),
    "full": (12, 20_000, 2_000, 16, 10_000_000, 100_000),
}
_LABELLED = 0.02
"""Share of the run's sources that have a class, so that training is not most of the job."""
_CONFIG = """
[survey]
preset = "sdss_photometry"
catalogue = ["catalogue.parquet"]
[ingest]
chunk_rows = {rows}
max_rows = {most}
[samples.sdss]
preset = "sdss_photometry"
[train]
networks = ["xgboost"]
[reduce]
gallery = 2
"""


class Silent:
    """Is told how a stage goes on, and says nothing."""

    def start(self, stage: str, tasks: int, skipped: int, rows: int, workers: int) -> None:
        pass

    def advance(self, rows: int, seconds: float) -> None:
        pass

    def leave_out(self, task: str, reason: str) -> None:
        raise AssertionError(f"{task}: {reason}")

    def finish(self) -> None:
        pass


def measure(size: str, repeats: int) -> Record:
    partitions, partition_rows, trivial_tasks, hard_tasks, loops, many = _SIZES[size]
    with tempfile.TemporaryDirectory(prefix="kidsclf-engine-") as folder:
        root = Path(folder)
        with _engine(root / "one", 1) as one, _engine(root / "two", _WORKERS) as two:
            seconds = seconds_in_turn(
                {
                    "nothing": lambda: two(nothing, trivial_tasks),
                    "one worker": lambda: one(work_hard, hard_tasks, loops),
                    "two workers": lambda: two(work_hard, hard_tasks, loops),
                    "published": lambda: _write_files(root, 20, publish=True),
                    "written": lambda: _write_files(root, 20, publish=False),
                },
                repeats,
            )
        costs = [_WORKERS * each / trivial_tasks for each in seconds["nothing"]]
        pairs = zip(seconds["published"], seconds["written"], strict=True)
        publishing = [max(0.0, (a - b) / 20) for a, b in pairs]
        job, stages = _main_job(root, partitions, partition_rows)
        scale = _many_partitions(root, many)
    shares = [
        (cost * job["tasks"] + rename * job["files"]) / (cost * job["tasks"] + job["seconds"])
        for cost, rename in zip(costs, publishing, strict=True)
    ]
    speeds = {
        name: Measurement(
            name, "hard tasks", "tasks/s", tuple(hard_tasks / s for s in seconds[name])
        )
        for name in ("one worker", "two workers")
    }
    share = Measurement("engine and publishing", "share", "of seconds", tuple(shares))
    whole = Measurement("whole run", "share", "of seconds", (1.0,) * repeats)
    return Record(
        "engine",
        size,
        (
            Measurement("a task that does nothing", "worker's time", "s", tuple(costs)),
            Measurement("publishing a file of 1 MB", "worker's time", "s", tuple(publishing)),
            share,
            *speeds.values(),
            *(
                Measurement(f"main job: {stage}", "share", "of seconds", (value,) * repeats)
                for stage, value in stages.items()
            ),
            *(Measurement("many partitions", *key, (scale[key],) * repeats) for key in scale),
        ),
        (
            ratio(share, whole, goal=0.05, at_least=False),
            ratio(speeds["two workers"], speeds["one worker"], goal=1.8),
        ),
        {**job, "trivial tasks": trivial_tasks, "partitions": many, "workers": _WORKERS},
    )


def nothing(number: int) -> Made:
    """Do a task's least: name one row."""
    return Made(1, (), {"number": number})


def work_hard(number: int, loops: int) -> Made:
    """Keep one thread of one process busy."""
    total = 0
    for k in range(loops):
        total += k * number
    return Made(1, (), {"total": total})


@contextmanager
def _engine(folder: Path, workers: int) -> Iterator[Callable[..., float]]:
    """Open a cluster of processes of one thread; give a function that maps and times tasks."""
    runs = iter(range(10**6))
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=str(folder),
        ) as cluster,
        Client(cluster) as client,
    ):

        def perform(work: Callable[..., Made], count: int, *arguments: object) -> float:
            directory = WorkDirectory(folder / f"run-{next(runs)}")
            return _map(Engine(client, directory, Silent()), work, count, *arguments)

        yield perform


def _map(engine: Engine, work: Callable[..., Made], count: int, *arguments: object) -> float:
    tasks = [
        Task("infer", f"9/{number}", f"{number}", work, (number, *arguments), 1)
        for number in range(count)
    ]
    done = engine.map(tasks)
    assert len(done.receipts) == done.done == count
    return done.seconds


def _write_files(root: Path, count: int, *, publish: bool) -> None:
    content = os.urandom(1_000_000)
    for number in range(count):
        path = root / "files" / f"{number}"
        if publish:
            with published_file(path) as temporary:
                temporary.write_bytes(content)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def _main_job(
    root: Path, partitions: int, partition_rows: int
) -> tuple[dict[str, float | int], dict[str, float]]:
    """Run all stages; add up what the receipts say of their tasks, and give each stage's share."""
    survey, work, rows = root / "survey", root / "work", partitions * partition_rows
    survey.mkdir()
    pq.write_table(_sources(rows), survey / "catalogue.parquet")
    text = _CONFIG.format(rows=partition_rows, most=3 * partition_rows // 2)
    (survey / "run.toml").write_text(text)
    asked = [survey / "run.toml", "--workdir", work, "--workers", str(_WORKERS)]
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "kidsclf.run", *asked, "--set", "cluster.dashboard_port=0"],
        check=True,
        capture_output=True,
    )
    took = time.perf_counter() - started
    receipts = [json.loads(path.read_text()) for path in work.glob("receipts/*/[!.]*.json")]
    tasks = [each for each in receipts if each["task"] != "summary"]
    partitions = [each["rows"] for each in tasks if each["stage"] == "ingest"]
    seconds: Counter[str] = Counter()
    for each in tasks:
        seconds[each["stage"].partition(".")[0]] += each["seconds"]
    total = sum(seconds.values())
    shares = {stage: each / total for stage, each in seconds.most_common()}
    told = {
        "rows": rows,
        "rows a partition": int(statistics.median(partitions)),
        "tasks": len(tasks),
        "files": sum(len(each["outputs"]) for each in tasks),
        "seconds": round(total, 3),
        "seconds with start and end": round(took, 1),
    }
    return told, shares


def _sources(rows: int) -> pa.Table:
    """Draw five bands of three kinds of sources evenly over the sky, in its order.

    So 12, 48, ... partitions hold equal numbers of them.
    """
    rng = np.random.default_rng(1)
    kind = rng.choice(3, rows)
    ugriz = np.array([[3, 1.4, 0.9, 0.7, 0.6], [0.5, 0.3, 0.1, 0, 0], [3, 1.6, 0.7, 0.3, 0]])
    magnitudes = rng.uniform(16, 22, rows)[:, None] + ugriz[kind] + rng.normal(0, 0.2, (rows, 5))
    ra, dec = rng.uniform(0, 360, rows), np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
    order = np.argsort(spatial_index(ra, dec))
    columns = {"ra": ra[order], "dec": dec[order]}
    columns |= {band: magnitudes[:, k] for k, band in enumerate("ugriz")}
    classes = np.array(["STAR", "QSO", "GALAXY"], dtype=object)[kind]
    columns["class"] = np.where(rng.random(rows) < max(_LABELLED, 300 / rows), classes, None)
    columns["redshift"] = rng.uniform(0, 2, rows)
    return pa.table(columns)


def _many_partitions(root: Path, count: int) -> dict[tuple[str, str], float]:
    """Map trivial tasks with a scheduler of its own process; give its memory and the client's."""
    file, processes = root / "scheduler.json", []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}

    def start(what: str, *options: str) -> None:
        module = f"distributed.cli.dask_{what}"
        command = [sys.executable, "-m", module, "--scheduler-file", str(file), "--no-dashboard"]
        processes.append(
            subprocess.Popen(
                [*command, *options], stderr=subprocess.DEVNULL, cwd=root, env=environment
            )
        )

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0")
        for _ in range(_WORKERS):
            start("worker", "--nthreads", "1", "--local-directory", str(root))
        with Client(scheduler_file=str(file), timeout="60s") as client:
            client.wait_for_workers(_WORKERS, timeout=120)
            engine = Engine(client, WorkDirectory(root / "many"), Silent())
            _map(engine, nothing, 100)
            watched = {
                "scheduler": [psutil.Process(processes[0].pid)],
                "client": [psutil.Process()],
                "workers": [
                    each
                    for nanny in processes[1:]
                    for each in psutil.Process(nanny.pid).children(recursive=True)
                ],
            }
            before = {name: _used(family) for name, family in watched.items()}
            engine = Engine(client, WorkDirectory(root / "very-many"), Silent())
            seconds = _map(engine, nothing, count)
            after = {name: _used(family) for name, family in watched.items()}
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=60)
    grown = {name: np.subtract(after[name], before[name]) for name in watched}
    return {
        ("rate", "tasks/s"): count / seconds,
        **{
            (f"{name}, growth", "MiB"): max(0.0, float(grown[name][0]))
            for name in ("scheduler", "client")
        },
        **{(f"{name}, CPU a task", "s"): float(grown[name][1]) / count for name in watched},
    }


def _used(family: list[psutil.Process]) -> tuple[float, float]:
    """Give the memory of processes, MiB, and the processor time that they have used, s."""
    times = [process.cpu_times() for process in family]
    return (
        sum(process.memory_info().rss for process in family) / _MIB,
        sum(each.user + each.system for each in times),
    )
