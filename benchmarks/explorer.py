"""Answers of the explorer (``kidsclf serve``), without HTTP, over drawn sources.

The sources are those of ``benchmarks.products``: some 30,000 a square degree, 100,000 a partition.
``pan``: the view is moved to where nobody looked before, three widths: the whole survey (from the
counts of the run), four degrees (cells counted from the partitions) and a tenth of one (sources).
``click``: all of a source, its SED drawn; the drawn run has no stamps. ``list``: the least sure of
the whole sky, from the first question to a full list, and asked again.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.products import drawn_run
from benchmarks.record import Measurement, Record
from kidsclf.explorer.answers import Answers
from kidsclf.explorer.catalogue import Explored, open_explored
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX

ROWS = {"tiny": 6_000, "small": 2_000_000, "full": 27_335_836}
PER_PARTITION = {"tiny": 2_000, "small": 100_000, "full": 100_000}
_PLACES = 20


def measure(size: str, repeats: int) -> Record:
    """Time each kind of answer."""
    with drawn_run(ROWS[size], PER_PARTITION[size]) as work:
        explored = open_explored(work)
        opened = [_seconds(lambda: Answers(open_explored(work), None)) for _ in range(repeats)]
        taken = {"open": opened, **_answered(explored, repeats)}
        facts = {"rows": f"{ROWS[size]:,}", "partitions": len(explored.partitions)}
    measured = tuple(Measurement(k, "time", "s", tuple(v)) for k, v in taken.items())
    return Record("explorer", size, measured, (), facts)


def _answered(explored: Explored, repeats: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(1)
    found = [_times(explored, rng) for _ in range(repeats)]
    return {name: [each[name] for each in found] for name in found[0]}


def _times(explored: Explored, rng: np.random.Generator) -> dict[str, float]:
    answers = Answers(explored, None)
    first, *others = (_place(explored, rng) for _ in range(_PLACES))
    steps: dict[str, Callable[[], object]] = {
        "pan, whole survey": lambda: answers.view(_circle(first, "60")),
        "pan, 4 degrees, first look": lambda: _whole(answers.view, _circle(first, "2")),
        "pan, 4 degrees, looked at before": lambda: answers.view(_circle(first, "2")),
        "list, first answer": lambda: answers.uncertain({"list": "entropy"}),
        "list, rest": lambda: _whole(answers.uncertain, {"list": "entropy"}),
        "list, asked again": lambda: answers.uncertain({"list": "entropy", "first": "50"}),
    }
    taken = {name: _seconds(step) for name, step in steps.items()}
    views = [_seconds(partial(answers.view, _circle(each, "0.05"))) for each in others]
    clicks = [_seconds(partial(answers.source, _source(each))) for each in others]
    for name, seconds in (("pan, 0.1 degrees", views), ("click", clicks)):
        taken[name] = float(np.median(seconds))
        taken[f"{name}, slowest"] = max(seconds)
    return taken


def _place(explored: Explored, rng: np.random.Generator) -> dict:
    partition = explored.partitions[int(rng.integers(len(explored.partitions)))]
    rows = explored.store.read(partition, [SPATIAL_INDEX, NAME, RA, DEC])
    return rows.slice(int(rng.integers(rows.num_rows)), 1).to_pylist()[0]


def _circle(place: dict, radius: str) -> dict[str, str]:
    return {"ra": str(place[RA]), "dec": str(place[DEC]), "radius": radius}


def _source(place: dict) -> dict[str, str]:
    return {"index": str(place[SPATIAL_INDEX]), "name": place[NAME]}


def _whole(ask: Callable[[dict[str, str]], dict], asked: dict[str, str]) -> None:
    while not ask(asked)["complete"]:
        pass


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
