"""How a run goes on: a line a stage for people, or JSON lines for programs."""

import json
import shutil
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

_LOG_EVERY_SECONDS = 10.0
_TERMINAL_EVERY_SECONDS = 0.2
_BAR = 20


@dataclass
class StageProgress:
    """Counts of the stage under way; ``busy_seconds`` are what its finished tasks took."""

    stage: str
    tasks: int
    skipped: int
    expected_rows: int
    workers: int
    started: float
    done: int = 0
    left_out: int = 0
    rows: int = 0
    busy_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the stage began."""
        return max(1e-9, time.monotonic() - self.started)

    @property
    def ended(self) -> int:
        """Tasks that are over, one way or the other."""
        return self.done + self.left_out

    @property
    def rows_per_second(self) -> float:
        """Sources a second so far."""
        return self.rows / self.seconds

    @property
    def seconds_left(self) -> float | None:
        """What the rest will take at the speed so far; by sources, or by tasks that hold none.

        None before a task has ended, and where all that are left take longer than the others did.
        """
        over = (
            self.rows / self.expected_rows
            if self.expected_rows
            else self.ended / max(1, self.tasks)
        )
        share = over + self._begun / max(1, self.tasks)
        return self.seconds * (1 / share - 1) if over and share < 1 else None

    @property
    def _begun(self) -> float:
        """How much of the tasks under way is done, in tasks, if they are as those that ended.

        Where few tasks take long it counts as much as what is finished.
        """
        if not self.busy_seconds:
            return 0.0
        spent = max(0.0, self.workers * self.seconds - self.busy_seconds)
        return min(self.workers, self.tasks - self.ended, spent * self.done / self.busy_seconds)

    def count(self, rows: int, seconds: float) -> None:
        """Count one more finished task."""
        self.done += 1
        self.rows += rows
        self.busy_seconds += seconds


class ProgressLine:
    """Writes partitions done, sources a second and time left to a stream.

    In a terminal the line is rewritten in place; elsewhere a new line comes every ten seconds,
    whether or not a task has ended since, without control codes.
    """

    def __init__(self, stream: TextIO, log_every_seconds: float = _LOG_EVERY_SECONDS) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._every = _TERMINAL_EVERY_SECONDS if self._terminal else log_every_seconds
        self._now: StageProgress | None = None
        self._written = 0.0
        self._writing = threading.RLock()
        self._over = threading.Event()

    def start(self, stage: str, tasks: int, skipped: int, rows: int, workers: int) -> None:
        """Begin a stage; ``tasks`` and ``rows`` are those still to do."""
        self._now = StageProgress(stage, tasks, skipped, rows, workers, time.monotonic())
        self._written = 0.0 if self._terminal else self._now.started
        if tasks and not self._terminal:
            self._over = threading.Event()
            threading.Thread(target=self._keep_telling, args=(self._over,), daemon=True).start()

    def advance(self, rows: int, seconds: float) -> None:
        """One more task is finished, which took a worker so long."""
        with self._writing:
            if self._now is not None:
                self._now.count(rows, seconds)
            self._tell()

    def leave_out(self, task: str, reason: str) -> None:
        """One more task is put in quarantine."""
        with self._writing:
            if self._now is not None:
                self._now.left_out += 1
            self._write(f"quarantine         {task}: {reason}", last=True)

    def finish(self) -> None:
        """The stage is over."""
        with self._writing:
            self._over.set()
            if self._now is not None:
                self._write(_summary(self._now), last=True)
            self._now = None

    def _keep_telling(self, over: threading.Event) -> None:
        """Tell of a stage whose tasks take long, so that nobody takes it for stuck."""
        while not over.wait(self._every / 5):
            with self._writing:
                if not over.is_set():
                    self._tell()

    def _tell(self) -> None:
        now = self._now
        if now is None or now.ended >= now.tasks:
            return
        if time.monotonic() - self._written >= self._every:
            self._written = time.monotonic()
            self._write(_running(now), last=False)

    def _write(self, text: str, *, last: bool) -> None:
        if self._terminal:
            # A line that wraps round could not be rewritten.
            room = len(text) if last else shutil.get_terminal_size().columns - 1
            self._stream.write("\r\x1b[K" + text[:room] + ("\n" if last else ""))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


class ProgressEvents:
    """Writes the same as one JSON object a line, with time, event and fields.

    Events are ``stage`` (it begins), ``progress`` (at most every ten seconds), ``quarantine`` and
    ``stage_end``.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._now: StageProgress | None = None
        self._written = 0.0

    def start(self, stage: str, tasks: int, skipped: int, rows: int, workers: int) -> None:
        """Begin a stage; ``tasks`` and ``rows`` are those still to do."""
        self._now = StageProgress(stage, tasks, skipped, rows, workers, time.monotonic())
        self._written = self._now.started
        self._tell("stage", stage=stage, tasks=tasks, finished_before=skipped, rows=rows)

    def advance(self, rows: int, seconds: float) -> None:
        """One more task is finished, which took a worker so long."""
        if self._now is None:
            return
        self._now.count(rows, seconds)
        if time.monotonic() - self._written >= _LOG_EVERY_SECONDS:
            self._written = time.monotonic()
            left = self._now.seconds_left
            self._tell_counts("progress", seconds_left=None if left is None else round(left, 1))

    def leave_out(self, task: str, reason: str) -> None:
        """One more task is put in quarantine."""
        if self._now is not None:
            self._now.left_out += 1
        self._tell("quarantine", task=task, reason=reason)

    def finish(self) -> None:
        """The stage is over."""
        if self._now is not None:
            self._tell_counts("stage_end", finished_before=self._now.skipped)
        self._now = None

    def _tell_counts(self, event: str, **further: object) -> None:
        now = self._now
        if now is None:
            return
        self._tell(
            event,
            stage=now.stage,
            tasks=now.tasks,
            done=now.done,
            quarantined=now.left_out,
            rows=now.rows,
            rows_per_second=round(now.rows_per_second, 1),
            seconds=round(now.seconds, 3),
            **further,
        )

    def _tell(self, event: str, **fields: object) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._stream.write(json.dumps({"time": at, "event": event, **fields}) + "\n")
        self._stream.flush()


def _running(now: StageProgress) -> str:
    bar = "=" * int(_BAR * now.ended / now.tasks)
    failed = f"  {now.left_out} in quarantine" if now.left_out else ""
    left = now.seconds_left
    ahead = f"{duration(now.seconds)} so far" if left is None else f"{duration(left)} left"
    return (
        f"{now.stage:<18} [{bar:<{_BAR}}] {now.ended}/{now.tasks}"
        f"  {now.rows_per_second:,.0f} sources/s  {ahead}{failed}"
    )


def _summary(now: StageProgress) -> str:
    if not now.tasks:
        return f"{now.stage:<18} {now.skipped} finished before"
    kept = f", {now.skipped} finished before" if now.skipped else ""
    failed = f", {now.left_out} in quarantine" if now.left_out else ""
    state = "" if now.ended == now.tasks else f" of {now.tasks} (stopped)"
    rate = f"{now.rows_per_second:,.0f} sources/s" if now.rows else ""
    return (
        f"{now.stage:<18} {now.done}{state} tasks{kept}{failed}, {now.rows:,} sources"
        f"  {rate}  {duration(now.seconds)}"
    )


def duration(seconds: float) -> str:
    """Write a time as minutes and seconds, or hours too.

    >>> duration(75), duration(3700)
    ('1:15', '1:01:40')
    """
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
