"""Workers as Slurm jobs: what is asked for, whether Slurm can serve it, and why no worker comes."""

import importlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import Client

from kidsclf.cluster.security import LOOPBACK, certified, dashboard_address
from kidsclf.config import ClusterSettings
from kidsclf.errors import ClusterError

_CLOSE_SECONDS = 20.0
_LOOK_SECONDS = 2.0
_SETTLE_SECONDS = 10.0
"""Jobs may not stand in the queue in the first moments after they are handed in."""
_WALLTIME = re.compile(
    r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?"
)


def jobqueue() -> Any:
    """Import dask-jobqueue; it would make Ctrl-C end the process with code 0, which is undone."""
    before = signal.getsignal(signal.SIGINT)
    module = importlib.import_module("dask_jobqueue")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, before)
    return module


def slurm_cluster(
    settings: ClusterSettings, scratch: Path, logs: Path, environment: Mapping[str, str]
) -> Any:
    """Hand in one job a worker, or one a group of GPUs, and keep their number.

    Raises
    ------
    ClusterError
        Where Slurm is not there or refuses the request.
    """
    if shutil.which("sbatch") is None:
        raise ClusterError(
            "--cluster slurm needs Slurm's command sbatch, but it is not on the PATH; start the "
            "run where jobs are submitted, or use --cluster local"
        )
    logs.mkdir(parents=True, exist_ok=True)
    cluster = jobqueue().SLURMCluster(
        **job_options(settings, environment),
        local_directory=str(scratch),
        log_directory=str(logs),
        scheduler_options={"dashboard_address": dashboard_address(settings.dashboard_port)},
        security=certified(scratch / "certificates"),
        protocol="tls://",
    )
    try:
        _ask_whether_it_can_run(cluster.job_script(), settings)
    except ClusterError:
        cluster.close(timeout=_CLOSE_SECONDS)
        raise
    # An adaptive cluster submits anew what was cancelled or lost its node; a fixed one would wait.
    least = settings.slurm.minimum_workers
    cluster.adapt(
        minimum=settings.workers if least is None else min(least, settings.workers),
        maximum=settings.workers,
    )
    return cluster


def job_options(settings: ClusterSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    """Give dask-jobqueue's options: without GPUs a job is one worker, with them one a GPU."""
    slurm = settings.slurm
    processes = max(1, slurm.gpus_per_job)
    directives = list(slurm.job_extra_directives)
    if slurm.gpus_per_job:
        directives.append(f"--gres=gpu:{slurm.gpus_per_job}")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    return {
        "job_name": "kidsclf-worker",
        "queue": slurm.queue,
        "account": slurm.account,
        "walltime": slurm.walltime,
        "cores": processes,  # threads of Dask: one a worker, whatever a task computes with
        "job_cpu": processes * slurm.cores_per_worker,
        "processes": processes,
        "memory": f"{processes * settings.memory_gib_per_worker}GiB",
        "interface": slurm.interface,
        "job_extra_directives": directives,
        "job_script_prologue": [*exports, *slurm.job_script_prologue],
        "python": sys.executable,
        "worker_command": "dask cuda worker"
        if slurm.gpus_per_job
        else "distributed.cli.dask_worker",
        "worker_extra_args": ["--dashboard-address", f"{LOOPBACK}:0"],
    }


def lifetime_seconds(settings: ClusterSettings) -> float:
    """Say when a worker has to leave by itself, so that its walltime does not cut a task short."""
    walltime = walltime_seconds(settings.slurm.walltime)
    return max(walltime / 2, walltime - 60 * settings.slurm.leave_before_minutes)


def walltime_seconds(text: str) -> float:
    """Read a time limit as ``sbatch --time`` does.

    Raises
    ------
    ClusterError
        Where it is none.

    >>> [walltime_seconds(text) for text in ("30", "1:30", "02:00:00", "1-12", "1-00:30")]
    [1800.0, 90.0, 7200.0, 129600.0, 88200.0]
    """
    found = _WALLTIME.fullmatch(text.strip())
    if found is None:
        raise ClusterError(
            f"cluster.slurm.walltime = {text!r} was to be a time, but has none of Slurm's forms; "
            f"write hours:minutes:seconds or days-hours:minutes:seconds"
        )
    days = float(found["days"] or 0)
    parts = [float(found[name]) for name in ("first", "second", "third") if found[name]]
    if found["days"] is None and len(parts) < 3:  # minutes, minutes:seconds
        parts = [0.0, *parts]
    hours, minutes, seconds = [*parts, 0.0, 0.0][:3]
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


def _ask_whether_it_can_run(job_script: str, settings: ClusterSettings) -> None:
    """Have Slurm judge the request; dask-jobqueue would wait for a refused job until its timeout.

    Raises
    ------
    ClusterError
        With what Slurm says.
    """
    asked = subprocess.run(
        ["sbatch", "--test-only"], input=job_script, capture_output=True, text=True, check=False
    )
    if asked.returncode:
        said = " ".join(asked.stderr.replace("allocation failure:", "").split())
        raise ClusterError(
            f"{settings.workers} Slurm jobs of {settings.memory_gib_per_worker:g} GiB were asked "
            f"for, but Slurm refuses them ({said}); lower cluster.memory_gib_per_worker or correct "
            f"[cluster.slurm]"
        )


def await_first_job(client: Client, cluster: Any, settings: ClusterSettings, logs: Path) -> None:
    """Wait for a worker, as long as there is a job that may bring one.

    Raises
    ------
    ClusterError
        With what the queue and the jobs' logs say.
    """
    started = time.time()
    patience = settings.slurm.start_timeout_seconds
    while time.time() - started < patience:
        with suppress(TimeoutError):
            client.wait_for_workers(1, timeout=min(_LOOK_SECONDS, patience))
            return
        waited = time.time() - started
        if waited > _SETTLE_SECONDS and not _queue(cluster):
            raise ClusterError(
                f"{settings.workers} workers were asked for through slurm, but all jobs ended "
                f"before a worker came ({_last_words(logs, started)}); see {logs}, and make sure "
                f"that every node sees {sys.executable} and the work directory"
            )
    reasons = ", ".join(_queue(cluster)) or "no job is in the queue"
    raise ClusterError(
        f"{settings.workers} workers were asked for through slurm, but none came in "
        f"{patience:.0f} s ({reasons}); see {logs}, and raise "
        f"cluster.slurm.start_timeout_seconds where queues are long"
    )


def _queue(cluster: Any) -> list[str]:
    """Ask Slurm for the state of the cluster's jobs, and why they wait."""
    jobs = [str(job.job_id) for job in cluster.workers.values() if job.job_id]
    if not jobs:
        return []
    asked = subprocess.run(
        ["squeue", "-h", "-j", ",".join(jobs), "-o", "job %A %T (%r)"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.splitlines()


def _last_words(logs: Path, since: float) -> str:
    """Quote the last line of the newest log of a job."""
    written = [path for path in logs.glob("*.err") if path.stat().st_mtime >= since]
    for path in sorted(written, key=lambda path: path.stat().st_mtime, reverse=True):
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return f"{path.name} ends with: {lines[-1].strip()}"
    return "their logs are empty"
