"""Map tasks over the cluster: the only place beside ``cluster`` that talks to Dask.

Data travels by storage, receipts by network. Few tasks are under way at a time, so that neither
the scheduler nor the client grows with the survey.
"""

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Literal, Protocol, TypeVar

from distributed import Client, Future, KilledWorker, as_completed, secede, wait
from distributed.scheduler import NoWorkerError

from kidsclf.cluster.sky_states import TOPIC, cells_of
from kidsclf.errors import ClusterError, InputError, KidsclfError
from kidsclf.pipeline.tasks import Made, Mapped, Task, made_as, perform, stop_clock
from kidsclf.places import is_local
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.quarantine import Quarantined, write_quarantined
from kidsclf.store.receipts import ASKED_AT_ONCE, Receipt, fingerprint, is_finished

__all__ = ["Engine", "Made", "Mapped", "Task", "Watcher", "let_next_begin", "made_as"]

_TASKS_PER_THREAD = 3
_COUNT_WORKERS_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0
_RESTART_SECONDS = 120


def let_next_begin() -> None:
    """Let this worker begin its next task while the one that asks for it is being ended.

    Its seconds end here, so that those of a worker's tasks do not overlap. Where no worker runs
    it, nothing else happens.
    """
    stop_clock()
    with suppress(ValueError):
        secede()


Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Watcher(Protocol):
    """Who is told how a stage goes on."""

    def start(self, stage: str, tasks: int, skipped: int, rows: int, workers: int) -> None:
        """Begin a stage; ``tasks`` and ``rows`` are those still to do."""

    def advance(self, rows: int, seconds: float) -> None:
        """One more task is finished, which took a worker so long."""

    def leave_out(self, task: str, reason: str) -> None:
        """One more task is put in quarantine."""

    def finish(self) -> None:
        """The stage is over."""


class Engine:
    """A Dask client that does tasks and leaves receipts."""

    def __init__(
        self,
        client: Client,
        work: WorkDirectory,
        watcher: Watcher,
        on_bad_input: Literal["stop", "quarantine"] = "stop",
    ) -> None:
        self._client = client
        self._work = work
        self._watcher = watcher
        self._quarantines = on_bad_input == "quarantine"
        self.has_worked = False
        """Whether a task was begun."""

    @property
    def dashboard(self) -> str:
        """Address of the dashboard."""
        return str(self._client.dashboard_link)

    @property
    def workers(self) -> int:
        """Worker processes at present.

        Raises
        ------
        ClusterError
            When the scheduler is lost.
        """
        with _asking_the_scheduler():
            return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def tell_kept(self, stage: str, tasks: int) -> None:
        """Say that a whole stage was finished before."""
        self._watcher.start(stage, 0, tasks, 0, 0)
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

        Where the run puts bad input in quarantine, receipts of such tasks are missing.

        Raises
        ------
        KidsclfError
            The first that a task raised; tasks under way are cancelled.
        ClusterError
            When a task killed every worker that touched it, or the cluster is lost.
        """
        started = time.perf_counter()
        kept = {receipt.task: receipt for receipt in self._kept(tasks)}
        todo = [task for task in tasks if task.name not in kept]
        self.has_worked |= bool(todo)
        if tasks:
            title = f"{tasks[0].stage} {tasks[0].about}".strip()
            rows, workers = sum(task.rows for task in todo), self.workers if todo else 0
            self._watcher.start(title, len(todo), len(kept), rows, workers)
            self._tell_scheduler(tasks[0].title, todo, kept)
        ended: dict[str, Receipt | Quarantined] = dict(kept)
        try:
            for task, end in self._perform(todo):
                ended[task.name] = end
                self._tell_end(task, end)
        finally:
            self._watcher.finish()
        ends = [ended[task.name] for task in tasks]
        left_out = tuple(end for end in ends if isinstance(end, Quarantined))
        return Mapped(
            tuple(end for end in ends if isinstance(end, Receipt)),
            len(todo) - len(left_out),
            time.perf_counter() - started,
            left_out,
            frozenset(kept),
        )

    def ask(
        self, answer: Callable[[Asked], Answer], asked: Mapping[str, Asked]
    ) -> Iterator[Answer]:
        """Have workers answer small questions; give the answers in the order asked.

        Nothing is left on disk: for what the client needs at once, and is too little to keep.

        Parameters
        ----------
        answer : callable
            Of a module.
        asked : mapping of name to question

        Raises
        ------
        ClusterError
            When a question killed every worker that touched it, or the cluster is lost.
        """
        waiting = deque(asked.items())
        under_way: deque[tuple[str, Future]] = deque()
        room = self._room()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < room:
                    name, question = waiting.popleft()
                    with _asking_the_scheduler():
                        future = self._client.submit(
                            _put, answer, pickle.dumps(question), pure=False
                        )
                    under_way.append((name, future))
                yield _answer(*under_way.popleft())
        finally:
            self._cancel([future for _, future in under_way])

    def _tell_scheduler(self, title: str, todo: Sequence[Task], kept: Mapping[str, object]) -> None:
        """Tell the map of the sky on the dashboard what is to come."""
        finished = [name.rpartition("@")[2] for name in kept]
        cells = cells_of([task.label for task in todo], finished)
        with _asking_the_scheduler():
            self._client.log_event(TOPIC, {"stage": title, **cells})

    def _tell_end(self, task: Task, end: Receipt | Quarantined) -> None:
        if isinstance(end, Receipt):
            self._watcher.advance(end.rows, end.seconds)
            return
        self._watcher.leave_out(f"{task.stage} {task.name}", end.reason)
        with _asking_the_scheduler():
            self._client.log_event(TOPIC, {"quarantined": task.label})

    def _kept(self, tasks: Sequence[Task]) -> list[Receipt]:
        """Look which tasks are finished; an object store is asked for several at a time."""
        work = self._work

        def look(task: Task) -> Receipt | None:
            return is_finished(work.receipts, work.root, task.stage, task.name, task.fingerprint)

        with ThreadPoolExecutor(1 if is_local(work.root) else ASKED_AT_ONCE) as pool:
            return [receipt for receipt in pool.map(look, tasks) if receipt is not None]

    def _perform(self, todo: Sequence[Task]) -> Iterator[tuple[Task, Receipt | Quarantined]]:
        waiting = list(reversed(todo))
        tasks: dict[str, Task] = {}
        running = as_completed(loop=self._client.loop)
        room, counted = self._room(), time.monotonic()
        try:
            while True:
                while waiting and len(tasks) < room:
                    future = self._submit(waiting.pop(), tasks)
                    running.add(future)
                if not tasks:
                    return
                for future, receipt in self._fetched(running.next_batch()):
                    task = tasks.pop(future.key)
                    yield task, receipt or self._end_of(task, future)
                    del future  # the scheduler forgets a task only when nobody holds its future
                if time.monotonic() - counted > _COUNT_WORKERS_SECONDS:  # workers come and go
                    room, counted = self._room(), time.monotonic()
        except KidsclfError:
            # What is under way cannot be called back: let it end, so that nothing is half-written.
            left = list(running.futures)
            with suppress(TimeoutError, CancelledError):
                wait(left, timeout=_PATIENCE_SECONDS)
            self._cancel(left)
            raise
        except BaseException:
            self._cancel(list(running.futures))
            raise

    def _fetched(self, batch: list[Future]) -> Iterator[tuple[Future, Receipt | None]]:
        """Fetch the receipts of tasks that have ended, in one go; None where one went wrong.

        One after the other, the client would wait for the network more than for the workers.
        """
        done = [future for future in batch if future.status == "finished"]
        receipts: dict[Future, Receipt] = {}
        with suppress(Exception):  # each is then asked for by itself, and what it says is named
            receipts = dict(zip(done, self._client.gather(done), strict=True))
        while batch:
            future = batch.pop(0)
            yield future, receipts.get(future)

    def _cancel(self, futures: list[Future]) -> None:
        with suppress(OSError, CancelledError):  # the scheduler may be what was lost
            self._client.cancel(futures, force=True)

    def _room(self) -> int:
        """Say how many tasks may be under way: enough that no worker waits for the client."""
        return max(2, _TASKS_PER_THREAD * self.workers)

    def _submit(self, task: Task, tasks: dict[str, Task]) -> Future:
        # Two runs on one scheduler may do the same work for different folders.
        made_for = fingerprint(task.fingerprint, self._work.root)
        key = f"{task.title.replace('.', '_')}-{task.label}-{made_for}"
        tasks[key] = task
        with _asking_the_scheduler():
            return self._client.submit(perform, task, self._work, key=key, pure=False)

    def _end_of(self, task: Task, future: Future) -> Receipt | Quarantined:
        try:
            receipt = future.result()
        except InputError as error:
            if not self._quarantines or task.essential:
                raise
            return self._quarantined(task, str(error))
        except KilledWorker as error:
            found = (
                f"task {task.stage} {task.name} killed each of the {error.allowed_failures + 1} "
                f"workers that touched it"
            )
            if self._quarantines and not task.essential:
                return self._quarantined(task, found)
            raise ClusterError(
                f"{found}; it may need more memory: raise cluster.memory_gib_per_worker or lower "
                f"ingest.max_rows, or set run.on_bad_input to quarantine to do the rest"
            ) from error
        except (CancelledError, NoWorkerError) as error:
            raise _lost(error) from error
        except OSError as error:
            if future.status == "error":  # the task's own
                raise
            raise _lost(error) from error
        assert isinstance(receipt, Receipt)  # noqa: S101  # for the type checker
        return receipt

    def _quarantined(self, task: Task, reason: str) -> Quarantined:
        record = Quarantined(task.stage, task.name, task.fingerprint, task.rows, reason)
        write_quarantined(self._work.quarantine, record)
        return record


def _put(answer: Callable[[Any], Any], question: bytes) -> Any:
    """Put a question on a worker.

    It comes as one string: where Dask takes tables apart, Arrow complains of buffers out of line.
    """
    return answer(pickle.loads(question))  # noqa: S301 (our own client wrote it)


def _answer(name: str, future: Future) -> Any:
    try:
        return future.result()
    except KilledWorker as error:
        raise ClusterError(
            f"{name} was asked of the workers, but killed each of the "
            f"{error.allowed_failures + 1} that touched it; it may need more memory: raise "
            f"cluster.memory_gib_per_worker"
        ) from error
    except (CancelledError, NoWorkerError, OSError) as error:
        if future.status == "error" and isinstance(error, OSError):  # what was asked raised it
            raise
        raise _lost(error) from error


@contextmanager
def _asking_the_scheduler() -> Iterator[None]:
    """Name a scheduler that does not answer."""
    try:
        yield
    except (CancelledError, OSError) as error:
        raise _lost(error) from error


def _lost(error: BaseException) -> ClusterError:
    return ClusterError(
        f"the run needs its scheduler and at least one worker, but they are gone "
        f"({_in_short(error)}); start the cluster anew and give the same command, which goes on "
        f"from here"
    )


def _in_short(error: BaseException) -> str:
    """Give an error's first line, or its name where it says nothing."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
