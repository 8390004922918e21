"""The graphics cards of this machine, as ``nvidia-smi`` tells of them.

Not a benchmark. What is busy and how much memory is taken is asked ten times a second by a program
of NVIDIA's beside the work, so the work itself is not slowed by it.
"""

import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PERIOD_MS = 100


@dataclass
class Watch:
    """What a card was seen to do: shares of time in which it worked, and memory, MiB."""

    busy: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    @property
    def mean_busy(self) -> float:
        """Mean share of the time, within [0, 1]; 0 where nothing was seen."""
        return statistics.fmean(self.busy) if self.busy else 0.0

    @property
    def peak_mib(self) -> float:
        return max(self.memory_mib, default=0.0)


def cards() -> tuple[str, ...]:
    """Name the cards and their driver; none where there is no NVIDIA driver."""
    return tuple(_asked("name,driver_version,memory.total"))


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch the first card while something runs; what was seen is there when it has ended."""
    watch = Watch()
    if not cards():
        yield watch
        return
    with subprocess.Popen(
        [*_command("utilization.gpu,memory.used"), "--id=0", f"--loop-ms={PERIOD_MS}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield watch
        finally:
            program.terminate()
            lines, _ = program.communicate()
    for line in lines.splitlines():
        parts = line.split(", ")
        if len(parts) == 2 and all(part.strip().isdigit() for part in parts):
            watch.busy.append(int(parts[0]) / 100)
            watch.memory_mib.append(float(parts[1]))


def _command(asked: str) -> list[str]:
    return ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits"]


def _asked(asked: str) -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    done = subprocess.run(_command(asked), capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []
