"""The answer does not depend on the partitioning, the workers, their number or their death."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from work_directories import COMMAND, science_of, summary_of


@given(
    max_rows=st.integers(60, 3000),
    chunk_rows=st.integers(100, 4000),
    seed=st.integers(0, 2**32),
)
@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a whole run is too long to shrink
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_partitioning_changes_nothing(
    max_rows, chunk_rows, seed, small_survey, command, finished_run, workers, tmp_path_factory
):
    work = tmp_path_factory.mktemp("split") / "work"
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--cluster", workers),
        *("--set", f"ingest.max_rows={max_rows}", "--set", f"ingest.chunk_rows={chunk_rows}"),
    )
    assert done.code == 0, done.err
    for product in (
        *("products/catalog.fits", "products/catalog.parquet", "products/coverage.moc.fits"),
        *("products/columns.json", "products/README.txt"),
        "metrics/summary.json",
        "metrics/quasar_counts.parquet",
    ):
        assert (work / product).read_bytes() == (finished_run / product).read_bytes(), product
    shutil.rmtree(work)


@pytest.mark.parametrize("number", [1, 3])
def test_the_number_of_workers_changes_no_byte(
    number, small_survey, command, finished_run, tmp_path
):
    work = tmp_path / "work"
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--workers", number),
        *("--set", "cluster.dashboard_port=0"),
    )
    assert done.code == 0, done.err
    assert science_of(work) == science_of(finished_run)


def started(small_survey: Path, work: Path) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    return subprocess.Popen(
        [
            *COMMAND,
            small_survey / "run.toml",
            "--workdir",
            work,
            "--set",
            "cluster.dashboard_port=0",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_receipts(work: Path, stage: str, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until a stage has left receipts, or the process has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if len(list((work / "receipts" / stage).glob("[!.]*.json"))) >= count:
            return
        time.sleep(0.01)


def receipts_of(work: Path) -> dict[str, str]:
    """Read the receipts that stand whole."""
    found = {}
    for path in (work / "receipts").rglob("*.json"):
        if not path.name.startswith("."):
            found[str(path.relative_to(work))] = path.read_text()
    return found


@pytest.mark.faults
@pytest.mark.parametrize(
    ("stage", "count"),
    [("ingest.read", 1), ("ingest", 3), ("match", 2), ("infer", 4), ("reduce", 1)],
)
def test_a_killed_run_goes_on_where_it_stood(
    stage, count, small_survey, command, finished_run, tmp_path
):
    work = tmp_path / "work"
    process = started(small_survey, work)
    wait_for_receipts(work, stage, count, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = receipts_of(work)
    assert len(before) >= count
    done = command(
        small_survey / "run.toml", "--workdir", work, "--set", "cluster.dashboard_port=0"
    )
    assert done.code == 0, done.err
    assert science_of(work) == science_of(finished_run)
    after = receipts_of(work)
    kept = [path for path in before if "ingest.read" not in path and "match.read" not in path]
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    assert not list(work.rglob(".unfinished-*"))


@pytest.mark.faults
def test_a_killed_worker_costs_nothing(small_survey, finished_run, tmp_path):
    work = tmp_path / "work"
    process = started(small_survey, work)
    chance = random.Random(5)
    for stage, count in (("ingest", 2), ("infer", 2)):
        wait_for_receipts(work, stage, count, process)
        family = psutil.Process(process.pid).children(recursive=True)
        victims = [child for child in family if "spawn_main" in " ".join(child.cmdline())]
        assert victims
        chance.choice(victims).kill()
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert science_of(work) == science_of(finished_run)


def test_a_second_run_redoes_nothing(small_survey, command, tmp_path):
    work = tmp_path / "work"
    arguments = (small_survey / "run.toml", "--workdir", work, "--set", "cluster.dashboard_port=0")
    assert command(*arguments).code == 0
    before, science = receipts_of(work), science_of(work)
    again = command(*arguments)
    assert again.code == 0
    assert receipts_of(work) == before
    assert science_of(work) == science
    assert "finished before" in again.err


def test_a_changed_setting_redoes_what_depends_on_it(small_survey, command, tmp_path):
    work = tmp_path / "work"
    arguments = (small_survey / "run.toml", "--workdir", work, "--set", "cluster.dashboard_port=0")
    assert command(*arguments).code == 0
    before = receipts_of(work)
    accuracy = summary_of(work)["networks"]["xgboost"]["accuracy"]
    assert command(*arguments, "--set", "train.trees.trees=40").code == 0
    after = receipts_of(work)
    changed = {path.split("/")[1] for path in after if after[path] != before.get(path)}
    assert changed == {"train", "infer", "reduce", "products"}
    assert summary_of(work)["networks"]["xgboost"]["accuracy"] != accuracy


def test_a_deleted_file_is_made_again(small_survey, command, finished_run, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    victim = sorted((work / "scores/xgboost").rglob("Npix=*.parquet"))[2]
    victim.unlink()
    arguments = (small_survey / "run.toml", "--workdir", work, "--set", "cluster.dashboard_port=0")
    done = command(*arguments)
    assert done.code == 0, done.err
    assert science_of(work) == science_of(finished_run)
    done = json.loads((work / "metrics/summary.json").read_text())
    assert done["rows_out"] > 0
