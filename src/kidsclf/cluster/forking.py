"""Workers of this machine are forked from one process that has done the imports which all need.

It is a server of Python's multiprocessing, which runs nothing else: so a fork of it is as sound as
a new process, is there at once, and shares its pages. Its libraries compute with one thread, and
what threads there may be (jemalloc's) are ready for forks. TensorFlow, which starts some, is not
among the imports.
"""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from typing import Any

import dask
from distributed.utils import get_mp_context

IMPORTS = ("distributed.nanny", "kidsclf.pipeline.plan", "healpy", "xgboost")
_METHOD = {"distributed.worker.multiprocessing-method": "forkserver"}
_ONE_THREAD = "distributed.nanny.pre-spawn-environ"
_SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""Else the server, a ``python -c``, would import what lies in the folder it is started in."""
_SERVER: Any = forkserver._forkserver
_OPEN: list[object] = []
"""Clusters that stand on a server of ours: the last one ends it."""


@contextmanager
def workers_forked_after_imports() -> Iterator[None]:
    """Let Dask's nannies start workers so, and end the server with the cluster.

    Sessions of one program share a server, which ends with the last of them; one that the program
    has for itself is used as it is and left. Workers have the environment of the moment in which
    they are opened, not the server's.
    """
    with dask.config.set(_METHOD | {"distributed.nanny.environ": _environment()}):
        if _SERVER._forkserver_pid is not None and not _OPEN:
            yield
            return
        if not _OPEN:
            _start_server()
        this = object()
        _OPEN.append(this)
        try:
            yield
        finally:
            _OPEN.remove(this)
            if not _OPEN:
                _end_server()


def _start_server() -> None:
    get_mp_context()  # sets imports of its own the first time
    before = _SERVER._preload_modules
    _SERVER.set_forkserver_preload(list(IMPORTS))
    threads = {key: str(value) for key, value in dask.config.get(_ONE_THREAD).items()}
    with _set({**threads, **_given(threads), **_SAFE_PATH}):
        forkserver.ensure_running()
    _SERVER.set_forkserver_preload(before)


def _environment() -> dict[str, str]:
    return {**os.environ, **dask.config.get("distributed.nanny.environ", {})}


def _given(names: Mapping[str, str]) -> dict[str, str]:
    """Pick what the user has set of some variables."""
    return {name: os.environ[name] for name in names if name in os.environ}


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    """Have variables in the environment for a moment."""
    before = _given(variables)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)


def _end_server() -> None:
    """End it at once: its workers are gone, or are not to be waited for."""
    if _SERVER._forkserver_pid is not None:
        os.kill(_SERVER._forkserver_pid, signal.SIGKILL)
        with suppress(FileNotFoundError):  # where Python ends, its folder may have gone before
            _SERVER._stop()
