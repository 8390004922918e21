"""Workers leave in good order: they finish what they have begun and are missed by nobody.

Slurm says SIGTERM to all processes of a job that it wants back (preemption, walltime, ``scancel``)
and kills them some seconds later (KillWait, 30 s by default). Dask's own answer is to drop the
task: it is then done twice, or counted as if it had killed its worker.

For a scheduler of the user's own: ``dask worker --preload kidsclf.cluster.leaving``.
"""

import asyncio
import logging
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import psutil
from distributed import Nanny, NannyPlugin, Status, Worker, WorkerPlugin

_BEFORE_RUNNING = (Status.undefined, Status.created, Status.init, Status.starting)
_WITH_A_WORKER = (*_BEFORE_RUNNING, Status.running)
_LOOK_SECONDS = 0.05
_STARTING_SECONDS = 5.0
"""How long a nanny that is told to go waits for its worker to have started."""
_NEWS_SECONDS = 2.0
"""How long a finished task's news may take to the client."""


class LeavesInGoodOrder(WorkerPlugin):  # type: ignore[misc]
    """A worker that is told to go, or has served its time, ends its task first.

    Parameters
    ----------
    lifetime_seconds : float, optional
        After so long it leaves by itself, to be replaced, at latest; None is never.
    stagger_seconds : float
        It leaves up to so much earlier, at random, lest all go at once.
    """

    name = "kidsclf-leaving"

    def __init__(self, lifetime_seconds: float | None = None, stagger_seconds: float = 0.0) -> None:
        self._lifetime = lifetime_seconds
        self._stagger = stagger_seconds

    def setup(self, worker: Worker) -> None:
        """Listen for the signal, and set the clock."""
        with suppress(ValueError):  # not in the main thread of its process
            signal.signal(signal.SIGTERM, lambda *_: _begin_to_leave(worker, "SIGTERM"))
        if self._lifetime is not None:
            chance = random.Random(os.getpid())  # noqa: S311  # no secret
            seconds = self._lifetime - chance.uniform(0.0, self._stagger) - _age_of_job()
            worker.loop.call_later(
                max(0.0, seconds), _begin_to_leave, worker, "end of its lifetime"
            )


def _age_of_job() -> float:
    """Say how long ago this worker's nanny began: a restarted worker gets no longer walltime."""
    return time.time() - float(psutil.Process(os.getppid()).create_time())


class PassesTheWordOn(NannyPlugin):  # type: ignore[misc]
    """Nannies leave it to their workers to end; a nanny itself ends when its worker has.

    Several may share a process (``dask worker --nworkers``, ``dask cuda worker``), which has one
    handler of the signal: it tells the workers of all.
    """

    name = "kidsclf-leaving-nanny"

    def setup(self, nanny: Nanny) -> None:
        """Take the place of Dask's own handler, which would kill the worker."""
        first = not _NANNIES
        _NANNIES.add(nanny)
        if first:
            with suppress(ValueError):  # in the client's process, where nannies live in a thread
                before = signal.getsignal(signal.SIGTERM)
                signal.signal(signal.SIGTERM, lambda number, frame: _pass_on(before, number, frame))


_NANNIES: WeakSet[Nanny] = WeakSet()
"""Those of this process."""


def _pass_on(before: Any, number: int, frame: Any) -> None:
    told = [nanny for nanny in tuple(_NANNIES) if _tell_worker(nanny)]
    if not told and callable(before):
        before(number, frame)


def _tell_worker(nanny: Nanny) -> bool:
    """Pass the signal on, to a worker that is starting once it has; False where none is to be."""
    if nanny.status not in _WITH_A_WORKER:
        return False
    _soon(nanny.loop, _tell_once_started, nanny)
    return True


async def _tell_once_started(nanny: Nanny) -> None:
    """Send the signal to a worker, which may have begun a task before its nanny knows of it.

    One that has just died is started again, and then told. One that takes long to start has no
    task, and goes with its nanny.
    """
    deadline = time.monotonic() + _STARTING_SECONDS
    while nanny.status in _WITH_A_WORKER and time.monotonic() < deadline:
        process = nanny.process
        if process is not None and process.status == Status.running and process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
                return
        await asyncio.sleep(_LOOK_SECONDS)
    if nanny.status in _WITH_A_WORKER:
        await nanny.close(reason="SIGTERM")


def _begin_to_leave(worker: Worker, reason: str) -> None:
    _soon(worker.loop, leave, worker, reason)


def _soon(loop: Any, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """Begin something from within a signal's handler: a loop that sleeps has to be woken."""
    loop.asyncio_loop.call_soon_threadsafe(loop.add_callback, work, *arguments)


async def leave(worker: Worker, reason: str) -> None:
    """Take no new task, finish those begun, wait for its news to be fetched, and go."""
    while worker.status in _BEFORE_RUNNING:
        await asyncio.sleep(_LOOK_SECONDS)
    if worker.status not in (Status.running, Status.paused):
        return
    logging.getLogger(__name__).info("%s leaves in good order: %s", worker.address, reason)
    worker.status = Status.closing_gracefully  # the scheduler sends no more
    while worker.state.executing or worker.state.long_running:  # the latter have let others begin
        await asyncio.sleep(_LOOK_SECONDS)
    deadline = time.monotonic() + _NEWS_SECONDS
    while worker.data and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
    try:
        while await _scheduler_lags(worker):
            await asyncio.sleep(_LOOK_SECONDS)
        await worker.scheduler.retire_workers(
            workers=[worker.address],
            close_workers=False,
            remove=True,
            stimulus_id="kidsclf-leaving",
        )
        await asyncio.sleep(_LOOK_SECONDS)  # the scheduler also says so to the worker
    finally:
        await worker.close(nanny=True, reason=reason)


async def _scheduler_lags(worker: Worker) -> bool:
    """Say whether a task that has ended here is under way still for the scheduler.

    It hears of ended tasks on another connection than of those who leave. Where it is busy for long
    it may take up the latter first, and would have the tasks done again.
    """
    try:
        processing = await worker.scheduler.processing(workers=[worker.address])
    except KeyError:  # it knows this worker no more
        return False
    # It names a worker by number where that names itself by host.
    tasks = (worker.state.tasks.get(key) for keys in processing.values() for key in keys)
    return any(task is not None and task.state in ("memory", "error") for task in tasks)


def dask_setup(server: Worker | Nanny) -> None:
    """Serve as a ``--preload`` of ``dask worker``."""
    plugin = PassesTheWordOn() if isinstance(server, Nanny) else LeavesInGoodOrder()
    plugin.setup(server)
