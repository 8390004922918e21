"""Small surveys and the command, for tests of whole runs."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from work_directories import COMMAND

from kidsclf.mock import MockSettings, write_survey

CONFIG = """
[run]
title = "test"
seed = 3
report = false
[survey]
preset = "sdss_photometry"
catalogue = ["catalogue-*.parquet"]
[ingest]
max_rows = 400
chunk_rows = 700
[samples.sdss]
preset = "sdss_photometry"
[train]
networks = ["xgboost"]
[train.trees]
trees = 8
depth = 3
[reduce]
magnitude_low = 16.0
magnitude_high = 24.0
magnitude_step = 1.0
gallery = 2
"""


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def command(warm) -> Callable[..., Finished]:
    """Run the command in a process of its own."""

    def run(*arguments: object, timeout: float = 300.0) -> Finished:
        with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            environment = {**os.environ, "COLUMNS": "100"}
            process = warm.start(arguments, out.fileno(), err.fileno(), environment)
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
            out.seek(0)
            err.seek(0)
            return Finished(code, out.read(), err.read())

    return run


def run_as_a_user_does(*arguments: object) -> None:
    """Run ``python -m kidsclf.run``, from the start of the interpreter to the page."""
    asked = [*COMMAND, *map(str, arguments), "--set", "run.report=true"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def sources(rng: np.random.Generator, n: int) -> pa.Table:
    """Draw sources of three kinds round RA 0 and at the north pole; five bands and a class."""
    kind = rng.choice(3, n, p=[0.3, 0.2, 0.5])
    centres = np.array(
        [[1.4, 0.5, 0.2, 0.1], [0.2, 0.1, 0.1, 0.0], [1.6, 0.9, 0.4, 0.3]]  # star, quasar, galaxy
    )
    colours = centres[kind] + rng.normal(0, 0.25, (n, 4))
    r = rng.uniform(16, 24, n)
    magnitudes = np.stack(
        [r + colours[:, 0] + colours[:, 1], r + colours[:, 1], r, r - colours[:, 2]], axis=1
    )
    magnitudes = np.column_stack([magnitudes, magnitudes[:, 3] - colours[:, 3]])
    magnitudes[rng.random((n, 5)) < 0.01] = -9999.0
    polar = rng.random(n) < 0.3
    ra = np.where(polar, rng.uniform(0, 360, n), rng.uniform(-2, 2, n) % 360.0)
    dec = np.where(polar, 90 - 2 * np.sqrt(rng.random(n)), rng.uniform(-2, 2, n))
    columns = {"ra": ra, "dec": dec}
    columns |= {band: magnitudes[:, k] for k, band in enumerate("ugriz")}
    columns["class"] = np.array(["STAR", "QSO", "GALAXY"])[kind]
    columns["redshift"] = rng.uniform(0, 2, n)
    return pa.table(columns)


@pytest.fixture(scope="session")
def draw_sources() -> Callable[[np.random.Generator, int], pa.Table]:
    """Hand out ``sources`` for surveys of another size."""
    return sources


@pytest.fixture(scope="session")
def small_survey(tmp_path_factory) -> Path:
    """A survey of two Parquet files, 3,000 rows, and its configuration ``run.toml``."""
    folder = tmp_path_factory.mktemp("survey")
    rng = np.random.default_rng(11)
    for number, rows in enumerate((1800, 1200)):
        pq.write_table(sources(rng, rows), folder / f"catalogue-{number}.parquet")
    (folder / "run.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="session")
def workers() -> Iterator[str]:
    """A running cluster of two worker processes; gives its scheduler's address."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="session")
def finished_run(small_survey, tmp_path_factory) -> Path:
    """The work directory of an undisturbed run over the small survey."""
    work = tmp_path_factory.mktemp("run") / "work"
    run_as_a_user_does(
        small_survey / "run.toml", "--workdir", work, "--set", "cluster.dashboard_port=0"
    )
    return work


IMAGE_CONFIG = """
[run]
title = "test with images"
report = false
[cluster]
dashboard_port = 0
[survey]
preset = "kids_dr4"
catalogue = ["survey/catalogues/*.fits"]
tiles = ["survey/tiles/*_r_sci.fits*"]
[ingest]
magnitude_limit = 23.0
max_rows = 300
[features]
measure = ["half_light_radius", "gini", "m20", "spread_model", "sersic_index"]
psf_fwhm_arcsec = 0.7
[samples.sdss]
preset = "sdss_specobj"
tables = ["survey/labels/specObj-mock.fits"]
[samples.gaia]
preset = "gaia"
tables = ["survey/labels/gaia-mock.fits"]
exclude = ["sdss"]
[samples.gama]
preset = "gama"
tables = ["survey/labels/gama-mock.fits"]
exclude = ["sdss"]
[train]
networks = ["mnn", "mlp", "xgboost"]
threads = 2
[train.neural]
epochs = 1
batch_size = 32
[train.trees]
trees = 20
"""


@pytest.fixture(scope="session")
def mock_survey(tmp_path_factory) -> Path:
    """A mock survey of 0.03 square degrees with 300 labelled sources, and its ``run.toml``."""
    folder = tmp_path_factory.mktemp("mock")
    settings = MockSettings(area_deg2=0.03, seed=9, labelled=300, tile_deg=0.1, compress=True)
    write_survey(settings, folder / "survey")
    (folder / "run.toml").write_text(IMAGE_CONFIG)
    return folder


@pytest.fixture(scope="session")
def image_run(mock_survey) -> Path:
    """The work directory of a run over the mock survey."""
    work = mock_survey / "work"
    run_as_a_user_does(mock_survey / "run.toml", "--workdir", work)
    return work


@pytest.fixture(scope="module")
def explored_work(image_run, tmp_path_factory) -> Path:
    """A copy of the run over the mock survey, for verdicts to be given on its sources."""
    work = tmp_path_factory.mktemp("explorer") / "work"
    shutil.copytree(image_run, work)
    return work
