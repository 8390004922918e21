"""A small survey, the command as a process, and clusters whose processes can be killed."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import COMMAND, Cluster, Run, dask_process, until

CONFIG = """
[run]
report = false
[survey]
preset = "sdss_photometry"
catalogue = ["catalogue-*.parquet"]
[ingest]
max_rows = 150
chunk_rows = 200
[samples.sdss]
preset = "sdss_photometry"
[train]
networks = ["xgboost"]
[train.trees]
trees = 8
depth = 3
[reduce]
gallery = 2
[cluster]
dashboard_port = 0
"""


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


def sources(rng: np.random.Generator, n: int) -> pa.Table:
    """Draw sources of three kinds on six square degrees; five bands and a class."""
    kind = rng.choice(3, n)
    ugriz = np.array(
        [[3.0, 1.4, 0.9, 0.7, 0.6], [0.5, 0.3, 0.1, 0.0, 0.0], [3.0, 1.6, 0.7, 0.3, 0.0]]
    )
    magnitudes = rng.uniform(16, 22, n)[:, None] + ugriz[kind] + rng.normal(0, 0.2, (n, 5))
    columns = {"ra": rng.uniform(10, 13, n), "dec": rng.uniform(-1, 1, n)}
    columns |= {band: magnitudes[:, k] for k, band in enumerate("ugriz")}
    columns["class"] = np.array(["STAR", "QSO", "GALAXY"])[kind]
    columns["redshift"] = rng.uniform(0, 2, n)
    return pa.table(columns)


@pytest.fixture(scope="session")
def survey(tmp_path_factory) -> Path:
    """A survey of two files, 1,600 rows, with its configuration ``run.toml``."""
    folder = tmp_path_factory.mktemp("survey")
    rng = np.random.default_rng(3)
    for number in range(2):
        pq.write_table(sources(rng, 800), folder / f"catalogue-{number}.parquet")
    (folder / "run.toml").write_text(CONFIG)
    return folder


@pytest.fixture
def start(survey, warm) -> Iterator[Callable[..., Run]]:
    """Start the command; what still runs when the test ends is killed.

    Its workers die with POISON's tasks; they may touch a task ``deaths`` times.
    """
    begun: list[Run] = []

    def begin(
        work: Path,
        *arguments: str,
        poison: str = "",
        deaths: int = 4,
        config: Path | None = None,
    ) -> Run:
        environment = {**os.environ}
        if poison:
            environment |= {
                "DASK_DISTRIBUTED__WORKER__PRELOAD": str(Path(__file__).with_name("poison.py")),
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(deaths - 1),
                "POISON": poison,
            }
        asked = [config or survey / "run.toml", "--workdir", work, "--log-format", "json"]
        events, written = os.pipe()
        with Path(os.devnull).open("w") as nowhere:
            process = warm.start([*asked, *arguments], nowhere.fileno(), written, environment)
        os.close(written)
        begun.append(Run(process, os.fdopen(events)))
        return begun[-1]

    yield begin
    for run in begun:
        run.process.kill()
        run.process.wait()
        run.stream.close()


@pytest.fixture(scope="session")
def make_cluster(tmp_path_factory) -> Iterator[Callable[[], Cluster]]:
    """Start a scheduler and two workers."""
    made: list[Cluster] = []

    def make() -> Cluster:
        folder = tmp_path_factory.mktemp("cluster")
        scheduler = dask_process(
            "scheduler", folder, "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        where = folder / "scheduler.json"  # made first, then written
        until(lambda: where.exists() and where.read_text().endswith("}"))
        cluster = Cluster(folder, scheduler)
        made.append(cluster)
        for _ in range(2):
            cluster.add_worker()
        from distributed import Client

        with Client(cluster.address) as client:
            client.wait_for_workers(2, timeout=120)
        return cluster

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(make_cluster) -> Cluster:
    """A cluster that tests share: they leave it with two workers."""
    return make_cluster()


@pytest.fixture(scope="session")
def undisturbed(survey, cluster, tmp_path_factory) -> Path:
    """The work directory of a run to which nothing happened."""
    work = tmp_path_factory.mktemp("undisturbed") / "work"
    done = subprocess.run(
        [*COMMAND, survey / "run.toml", "--workdir", work, "--cluster", cluster.address],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return work
