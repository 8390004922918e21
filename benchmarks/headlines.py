"""What a reader asks of the results first, found in whatever files are kept.

Not a benchmark. Nothing here knows a value: what a file does not hold is not told, and of a
benchmark that is new the first ratio with a goal is its headline.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import Kept, Measurement, Ratio, Record, read_kept

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_MAIN_JOB = "main job: "
_WORKERS = re.compile(r"(strong|weak), (\d+) workers")


@dataclass(frozen=True)
class Speed:
    """What one network does on one core, or on one card where the machine has some.

    ``over_bare`` is from the store in one process, ``stage_over_bare`` the whole stage, each over
    the network alone; ``over_library`` the stage over ``keras.Model.predict`` in float32,
    or over XGBoost.
    """

    network: str
    device: str
    from_store: Measurement
    bare: Measurement | None
    cost: Measurement | None
    over_bare: Ratio | None
    stage_over_bare: Ratio | None
    over_library: Ratio | None


@dataclass(frozen=True)
class Survey:
    """A whole survey scored from the store: seconds, sources a second, memory of a worker.

    ``wanted`` is the speed over a million a second.
    """

    network: str
    rows: int
    time: Measurement
    speed: Measurement
    memory: Measurement | None
    wanted: Ratio | None


def kept_results(folder: Path = RESULTS) -> tuple[Kept, ...]:
    """Read all result files of a folder, by name."""
    return tuple(map(read_kept, sorted(folder.glob("*.json"))))


def labelled(kept: Sequence[Kept]) -> list[tuple[str, Kept, Record]]:
    """Name all runs: by their benchmark, and by the file beside it where two share one."""
    every = [(file, record) for file in kept for record in file.records]
    met = Counter(record.benchmark for _, record in every)
    return [
        (_label(file, record, alone=met[record.benchmark] == 1), file, record)
        for file, record in every
    ]


def _label(file: Kept, record: Record, *, alone: bool) -> str:
    stem = file.name.removesuffix(".json")
    return record.benchmark if alone else f"{record.benchmark} ({stem})"


def records_of(kept: Sequence[Kept], benchmark: str) -> Iterator[tuple[Kept, Record]]:
    """Find one benchmark in all files."""
    for file in kept:
        yield from ((file, record) for record in file.records if record.benchmark == benchmark)


def measured(record: Record, subject: str, quantity: str) -> Measurement | None:
    """Find one figure of a benchmark."""
    found = (each for each in record.measurements if each.subject == subject)
    return next((each for each in found if each.quantity == quantity), None)


def ratio_of(record: Record, subject: str, peer: str, quantity: str) -> Ratio | None:
    """Find one ratio of a benchmark."""
    wanted = (subject, peer, quantity)
    return next((r for r in record.ratios if (r.subject, r.peer, r.quantity) == wanted), None)


def network_speeds(record: Record) -> list[Speed]:
    """Read what each network of ``infer`` does."""
    marks = [each.subject.rpartition(": from the store") for each in record.measurements]
    names = dict.fromkeys(name for name, mark, rest in marks if mark and not rest)
    return [speed for name in names if (speed := _speed(record, name)) is not None]


def _speed(record: Record, name: str) -> Speed | None:
    cost = next(
        (
            m
            for m in record.measurements
            if m.quantity == "cost" and m.subject.startswith(f"{name}:")
        ),
        None,
    )
    device = "card" if cost is not None and cost.unit.startswith("card") else "core"
    quantity = "sources" if device == "card" else "of one core"
    store, bare = f"{name}: from the store", f"{name}: bare"
    from_store = measured(record, store, quantity)
    if from_store is None:
        return None
    stage = f"{name}: stage, 1 worker" if cost is None else cost.subject

    def of_library(library: str) -> Ratio | None:
        return ratio_of(record, f"{name}: stage, 1 worker", f"{name}: {library}", quantity)

    twice = ratio_of(record, stage, f"{name}: bare, in 2 processes", quantity)
    return Speed(
        name,
        device,
        from_store,
        measured(record, bare, quantity),
        cost,
        ratio_of(record, store, bare, quantity),
        twice or ratio_of(record, stage, bare, quantity),
        next(filter(None, (of_library(library) for library in ("Keras", "XGBoost"))), None),
    )


def surveys(record: Record) -> list[Survey]:
    """Read what a whole survey took each network of ``infer_scale``."""
    found = []
    for time in (each for each in record.measurements if each.quantity == "time"):
        speed = measured(record, time.subject, "sources")
        memory = measured(record, time.subject, "worker memory")
        if speed is not None:
            wanted = ratio_of(record, time.subject, "a million a second", "sources")
            found.append(Survey(time.subject, record.facts["rows"], time, speed, memory, wanted))
    return found


def main_job(record: Record) -> list[Measurement]:
    """Read the shares of the stages of the main job from ``engine``, the largest first."""
    shares = [each for each in record.measurements if each.subject.startswith(_MAIN_JOB)]
    return sorted(shares, key=lambda each: -each.median)


def stage_name(share: Measurement) -> str:
    """Name the stage that a share of the main job is of."""
    return share.subject.removeprefix(_MAIN_JOB)


def scaling_curves(record: Record) -> dict[str, list[tuple[int, Measurement]]]:
    """Read efficiency against workers from ``scaling``: ``strong`` and ``weak``."""
    curves: dict[str, list[tuple[int, Measurement]]] = {}
    for each in record.measurements:
        found = _WORKERS.fullmatch(each.subject)
        if found and each.quantity == "efficiency":
            curves.setdefault(found[1], []).append((int(found[2]), each))
    return {kind: sorted(curve, key=lambda point: point[0]) for kind, curve in curves.items()}


def goals(record: Record) -> list[Ratio]:
    """List the ratios of which something is asked."""
    return [each for each in record.ratios if each.goal is not None]


def main_ratio(record: Record) -> Ratio | None:
    """Give the ratio that a benchmark is there for: its first with a goal, or its first."""
    return next(iter([*goals(record), *record.ratios]), None)


def about(benchmark: str) -> str:
    """Give the first sentence of a benchmark's module; empty where that is gone."""
    path = ROOT / "benchmarks" / f"{benchmark}.py"
    if not path.exists():
        return ""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())
