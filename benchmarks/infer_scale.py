"""The stage ``infer`` over a survey: sources that networks of photometry score from the store.

27,335,836 sources is the catalogue that Feng et al. classify. They are drawn into partitions of
100,000 before, and not counted; two workers of one thread score them, write their answers with
receipts, and the client finishes the catalogue. Beside it the columns that are read, by pyarrow
alone in the same two processes. Networks are those of ``infer``: taught for some epochs, as decided
as trained ones.
"""

import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from distributed import Client

from benchmarks.engine import Silent
from benchmarks.infer import (
    BANDS,
    NETWORKS,
    arguments,
    make_work,
    peak_mib,
    workers,
    write_partition,
)
from benchmarks.record import Measurement, Record, machine, ratio
from kidsclf.models.table import network_entry
from kidsclf.pipeline.infer import score_partition
from kidsclf.pipeline.inputs import columns_read
from kidsclf.pipeline.mapping import Engine, Task
from kidsclf.places import files_below
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory

ROWS = {"tiny": (600, 200), "small": (2_000_000, 100_000), "full": (27_335_836, 100_000)}
"""In all, and of a partition."""
GOAL = 1e6
"""Sources a second, on two cores."""
ORDER = 5
WORKERS = 2
_GIB = 1024.0**3


def measure(size: str, repeats: int) -> Record:
    rows, each = ROWS[size]
    sizes = {Partition(ORDER, k): min(each, rows - k * each) for k in range(-(-rows // each))}
    measured: list[Measurement] = []
    ratios, facts = [], {"rows": rows, "rows a partition": each, "load": machine()["load_1min"]}
    wanted = Measurement("a million a second", "sources", "sources/s", (GOAL,) * repeats)
    for name in (name for name in NETWORKS if not network_entry(name).images):
        with tempfile.TemporaryDirectory(prefix="kidsclf-infer-scale-") as folder:
            root = Path(folder)
            with workers(1) as one:  # TensorFlow's threads are fixed where it is first used
                one.submit(make_work, root, name, each, pure=False).result()
            with workers(WORKERS) as client:
                drawn = [client.submit(_draw, root, at, n, pure=False) for at, n in sizes.items()]
                client.gather(drawn)
                runs = [_score(client, root, name, number, sizes) for number in range(repeats)]
                reading = [_read(client, root, sizes) for _ in range(repeats)]
                peak = max(client.run(peak_mib).values()) / 1024
            written = sum(files_below(WorkDirectory(root).scores(name)).values()) / _GIB
        speed = Measurement(name, "sources", "sources/s", tuple(rows / s for s, _ in runs))
        bare = Measurement(
            f"{name}: pyarrow alone", "sources", "sources/s", tuple(rows / s for s in reading)
        )
        measured += [
            speed,
            bare,
            Measurement(name, "time", "s", tuple(s for s, _ in runs)),
            Measurement(
                name, "processor time", "us/source", tuple(1e6 * c / rows for _, c in runs)
            ),
            Measurement(name, "worker memory", "GiB", (peak,) * repeats),
            Measurement(name, "written", "GiB", (written,) * repeats),
        ]
        ratios += [ratio(speed, wanted, goal=1.0), ratio(speed, bare)]
    return Record("infer_scale", size, tuple(measured), tuple(ratios), facts)


def _draw(root: Path, at: Partition, rows: int) -> None:
    random = np.random.default_rng(at.pixel)
    write_partition(WorkDirectory(root), at, rows, random, images=False)


def _score(
    client: Client, root: Path, name: str, number: int, sizes: dict[Partition, int]
) -> tuple[float, float]:
    """Score all; give seconds by the wall clock and of the workers' processors."""
    work = WorkDirectory(root)
    tasks = [
        Task("infer", f"{name}@{at.label}", f"{number}", score_partition, given, rows, name)
        for at, rows in sizes.items()
        for given in (arguments(root, name, at),)
    ]
    before, started = sum(client.run(time.process_time).values()), time.perf_counter()
    Engine(client, work, Silent()).map(tasks)
    HatsCatalogue(work.scores(name)).finish(name, list(sizes.items()))
    took = time.perf_counter() - started
    return took, sum(client.run(time.process_time).values()) - before


def _read(client: Client, root: Path, sizes: dict[Partition, int]) -> float:
    addresses = itertools.cycle(client.scheduler_info(n_workers=-1)["workers"])
    started = time.perf_counter()
    asked = [
        client.submit(_read_columns, root, list(sizes)[k::WORKERS], workers=[at], pure=False)
        for k, at in zip(range(WORKERS), addresses, strict=False)
    ]
    client.gather(asked)
    return time.perf_counter() - started


def _read_columns(root: Path, partitions: list[Partition]) -> None:
    catalogue, columns = HatsCatalogue(WorkDirectory(root).catalogue), columns_read(BANDS)
    for at in partitions:
        pq.ParquetFile(catalogue.path(at)).read(columns, use_threads=False)
