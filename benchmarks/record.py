"""What a benchmark leaves: repeated measurements, ratios against a named peer, the machine.

A benchmark is a module of this package with a docstring that says what is measured against what,
and one function ``measure(size, repeats) -> Record``. ``size`` is ``tiny`` (seconds; only proves
that the benchmark still runs), ``small`` (about a minute) or ``full`` (the figures of the docs).
Subjects that are compared are timed in turn, A B A B, in one run, so that a machine whose speed
drifts slows both; ratios are taken repeat by repeat and given as median and range.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.card import cards
from kidsclf import __version__
from kidsclf.errors import InputError
from kidsclf.models.files import installed_versions

SIZES = ("tiny", "small", "full")


@dataclass(frozen=True)
class Measurement:
    """One quantity of one subject, a value a repeat: ``ingest``/``hats-import``, rows/s."""

    subject: str
    quantity: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Ratio:
    """A quantity of one subject over that of its peer, repeat by repeat, and what it should be.

    ``goal`` is the least (``at_least``) or the most that is asked for; None where nothing is.
    """

    subject: str
    peer: str
    quantity: str
    values: tuple[float, ...]
    goal: float | None = None
    at_least: bool = True

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        return self.median >= self.goal if self.at_least else self.median <= self.goal


@dataclass(frozen=True)
class Record:
    """All of one benchmark; ``facts`` say what was measured on: rows, sizes, versions of peers."""

    benchmark: str
    size: str
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def ratio(
    subject: Measurement, peer: Measurement, goal: float | None = None, *, at_least: bool = True
) -> Ratio:
    """Divide two measurements of one quantity repeat by repeat."""
    assert subject.quantity == peer.quantity, (subject.quantity, peer.quantity)
    values = tuple(a / b for a, b in zip(subject.values, peer.values, strict=True))
    return Ratio(subject.subject, peer.subject, subject.quantity, values, goal, at_least)


def seconds_in_turn(
    subjects: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, tuple[float, ...]]:
    """Time subjects in turn, after one round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(repeats + 1):
        for name, work in subjects.items():
            started = time.perf_counter()
            work()
            if round_number:
                taken[name].append(time.perf_counter() - started)
    return {name: tuple(values) for name, values in taken.items()}


def rates(
    subject: str, quantity: str, unit: str, count: int, seconds: Sequence[float]
) -> Measurement:
    """Turn seconds into units a second."""
    return Measurement(subject, quantity, unit, tuple(count / each for each in seconds))


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Describe the machine, when it was asked, and the versions of what was measured."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 1024**3, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **({"commit": _commit()} if _commit() else {}),
        **({"cards": cards()} if cards() else {}),
        "versions": {"kidsclf": __version__, **installed_versions(("numpy", *packages))},
    }


def _commit() -> str:
    """Name the commit that is measured, and say where files differ from it; empty without git."""
    asked = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        told = subprocess.run(
            asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):  # a copy of the tree alone
        return ""
    return told.stdout.strip()


def write_records(path: Path, records: Sequence[Record], packages: Sequence[str] = ()) -> None:
    """Write a run of benchmarks as one JSON file."""
    content = {"machine": machine(packages), "records": [asdict(record) for record in records]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Kept:
    """A result file: the machine, as ``machine`` describes it, and what was measured there."""

    name: str
    machine: Mapping[str, Any]
    records: tuple[Record, ...]


def read_kept(path: Path) -> Kept:
    """Read what ``write_records`` wrote.

    Raises
    ------
    InputError
        When the file is missing, or is none of ours.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = tuple(_record(each) for each in content["records"])
        return Kept(path.name, content["machine"], records)
    except OSError as error:
        raise InputError(
            f"{path} was to be read as results of benchmarks, but cannot be ({error.strerror}); "
            f"python -m benchmarks NAME --out {path} would write it"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} was to be read as results of benchmarks, but has another content ({error}); "
            f"give a file that python -m benchmarks NAME --out FILE has written"
        ) from error


def read_records(path: Path) -> tuple[Record, ...]:
    """Read the records of a result file alone; raises as ``read_kept``."""
    return read_kept(path).records


def _record(raw: Mapping[str, Any]) -> Record:
    measurements = tuple(
        Measurement(**{**each, "values": tuple(each["values"])}) for each in raw["measurements"]
    )
    ratios = tuple(Ratio(**{**each, "values": tuple(each["values"])}) for each in raw["ratios"])
    return Record(raw["benchmark"], raw["size"], measurements, ratios, raw["facts"])


def print_record(record: Record) -> None:
    """Print a benchmark as a table that fits 100 columns."""
    out = sys.stdout.write
    out(f"{record.benchmark} ({record.size})\n")
    for fact, value in record.facts.items():
        out(f"  {fact}: {value}\n")
    for each in record.measurements:
        out(
            f"  {each.subject:<34.34} {each.quantity:<24.24} {each.median:>12,.4g} {each.unit:<10} "
            f"{min(each.values):,.4g} to {max(each.values):,.4g}\n"
        )
    for of in record.ratios:
        verdict = {None: "", True: "reached", False: "missed"}[of.reached]
        goal = "" if of.goal is None else f"goal {'>=' if of.at_least else '<='} {of.goal:g}"
        out(
            f"  {f'{of.subject} / {of.peer}':<48.48} {of.quantity:<14.14} {of.median:>8.3g}  "
            f"{min(of.values):.3g} to {max(of.values):.3g}  {goal} {verdict}\n"
        )
