"""Open a Dask cluster: on this machine, on its GPUs, through Slurm, or one that runs already.

Schedulers and dashboards of ``local`` and ``cuda`` listen on loopback only.
"""

import importlib
import logging
import multiprocessing
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Security, Worker, WorkerPlugin

from kidsclf.config import ClusterSettings
from kidsclf.errors import ClusterError

KINDS = ("local", "cuda", "slurm")
_LOOPBACK = "127.0.0.1"
_CLOSE_SECONDS = 20.0
_CONNECT_SECONDS = 10.0


def check_kind(settings: ClusterSettings) -> None:
    """Refuse a kind of cluster that there is not.

    Raises
    ------
    ClusterError
        When ``kind`` is neither known nor an address.
    """
    if settings.kind not in KINDS and "://" not in settings.kind:
        raise ClusterError(
            f"--cluster {settings.kind} was asked for, but known are {', '.join(KINDS)} and a "
            f"scheduler's address such as tcp://host:8786; give one of those"
        )


@contextmanager
def open_cluster(
    settings: ClusterSettings, *, scratch: Path, logs: Path, environment: Mapping[str, str]
) -> Iterator[Client]:
    """Open the cluster that the settings ask for and close it at the end.

    Parameters
    ----------
    settings : ClusterSettings
        ``kind`` is ``local``, ``cuda``, ``slurm`` or a scheduler's address.
    scratch : Path
        Folder for the workers' own temporary files and this run's certificates.
    logs : Path
        Folder for what batch jobs say.
    environment : mapping of str to str
        Set in every worker process before it starts.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        When the kind is unknown, a package or a GPU is missing, the scheduler cannot be reached,
        no node can serve the request or no worker comes.
    """
    check_kind(settings)
    options = {
        "distributed.nanny.environ": dict(environment),
        "distributed.worker.memory.pause": 0.9,
        "distributed.worker.memory.terminate": 0.98,
    }
    with dask.config.set(options):
        if "://" in settings.kind:
            with _connect(settings.kind) as client:
                yield client
            return
        dask.config.set({"distributed.dashboard.link": f"http://{_LOOPBACK}:{{port}}/status"})
        if settings.kind == "slurm":
            cluster = _slurm(settings, scratch, logs, environment)
        else:
            cluster = {"local": _local, "cuda": _cuda}[settings.kind](settings, scratch)
        client = Client(cluster)
        try:
            if settings.kind != "slurm":
                client.register_plugin(_InTheClientsTerminal())
            _await_workers(client, settings, logs)
            yield client
        finally:
            _close(client, cluster)


def _close(client: Client, cluster: Any) -> None:
    """Close in bounded time: everything that counts is on disk by now.

    A nanny that was just giving a killed worker a new process can wait for it for ever.
    """
    with suppress(TimeoutError):
        client.close(timeout=_CLOSE_SECONDS)
    try:
        cluster.close(timeout=_CLOSE_SECONDS)
    except TimeoutError:
        for process in multiprocessing.active_children():
            if process.name.startswith("Dask Worker process"):
                process.kill()


class _InTheClientsTerminal(WorkerPlugin):  # type: ignore[misc]
    """Leave it to the client to speak and to be interrupted.

    A task's error reaches the user through its future, so the worker need not print it too; and a
    terminal sends Ctrl-C to the workers as well, which the client ends in good order.
    """

    def setup(self, worker: Worker) -> None:  # noqa: ARG002  # the plugin's interface
        logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
        with suppress(ValueError):  # not in the main thread of its process
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _local(settings: ClusterSettings, scratch: Path) -> Any:
    return LocalCluster(
        n_workers=settings.workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=f"{settings.memory_gib_per_worker}GiB",
        host=_LOOPBACK,
        dashboard_address=_dashboard(settings),
        local_directory=str(scratch),
        silence_logs=logging.CRITICAL,
    )


def _cuda(settings: ClusterSettings, scratch: Path) -> Any:
    try:
        dask_cuda = importlib.import_module("dask_cuda")
        dask_cuda_utils = importlib.import_module("dask_cuda.utils")
        gpus = dask_cuda_utils.get_n_gpus()
    except ImportError as error:
        raise ClusterError(
            f"--cluster cuda needs the package dask-cuda, but it is not installed ({error}); "
            f"install kidsclf[gpu], or use --cluster local"
        ) from error
    except Exception as error:  # the NVIDIA library has an exception tree of its own
        raise ClusterError(
            f"--cluster cuda needs an NVIDIA GPU, but none can be reached ({error}); use --cluster "
            f"local, or a machine with a GPU and its driver"
        ) from error
    if gpus < 1:
        raise ClusterError(
            "--cluster cuda needs an NVIDIA GPU, but this machine shows none; use --cluster local"
        )
    return dask_cuda.LocalCUDACluster(
        n_workers=min(settings.workers, gpus),
        threads_per_worker=1,
        memory_limit=f"{settings.memory_gib_per_worker}GiB",
        host=_LOOPBACK,
        dashboard_address=_dashboard(settings),
        local_directory=str(scratch),
    )


def _slurm(
    settings: ClusterSettings, scratch: Path, logs: Path, environment: Mapping[str, str]
) -> Any:
    if shutil.which("sbatch") is None:
        raise ClusterError(
            "--cluster slurm needs Slurm's command sbatch, but it is not on the PATH; start the "
            "run where jobs are submitted, or use --cluster local"
        )
    jobqueue = importlib.import_module("dask_jobqueue")
    slurm = settings.slurm
    directives = list(slurm.job_extra_directives)
    if slurm.gpus_per_job:
        directives.append(f"--gres=gpu:{slurm.gpus_per_job}")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    logs.mkdir(parents=True, exist_ok=True)
    cluster = jobqueue.SLURMCluster(
        queue=slurm.queue,
        account=slurm.account,
        walltime=slurm.walltime,
        cores=1,
        processes=1,
        memory=f"{settings.memory_gib_per_worker}GiB",
        interface=slurm.interface,
        job_extra_directives=directives,
        job_script_prologue=[*exports, *slurm.job_script_prologue],
        local_directory=str(scratch),
        log_directory=str(logs),
        python=sys.executable,
        scheduler_options={"dashboard_address": _dashboard(settings)},
        worker_extra_args=["--dashboard-address", f"{_LOOPBACK}:0"],
        security=_certified(scratch / "certificates"),
        protocol="tls://",
    )
    try:
        _ask_whether_it_can_run(cluster.job_script(), settings)
    except ClusterError:
        cluster.close(timeout=_CLOSE_SECONDS)
        raise
    # An adaptive cluster submits anew what was cancelled or lost its node; a fixed one would wait.
    cluster.adapt(minimum=settings.workers, maximum=settings.workers)
    return cluster


def _certified(folder: Path) -> Security:
    """Make a certificate for this run alone and put it where only its user can read it.

    What travels between hosts is encrypted with it, and only its holders are let in.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Security.temporary()
    paths = {}
    for name, text in (("certificate", made.tls_ca_file), ("key", made.tls_client_key)):
        path = folder / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(str(text), encoding="utf-8")
        paths[name] = str(path)
    parts = {
        f"tls_{role}_{part}": paths[name]
        for role in ("client", "scheduler", "worker")
        for part, name in (("cert", "certificate"), ("key", "key"))
    }
    return Security(require_encryption=True, tls_ca_file=paths["certificate"], **parts)


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


def _dashboard(settings: ClusterSettings) -> str:
    """Give the dashboard's address: loopback, on any free port where the wanted one is taken."""
    with socket.socket() as probe:
        try:
            probe.bind((_LOOPBACK, settings.dashboard_port))
        except OSError:
            return f"{_LOOPBACK}:0"
    return f"{_LOOPBACK}:{settings.dashboard_port}"


def _connect(address: str) -> Client:
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"--cluster {address} was asked for, but no scheduler answers there ({error}); start "
            f"one with 'dask scheduler', or correct the address"
        ) from error
    if not client.scheduler_info()["workers"]:
        client.close()
        raise ClusterError(
            f"the scheduler at {address} answers but has no workers; start some with 'dask worker "
            f"{address}' in an environment that holds kidsclf"
        )
    return client


def _await_workers(client: Client, settings: ClusterSettings, logs: Path) -> None:
    seconds = settings.slurm.start_timeout_seconds if settings.kind == "slurm" else 120.0
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        advice = "try again when this machine is less busy"
        if settings.kind == "slurm":
            advice = (
                f"see {logs}, and raise cluster.slurm.start_timeout_seconds where queues are long"
            )
        raise ClusterError(
            f"{settings.workers} workers were asked for through {settings.kind}, but none came in "
            f"{seconds:.0f} s; {advice}"
        ) from error
