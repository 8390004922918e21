"""Open a Dask cluster: on this machine, on its GPUs, through Slurm, or one that runs already.

Schedulers and dashboards of ``local`` and ``cuda`` listen on loopback only.
"""

import importlib
import multiprocessing
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from kidsclf.config import ClusterSettings
from kidsclf.errors import ClusterError

KINDS = ("local", "cuda", "slurm")
_LOOPBACK = "127.0.0.1"
_CLOSE_SECONDS = 20.0


@contextmanager
def open_cluster(
    settings: ClusterSettings, *, scratch: Path, environment: Mapping[str, str]
) -> Iterator[Client]:
    """Open the cluster that the settings ask for and close it at the end.

    Parameters
    ----------
    settings : ClusterSettings
        ``kind`` is ``local``, ``cuda``, ``slurm`` or a scheduler's address.
    scratch : Path
        Folder for the workers' own temporary files.
    environment : mapping of str to str
        Set in every worker process before it starts.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ClusterError
        When the kind is unknown, a package or a GPU is missing, the scheduler cannot be reached
        or no worker comes.
    """
    options = {
        "distributed.nanny.environ": dict(environment),
        # A task's error reaches the user through its future; the worker need not print it too.
        "logging": {"distributed.worker": "critical", "distributed.nanny": "critical"},
        "distributed.worker.memory.pause": 0.9,
        "distributed.worker.memory.terminate": 0.98,
    }
    with dask.config.set(options):
        if "://" in settings.kind:
            with _connect(settings.kind) as client:
                yield client
            return
        opener = {"local": _local, "cuda": _cuda, "slurm": _slurm}.get(settings.kind)
        if opener is None:
            raise ClusterError(
                f"--cluster {settings.kind} was asked for, but known are {', '.join(KINDS)} and a "
                f"scheduler's address such as tcp://host:8786; give one of those"
            )
        cluster = opener(settings, scratch, environment)
        client = Client(cluster)
        try:
            _await_workers(client, settings)
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


def _local(settings: ClusterSettings, scratch: Path, _environment: Mapping[str, str]) -> Any:
    return LocalCluster(
        n_workers=settings.workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=f"{settings.memory_gib_per_worker}GiB",
        host=_LOOPBACK,
        dashboard_address=_dashboard(settings),
        local_directory=str(scratch),
        silence_logs=40,
    )


def _cuda(settings: ClusterSettings, scratch: Path, _environment: Mapping[str, str]) -> Any:
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


def _slurm(settings: ClusterSettings, scratch: Path, environment: Mapping[str, str]) -> Any:
    jobqueue = importlib.import_module("dask_jobqueue")
    slurm = settings.slurm
    directives = list(slurm.job_extra_directives)
    if slurm.gpus_per_job:
        directives.append(f"--gres=gpu:{slurm.gpus_per_job}")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    logs = scratch / "slurm-logs"
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
        # What travels between hosts is encrypted, and only holders of this run's own
        # certificate are let in.
        security=True,
        protocol="tls://",
        shared_temp_directory=str(scratch),
    )
    cluster.scale(settings.workers)
    return cluster


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
        client = Client(address, timeout="20s")
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


def _await_workers(client: Client, settings: ClusterSettings) -> None:
    seconds = settings.slurm.start_timeout_seconds if settings.kind == "slurm" else 120.0
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        raise ClusterError(
            f"{settings.workers} workers were asked for through {settings.kind}, but none came in "
            f"{seconds:.0f} s; see 'squeue --me' for why a job waits (a request that no node can "
            f"serve never starts) and the logs below the work directory"
        ) from error
