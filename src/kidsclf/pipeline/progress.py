"""One line a stage that reads well in a terminal and in a log file."""

import time
from typing import TextIO

_LOG_EVERY_SECONDS = 10.0
_TERMINAL_EVERY_SECONDS = 0.2
_BAR = 20


class ProgressLine:
    """Writes partitions done, sources a second and time left to a stream.

    In a terminal the line is rewritten in place; elsewhere a new line comes at most every ten
    seconds, without control codes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._stage = ""
        self._tasks = self._done = self._skipped = self._rows = self._expected = 0
        self._started = self._written = 0.0

    def start(self, stage: str, tasks: int, skipped: int, rows: int) -> None:
        """Begin a stage; ``tasks`` and ``rows`` are those still to do."""
        self._stage, self._tasks, self._skipped, self._expected = stage, tasks, skipped, rows
        self._done = self._rows = 0
        self._started = time.monotonic()
        self._written = self._started if not self._terminal else 0.0

    def advance(self, rows: int) -> None:
        """One more task is finished."""
        self._done += 1
        self._rows += rows
        pause = _TERMINAL_EVERY_SECONDS if self._terminal else _LOG_EVERY_SECONDS
        if time.monotonic() - self._written >= pause and self._done < self._tasks:
            self._written = time.monotonic()
            self._write(self._running(), last=False)

    def finish(self) -> None:
        """The stage is over."""
        if not self._stage:
            return
        self._write(self._summary(), last=True)
        self._stage = ""

    def _running(self) -> str:
        seconds = max(1e-9, time.monotonic() - self._started)
        rate = self._rows / seconds
        share = self._rows / self._expected if self._expected else self._done / self._tasks
        left = seconds * (1 / share - 1) if share else 0.0
        bar = "=" * int(_BAR * self._done / self._tasks)
        return (
            f"{self._stage:<18} [{bar:<{_BAR}}] {self._done}/{self._tasks}"
            f"  {rate:,.0f} sources/s  {duration(left)} left"
        )

    def _summary(self) -> str:
        seconds = time.monotonic() - self._started
        if not self._tasks:
            return f"{self._stage:<18} {self._skipped} finished before"
        kept = f", {self._skipped} finished before" if self._skipped else ""
        state = "" if self._done == self._tasks else f" of {self._tasks} (stopped)"
        rate = f"{self._rows / seconds:,.0f} sources/s" if seconds and self._rows else ""
        return (
            f"{self._stage:<18} {self._done}{state} tasks{kept}, {self._rows:,} sources"
            f"  {rate}  {duration(seconds)}"
        )

    def _write(self, text: str, *, last: bool) -> None:
        if self._terminal:
            self._stream.write("\r\x1b[K" + text + ("\n" if last else ""))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """Write a time as minutes and seconds, or hours too.

    >>> duration(75), duration(3700)
    ('1:15', '1:01:40')
    """
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
