"""Readies the numerical backend of Keras in a process, before anything imports Keras.

Threads and determinism are part of a network's bits and must be fixed before the backend starts,
so a worker calls ``prepare_backend`` first and once.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from kidsclf.errors import ConfigError, PlanError

Backend = Literal["tensorflow", "jax", "torch"]


def prepare_backend(backend: Backend, threads: int) -> None:
    """Choose the backend, its threads, and operations that give the same bits each time.

    Calling it again with the same arguments does nothing.

    Parameters
    ----------
    backend : {"tensorflow", "jax", "torch"}
    threads : int
        Threads of one operation. Sums are split among them, so their number is part of the
        answer's last bits. JAX takes all that its process may use.

    Raises
    ------
    ConfigError
        If the backend is not installed.
    PlanError
        If this process already runs Keras on another backend or with other threads.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = backend
    if "keras" in sys.modules and sys.modules["keras"].config.backend() != backend:
        found = sys.modules["keras"].config.backend()
        raise PlanError(
            f"Keras on {backend} was asked for, but this process runs it on {found}; start a new "
            "process"
        )
    try:
        with _quiet_start():
            importlib.import_module(backend)
    except ImportError as error:
        raise ConfigError(
            f"infer.backend = {backend!r} was asked for, but that package is not installed; "
            f"install it or use 'tensorflow'"
        ) from error
    if backend == "tensorflow":
        _prepare_tensorflow(threads)
    elif backend == "torch":
        _prepare_torch(threads)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep what native libraries write while they load from the terminal.

    TensorFlow greets on file descriptor 2 before its own log level counts. An error to import
    still comes as an exception.
    """
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _prepare_tensorflow(threads: int) -> None:
    import tensorflow  # noqa: PLC0415  (heavy; only where this backend is chosen)

    settings = tensorflow.config
    found = settings.threading.get_intra_op_parallelism_threads()
    if found != threads:
        try:
            settings.threading.set_intra_op_parallelism_threads(threads)
            # One operation after another: the branches of a network are too small to overlap.
            settings.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            raise PlanError(
                f"TensorFlow with {threads} threads was asked for, but this process runs it with "
                f"{found or 'its own choice of'} threads; start a new process"
            ) from error
        for device in settings.list_physical_devices("GPU"):
            # Its default is to seize the whole card, which other workers may share.
            settings.experimental.set_memory_growth(device, True)
    settings.experimental.enable_op_determinism()


def _prepare_torch(threads: int) -> None:
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
