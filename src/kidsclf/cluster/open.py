"""Open a Dask cluster: on this machine, on its GPUs, through Slurm, or one that runs already.

Schedulers and dashboards of ``local`` and ``cuda`` listen on loopback only.
"""

import importlib
import logging
import multiprocessing
import pkgutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Security, Worker, WorkerPlugin
from distributed.comm.registry import get_backend

from kidsclf import __version__
from kidsclf.cluster.forking import workers_forked_after_imports
from kidsclf.cluster.leaving import LeavesInGoodOrder, PassesTheWordOn
from kidsclf.cluster.local import (
    WORKER_PROCESS,
    cuda_cluster,
    local_cluster,
    workers_without_main,
)
from kidsclf.cluster.security import DASHBOARD_OPTIONS
from kidsclf.cluster.sky_states import SKY_PAGE, follow_sky
from kidsclf.cluster.slurm import await_first_job, lifetime_seconds, slurm_cluster
from kidsclf.config import ClusterSettings
from kidsclf.errors import ClusterError, ConfigError

KINDS = ("local", "cuda", "slurm")
_CLOSE_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
_LOCAL_START_SECONDS = 120.0
_ENCRYPTED = ("tls", "wss")
_STAGGER = 0.1
"""Workers leave up to this fraction of their lifetime early, lest all go at once."""


def check_kind(settings: ClusterSettings) -> None:
    """Refuse a kind of cluster that there is not.

    Raises
    ------
    ConfigError
        When ``kind`` is neither known nor an address.
    """
    if settings.kind not in KINDS and "://" not in settings.kind:
        raise ConfigError(
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
    ConfigError
        When the kind is unknown.
    ClusterError
        When a package or a GPU is missing, the scheduler cannot be reached, no node can serve the
        request, no worker comes, or workers have another kidsclf.
    """
    check_kind(settings)
    forked = workers_forked_after_imports if settings.kind == "local" else nullcontext
    with dask.config.set(_options(settings, environment)), workers_without_main(), forked():
        if "://" in settings.kind:
            with _connect(settings.kind) as client:
                yield client
            return
        # Adds its page to the dashboards that start from here on; brings Bokeh.
        importlib.import_module("kidsclf.cluster.sky_map")
        if settings.kind == "slurm":
            cluster = slurm_cluster(settings, scratch, logs, environment)
        else:
            cluster = {"local": local_cluster, "cuda": cuda_cluster}[settings.kind](
                settings, scratch
            )
        client = Client(cluster)
        try:
            _await_workers(client, cluster, settings, logs)
            check_packages(client)
            _instruct(client, cluster, settings)
            yield client
        finally:
            _close(client, cluster)


def sky_link(dashboard: str) -> str:
    """Give the address of the map of the sky beside that of the dashboard."""
    return f"{dashboard.rpartition('/')[0]}{SKY_PAGE}"


def _options(settings: ClusterSettings, environment: Mapping[str, str]) -> dict[str, Any]:
    if settings.kind == "slurm":
        patience = settings.slurm.start_timeout_seconds
    else:
        patience = _LOCAL_START_SECONDS
    return {
        **DASHBOARD_OPTIONS,
        "distributed.nanny.environ": dict(environment),
        # A worker holds one task, or one more that is being ended. So one that is full has nothing
        # to wait for; and when it dies, hardly another is blamed than the task that killed it.
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": 0.98,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.no-workers-timeout": f"{patience}s",
    }


def _instruct(client: Client, cluster: Any, settings: ClusterSettings) -> None:
    """Tell workers, those to come too, how to behave; let the scheduler keep the map of the sky."""
    if settings.kind == "slurm":
        lifetime = lifetime_seconds(settings)
        client.register_plugin(LeavesInGoodOrder(lifetime, _STAGGER * lifetime))
        client.register_plugin(PassesTheWordOn())
    else:
        client.register_plugin(_InTheClientsTerminal())
    cluster.scheduler.loop.add_callback(follow_sky, cluster.scheduler)


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
            if process.name.startswith(WORKER_PROCESS):
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


def _connect(address: str) -> Client:
    _check_address(address)
    before = dask.config.get("scheduler", None)
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        # Dask may have made the client, which never was, the one that computes by default.
        dask.config.set(scheduler=before)
        raise _no_answer(address, error) from error
    if not client.scheduler_info()["workers"]:
        client.close()
        raise ClusterError(
            f"the scheduler at {address} answers but has no workers; start some with 'dask worker "
            f"{address}' in an environment that holds kidsclf"
        )
    try:
        check_packages(client)
    except ClusterError:
        client.close()
        raise
    return client


def _check_address(address: str) -> None:
    """Refuse what a client could not be made for; half-made, it would stay in this process."""
    scheme, security = address.partition("://")[0], Security()
    try:
        get_backend(scheme)
    except ValueError as error:
        raise _no_answer(address, error) from error
    if scheme in _ENCRYPTED:
        if security.get_connection_args("client").get("ssl_context") is None:
            raise ClusterError(
                f"--cluster {address} was asked for, but Dask's configuration names no "
                f"certificates to show there; set distributed.comm.tls (ca-file, client.cert, "
                f"client.key)"
            )
    elif security.require_encryption:
        raise _no_answer(address, "encryption required by Dask configuration")


def _no_answer(address: str, reason: object) -> ClusterError:
    return ClusterError(
        f"--cluster {address} was asked for, but no scheduler answers there ({reason}); start one "
        f"with 'dask scheduler', or correct the address"
    )


def _await_workers(client: Client, cluster: Any, settings: ClusterSettings, logs: Path) -> None:
    if settings.kind == "slurm":
        await_first_job(client, cluster, settings, logs)
        return
    try:
        client.wait_for_workers(1, timeout=_LOCAL_START_SECONDS)
    except TimeoutError as error:
        raise ClusterError(
            f"{settings.workers} workers were asked for through {settings.kind}, but none came in "
            f"{_LOCAL_START_SECONDS:.0f} s; try again when this machine is less busy"
        ) from error


def check_packages(client: Client) -> None:
    """Make sure that workers can import kidsclf, and the same version of it.

    Raises
    ------
    ClusterError
    """
    # A function of the standard library, so that a worker without kidsclf can answer too.
    said = client.run(pkgutil.resolve_name, "kidsclf:__version__", on_error="return")
    for worker, answer in said.items():
        if answer == __version__:
            continue
        found = f"it has version {answer}" if isinstance(answer, str) else f"it says: {answer}"
        raise ClusterError(
            f"workers have to import kidsclf {__version__} as this program does, but that at "
            f"{worker} does not ({found}); start workers in the same environment"
        )
