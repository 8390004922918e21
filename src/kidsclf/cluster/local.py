"""Workers on this machine: processes of its cores, or one a GPU."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from pathlib import Path
from typing import Any

from distributed import LocalCluster

from kidsclf.cluster.security import LOOPBACK, dashboard_address
from kidsclf.config import ClusterSettings
from kidsclf.errors import ClusterError

WORKER_PROCESS = "Dask Worker process"
"""How Dask's nannies name the processes of their workers."""


@contextmanager
def workers_without_main() -> Iterator[None]:
    """Keep workers from importing the program that opens the cluster.

    Python does that in processes that it spawns. A script without a ``__main__`` guard would then
    open clusters within clusters; and a worker needs nothing of it, as Dask sends functions of
    ``__main__`` whole.
    """
    prepare = spawn.get_preparation_data

    def prepared(name: str) -> dict[str, object]:
        data = prepare(name)
        if name.startswith(WORKER_PROCESS):
            for key in ("init_main_from_name", "init_main_from_path"):
                data.pop(key, None)
        return data

    spawn.get_preparation_data = prepared
    try:
        yield
    finally:
        spawn.get_preparation_data = prepare


def local_cluster(settings: ClusterSettings, scratch: Path) -> Any:
    """Start worker processes of one thread; everything listens on loopback."""
    cluster = LocalCluster(
        n_workers=settings.workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=f"{settings.memory_gib_per_worker}GiB",
        host=LOOPBACK,
        dashboard_address=dashboard_address(settings.dashboard_port),
        local_directory=str(scratch),
        silence_logs=logging.CRITICAL,
    )
    # A nanny gives up if its new worker is killed while it starts: then another nanny is made.
    cluster.adapt(minimum=settings.workers, maximum=settings.workers)
    return cluster


def cuda_cluster(settings: ClusterSettings, scratch: Path) -> Any:
    """Start one worker process a GPU; everything listens on loopback.

    Raises
    ------
    ClusterError
        Where dask-cuda or a GPU is missing.
    """
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
        host=LOOPBACK,
        dashboard_address=dashboard_address(settings.dashboard_port),
        local_directory=str(scratch),
    )
