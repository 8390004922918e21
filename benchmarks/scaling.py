"""Strong and weak scaling of the engine: up to 64 workers whose tasks wait instead of computing.

Two cores cannot hold many workers that compute, so these are threads of one process, and a task
sleeps as long as a partition would take on a worker of its own; that it does not wait for its
neighbours is what is simulated. Everything else is real: the engine, one scheduler, one client, a
receipt a task. ``strong``: the same tasks for all numbers of workers; ``weak``: as many tasks a
worker. Efficiency is the time that the tasks sleep, over workers, by the time that it took. A
partition of 100,000 sources takes ``mlp`` about a second and ``mnn`` over a minute, so these short
ones are the hard case; and scheduler, client and all workers share the cores of this machine. How
two workers that compute share two cores is told by ``engine``.
"""

import logging
import tempfile
import time
from pathlib import Path

from distributed import Client, LocalCluster

from benchmarks.engine import Silent
from benchmarks.record import Measurement, Record, ratio
from kidsclf.pipeline.mapping import Engine, Made, Task
from kidsclf.store.layout import WorkDirectory

SIZES = {
    "tiny": ((2,), (1, 2), 4, 0.02),
    "small": ((4, 16), (1, 4, 16), 32, 0.5),
    "full": ((8, 16, 32, 64), (1, 2, 4, 8, 16, 32, 64), 128, 1.0),
}
"""Numbers of workers, strong and weak, tasks that all share, and seconds of a task."""
TASKS_A_WORKER = 8
GOAL = 0.9


def measure(size: str, repeats: int) -> Record:
    strong, weak, shared, seconds = SIZES[size]
    asked = [("strong", count, shared) for count in strong]
    asked += [("weak", count, TASKS_A_WORKER * count) for count in weak]
    ideal = Measurement("ideal", "efficiency", "", (1.0,) * repeats)
    measured = [
        Measurement(
            f"{kind}, {count} workers",
            "efficiency",
            "",
            _efficiencies(count, tasks, seconds, repeats),
        )
        for kind, count, tasks in asked
    ]
    ratios = tuple(ratio(each, ideal, goal=GOAL) for each in measured)
    facts = {"tasks shared": shared, "tasks a worker": TASKS_A_WORKER, "seconds a task": seconds}
    return Record("scaling", size, tuple(measured), ratios, facts)


def wait(seconds: float) -> Made:
    """Take as long as a partition."""
    time.sleep(seconds)
    return Made(1, ())


def _efficiencies(workers: int, tasks: int, seconds: float, repeats: int) -> tuple[float, ...]:
    with (
        tempfile.TemporaryDirectory(prefix="kidsclf-scaling-") as folder,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            local_directory=folder,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        took = []
        for number in range(repeats + 1):
            engine = Engine(client, WorkDirectory(Path(folder) / f"{number}"), Silent())
            asked = [
                Task("infer", f"9/{task}", f"{number}", wait, (seconds,), 1)
                for task in range(tasks)
            ]
            took.append(engine.map(asked).seconds)
    return tuple(tasks * seconds / workers / each for each in took[1:])
