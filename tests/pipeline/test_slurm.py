"""The main job through a real Slurm on this machine, and what Slurm refuses."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client, Future, as_completed
from work_directories import COMMAND, science_of

import kidsclf.cluster.slurm
from kidsclf.cluster.open import open_cluster
from kidsclf.config import ClusterSettings, SlurmSettings
from kidsclf.errors import ClusterError

pytestmark = pytest.mark.slurm
SCRIPT = Path(__file__).resolve().parents[1] / "tools" / "slurm_single_node.sh"
MEMORY_GIB = 2.0


@pytest.fixture(scope="module", autouse=True)
def slurm(tmp_path_factory) -> Iterator[None]:
    """Start Slurm's daemons, and end them, by their process ids, after the last test."""
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own can only be started by root")
    environment = {
        **os.environ,
        "SLURM_SN_BASE": str(tmp_path_factory.mktemp("slurm")),
        "SLURM_SN_CPUS": "4",
    }

    def tool(word: str) -> subprocess.CompletedProcess[str]:
        # Daemons inherit what they are given, so a pipe would stay open as long as they live.
        log = Path(environment["SLURM_SN_BASE"]) / f"{word}.log"
        with log.open("w") as file:
            done = subprocess.run(
                ["bash", SCRIPT, word], env=environment, stdout=file, stderr=file, check=False
            )
        return subprocess.CompletedProcess(done.args, done.returncode, log.read_text(), "")

    started = tool("start")
    if started.returncode and shutil.which("slurmctld") is None:
        pytest.skip(f"Slurm is not installed and could not be: {started.stdout.splitlines()[-1]}")
    assert started.returncode == 0, started.stdout
    try:
        yield
    finally:
        stopped = tool("stop")
    assert stopped.returncode == 0, stopped.stdout


def queue() -> list[str]:
    """List the numbers of the jobs in the queue."""
    asked = ["squeue", "-h", "-o", "%A"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def settles(*expected: str) -> bool:
    """Wait until these jobs and no others are in the queue: those that end take their time."""
    deadline = time.monotonic() + 30
    while queue() != list(expected) and time.monotonic() < deadline:
        time.sleep(0.2)
    return queue() == list(expected)


def through_slurm(small_survey: Path, work: Path, *settings: str) -> list[str]:
    """Write the command's arguments."""
    changes = (
        "cluster.dashboard_port=0",
        f"cluster.memory_gib_per_worker={MEMORY_GIB}",
        "cluster.slurm.start_timeout_seconds=120",
        *settings,
    )
    asked = [str(small_survey / "run.toml"), "--workdir", str(work), "--cluster", "slurm"]
    return asked + [part for each in changes for part in ("--set", each)]


def test_the_main_job_gives_the_same_bytes(small_survey, finished_run, command, tmp_path):
    work = tmp_path / "work"
    done = command(*through_slurm(small_survey, work, "run.report=true"))
    assert done.code == 0, done.err
    assert re.search(r"[12] workers \(slurm\), dashboard http://127\.0\.0\.1:\d+/status", done.out)
    assert science_of(work) == science_of(finished_run)
    assert settles()
    assert not (work / "scratch").exists()  # nor the certificates in it
    assert len(list((work / "logs").glob("*.err"))) == 2


def test_lost_jobs_are_submitted_anew(small_survey, finished_run, tmp_path):
    work = tmp_path / "work"
    process = subprocess.Popen(
        [*COMMAND, *through_slurm(small_survey, work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list((work / "receipts/ingest").glob("[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    lost = queue()
    assert lost
    subprocess.run(["scancel", *lost], check=True)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert science_of(work) == science_of(finished_run)
    assert settles()


def test_what_no_node_can_serve_is_refused_at_once(small_survey, command, tmp_path):
    work = tmp_path / "work"  # at once: not after the 300 s that a worker may take to come
    asked = through_slurm(small_survey, work, "cluster.memory_gib_per_worker=10000")
    done = command(*asked, timeout=200)
    assert done.code == 5
    (sentence,) = done.err.splitlines()
    assert sentence.startswith("kidsclf: 2 Slurm jobs of 10000 GiB were asked for, but Slurm ref")
    assert "Requested node configuration is not available" in sentence
    assert "cluster.memory_gib_per_worker" in sentence
    assert settles()
    assert not (work / "run.toml").exists()


def test_a_queue_that_is_full_is_not_waited_for_for_ever(small_survey, command, tmp_path):
    blocker = subprocess.run(
        ["sbatch", "--parsable", "--exclusive", "--mem=0", "-o", "/dev/null", "--wrap=sleep 600"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    try:
        done = command(
            *through_slurm(small_survey, tmp_path / "work", "cluster.slurm.start_timeout_seconds=3")
        )
        assert done.code == 5
        (sentence,) = done.err.splitlines()
        assert "2 workers were asked for through slurm, but none came in 3 s (job " in sentence
        assert "PENDING (Resources)" in sentence or "PENDING (Priority)" in sentence
        assert "cluster.slurm.start_timeout_seconds" in sentence
        assert settles(blocker)
    finally:
        subprocess.run(["scancel", blocker], check=True)
        assert settles()


def settings_for(workers: int, **slurm: object) -> ClusterSettings:
    """Ask for workers of one core."""
    return ClusterSettings(
        kind="slurm",
        workers=workers,
        memory_gib_per_worker=MEMORY_GIB,
        dashboard_port=0,
        slurm=SlurmSettings(start_timeout_seconds=120, **slurm),
    )


def noting(path: Path, seconds: float) -> Callable[[int], int]:
    """Give a task that says in a file that it begins, and returns the number of its job."""

    # Local, so that it travels whole: workers have no module of this name.
    def note(number: int) -> int:
        with path.open("a") as file:
            file.write(f"{number}\n")
        time.sleep(seconds)
        return int(os.environ["SLURM_JOB_ID"])

    return note


def jobs_until(
    client: Client, notes: Path, enough: Callable[[list[int]], bool], futures: list[Future]
) -> list[int]:
    """Do tasks until those that are done came from enough jobs; none may be done twice."""
    jobs: list[int] = []
    running, number = as_completed(futures), len(futures)
    for future in running:
        jobs.append(future.result())
        future.release()  # as a run does, so that no worker keeps results
        if not enough(jobs):
            assert number < 200, f"only jobs {set(jobs)} have come"
            running.add(client.submit(noting(notes, 1.0), number, pure=False))
            number += 1
    assert sorted(map(int, notes.read_text().split())) == list(range(number))
    return jobs


def suspicions(client: Client) -> int:
    """Count how often a task was thought to have killed its worker."""
    return client.run_on_scheduler(
        lambda dask_scheduler: sum(p.suspicious for p in dask_scheduler.task_prefixes.values())
    )


ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "WITH_SPACES": "two words; and 'quotes'"}


@pytest.fixture(scope="class")
def folder(tmp_path_factory) -> Path:
    """Where the cluster of two jobs keeps its certificates and logs."""
    return tmp_path_factory.mktemp("two-jobs")


@pytest.fixture(scope="class")
def two_jobs(slurm, folder) -> Iterator[Client]:
    """A cluster of two jobs."""
    settings = settings_for(2, job_script_prologue=("export FROM_PROLOGUE=yes",))
    with open_cluster(
        settings, scratch=folder / "scratch", logs=folder / "logs", environment=ENVIRONMENT
    ) as client:
        client.wait_for_workers(2, timeout=120)
        yield client
    assert settles()


class TestTwoJobs:
    """Tests that share a cluster, whose jobs have left the queue when the last one ends."""

    def test_traffic_is_encrypted_and_certificates_are_private(self, two_jobs, folder):
        def open_to_others() -> set[int]:
            found = psutil.Process().net_connections("inet")
            listening = [each.laddr for each in found if each.status == psutil.CONN_LISTEN]
            return {address.port for address in listening if address.ip != "127.0.0.1"}

        address = two_jobs.scheduler.address
        assert address.startswith("tls://")
        for worker, beyond_loopback in two_jobs.run(open_to_others).items():
            assert worker.startswith("tls://")
            assert beyond_loopback == {int(worker.rpartition(":")[2])}
        for environment in two_jobs.run(lambda: dict(os.environ)).values():
            assert environment.items() >= {**ENVIRONMENT, "FROM_PROLOGUE": "yes"}.items()
            assert environment["SLURM_JOB_ID"].isdigit()
        for stranger in (address, address.replace("tls://", "tcp://")):
            with pytest.raises((OSError, TypeError, RuntimeError)):
                Client(stranger, timeout="2s", set_as_default=False)
        certificates = list((folder / "scratch/certificates").iterdir())
        assert len(certificates) == 2
        assert {path.stat().st_mode & 0o777 for path in certificates} == {0o600}
        assert (folder / "scratch/certificates").stat().st_mode & 0o777 == 0o700
        port = int(two_jobs.dashboard_link.split(":")[2].split("/")[0])
        listening = [
            each.laddr.ip
            for each in psutil.Process().net_connections("inet")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port
        ]
        assert listening == ["127.0.0.1"]

    def test_a_cancelled_job_finishes_its_task_and_is_replaced(self, two_jobs, tmp_path):
        notes = tmp_path / "notes"
        futures = two_jobs.map(noting(notes, 3.0), range(2))
        while not notes.exists() or len(notes.read_text().split()) < 2:
            time.sleep(0.05)
        cancelled, kept = queue()
        subprocess.run(["scancel", cancelled], check=True)
        jobs = jobs_until(two_jobs, notes, lambda jobs: len(set(jobs)) == 3, futures)
        assert suspicions(two_jobs) == 0
        assert jobs.count(int(cancelled)) == 1  # it has finished what it had begun
        assert int(kept) in jobs  # and another came in the cancelled one's place


def test_a_worker_leaves_before_its_walltime_and_is_replaced(tmp_path):
    asked = open_cluster(
        settings_for(1, walltime="00:00:40"),  # Slurm itself grants whole minutes
        scratch=tmp_path / "work/scratch",
        logs=tmp_path / "logs",
        environment={},
    )
    notes = tmp_path / "notes"
    with asked as client:
        futures = client.map(noting(notes, 1.0), range(2))
        jobs_until(client, notes, lambda jobs: len(set(jobs)) == 2, futures)
        assert suspicions(client) == 0
    assert settles()
    assert "DUE TO TIME LIMIT" not in "".join(
        path.read_text() for path in (tmp_path / "logs").glob("*.err")
    )


def test_jobs_that_end_at_once_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(kidsclf.cluster.slurm, "_SETTLE_SECONDS", 3.0)
    broken = settings_for(2, job_script_prologue=("echo no such module: gcc >&2", "exit 3"))
    asked = open_cluster(
        broken, scratch=tmp_path / "work/scratch", logs=tmp_path / "logs", environment={}
    )
    with pytest.raises(ClusterError) as error, asked:
        pytest.fail("opened")
    said = str(error.value)
    assert "2 workers were asked for through slurm, but all jobs ended before a worker came" in said
    assert "ends with: no such module: gcc" in said
    assert settles()


def test_workers_that_cannot_import_the_package_are_named(tmp_path):
    (tmp_path / "other/kidsclf").mkdir(parents=True)
    (tmp_path / "other/kidsclf/__init__.py").write_text("raise ImportError('of another site')")
    prologue = (f"export PYTHONPATH={tmp_path}/other",)
    asked = open_cluster(
        settings_for(1, job_script_prologue=prologue),
        scratch=tmp_path / "work/scratch",
        logs=tmp_path / "logs",
        environment={},
    )
    with pytest.raises(ClusterError, match=r"have to import kidsclf .* of another site"), asked:
        pytest.fail("opened")
    assert settles()
