"""Map tasks over the cluster: the only place beside ``cluster`` that talks to Dask.

Data travels by storage, receipts by network. Few tasks are under way at a time, so that neither
the scheduler nor the client grows with the survey.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from distributed import Client, Future, KilledWorker, as_completed, wait

from kidsclf.errors import ClusterError, KidsclfError
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, fingerprint, is_finished, measure, write_receipt

_TASKS_PER_THREAD = 3
_PATIENCE_SECONDS = 30.0
_RESTART_SECONDS = 120


@dataclass(frozen=True)
class Made:
    """What a task made: rows held, files or folders written, small facts for the client."""

    rows: int
    outputs: tuple[Path, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One call of a module-level function that writes its own outputs."""

    stage: str
    name: str
    fingerprint: str
    work: Callable[..., Made]
    arguments: tuple[Any, ...]
    rows: int = 0
    """Expected rows, for the progress line."""
    about: str = ""
    """What the progress line calls it beside the stage: a network, a sample."""


@dataclass(frozen=True)
class Mapped:
    """Receipts of all tasks, in their order, and how many were new."""

    receipts: tuple[Receipt, ...]
    done: int
    seconds: float

    @property
    def skipped(self) -> int:
        """Tasks that were finished already."""
        return len(self.receipts) - self.done


class Watcher(Protocol):
    """Who is told how a stage goes on."""

    def start(self, stage: str, tasks: int, skipped: int, rows: int) -> None:
        """Begin a stage; ``tasks`` and ``rows`` are those still to do."""

    def advance(self, rows: int) -> None:
        """One more task is finished."""

    def finish(self) -> None:
        """The stage is over."""


class Engine:
    """A Dask client that does tasks and leaves receipts."""

    def __init__(self, client: Client, work: WorkDirectory, watcher: Watcher) -> None:
        self._client = client
        self._work = work
        self._watcher = watcher

    @property
    def dashboard(self) -> str:
        """Address of the dashboard."""
        return str(self._client.dashboard_link)

    @property
    def workers(self) -> int:
        """Worker processes at present."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def tell_kept(self, stage: str, tasks: int) -> None:
        """Say that a whole stage was finished before."""
        self._watcher.start(stage, 0, tasks, 0)
        self._watcher.finish()

    def restart_workers(self) -> None:
        """Give every worker a fresh process: a framework's thread counts are set only once.

        Raises
        ------
        ClusterError
            When no worker comes back.
        """
        before = self.workers
        # On a busy machine a nanny complains of a process that does not end in five seconds, and
        # starts the next one all the same.
        with suppress(TimeoutError):
            self._client.restart(wait_for_workers=False, timeout=_RESTART_SECONDS)
        with suppress(TimeoutError):
            self._client.wait_for_workers(before, timeout=_RESTART_SECONDS)
        if not self.workers:
            raise ClusterError(
                f"{before} workers were asked to start afresh before scoring, but none came back "
                f"in {_RESTART_SECONDS} s; the same command goes on from here"
            )

    def map(self, tasks: Sequence[Task]) -> Mapped:
        """Do the tasks that are not finished; return all receipts in the order of the tasks.

        Raises
        ------
        KidsclfError
            The first that a task raised; tasks under way are cancelled.
        ClusterError
            When a task killed every worker that touched it.
        """
        started = time.perf_counter()
        receipts: dict[str, Receipt] = {}
        for task in tasks:
            kept = is_finished(
                self._work.receipts, self._work.root, task.stage, task.name, task.fingerprint
            )
            if kept is not None:
                receipts[task.name] = kept
        todo = [task for task in tasks if task.name not in receipts]
        if tasks:
            title = f"{tasks[0].stage} {tasks[0].about}".strip()
            rows = sum(task.rows for task in todo)
            self._watcher.start(title, len(todo), len(receipts), rows)
        try:
            for receipt in self._perform(todo):
                receipts[receipt.task] = receipt
                self._watcher.advance(receipt.rows)
        finally:
            self._watcher.finish()
        return Mapped(
            tuple(receipts[task.name] for task in tasks),
            len(todo),
            time.perf_counter() - started,
        )

    def _perform(self, todo: Sequence[Task]) -> Any:
        waiting = list(reversed(todo))
        window = max(2, _TASKS_PER_THREAD * max(1, self.workers))
        running = as_completed([self._submit(waiting.pop()) for _ in todo[:window]])
        try:
            for future in running:
                yield self._result(future)
                if waiting:
                    running.add(self._submit(waiting.pop()))
        except KidsclfError:
            # What is under way cannot be called back: let it end, so that nothing is half-written.
            left = list(running.futures)
            with suppress(TimeoutError):
                wait(left, timeout=_PATIENCE_SECONDS)
            self._client.cancel(left, force=True)
            raise
        except BaseException:
            self._client.cancel(list(running.futures), force=True)
            raise

    def _submit(self, task: Task) -> Future:
        return self._client.submit(
            perform,
            task,
            self._work,
            # Two runs on one scheduler may do the same work for different folders.
            key=f"{task.stage.replace('.', '_')}-{task.name}-"
            f"{fingerprint(task.fingerprint, self._work.root)}",
            pure=False,
        )

    def _result(self, future: Future) -> Receipt:
        try:
            receipt = future.result()
        except KilledWorker as error:
            raise ClusterError(
                f"task {future.key} killed every worker that touched it; it may need more memory: "
                f"raise cluster.memory_gib_per_worker or lower ingest.max_rows"
            ) from error
        assert isinstance(receipt, Receipt)  # noqa: S101  # for the type checker
        return receipt


def perform(task: Task, work: WorkDirectory) -> Receipt:
    """Do one task on a worker and leave its receipt."""
    started = time.perf_counter()
    try:
        made = task.work(*task.arguments)
    except KidsclfError as error:
        error.add_note(f"while working on {task.stage} {task.name}")
        raise
    outputs = {str(path.relative_to(work.root)): measure(path) for path in made.outputs}
    receipt = Receipt(
        task.stage,
        task.name,
        task.fingerprint,
        made.rows,
        time.perf_counter() - started,
        outputs,
        made.facts,
    )
    write_receipt(work.receipts, receipt)
    return receipt
