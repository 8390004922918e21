"""The tables on shapes, products and the engine in their documents, as the result files have it.

Not a benchmark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.crosswise import crosswise, ratio_table, where
from benchmarks.headlines import main_job, measured, ratio_of, records_of, stage_name
from benchmarks.record import Kept, Measurement, Record
from benchmarks.wording import markdown_table, number, spread, verdict

_RATES = (("rate, by processor time", "rate"), ("by the clock", "wall rate"))
_STEPS = (
    ("rows a second", "speed"),
    ("processor time of a row", "processor time of a row"),
)
_ENGINE_RATIOS = (
    ("share of engine and publishing in the main job, by the wall clock",
     "engine and publishing", "whole run", "share"),
    ("two workers against one, processor-bound tasks", "two workers", "one worker", "hard tasks"),
)  # fmt: skip
_ENGINE = (
    ("a task that does nothing, of a worker's time", "a task that does nothing", "worker's time"),
    ("publishing a file of 1 MB, of the same", "publishing a file of 1 MB", "worker's time"),
    ("tasks that do nothing, many at once", "many partitions", "rate"),
    ("processor time of one: scheduler", "many partitions", "scheduler, CPU a task"),
    ("... client", "many partitions", "client, CPU a task"),
    ("... worker", "many partitions", "workers, CPU a task"),
    ("memory that they add: scheduler", "many partitions", "scheduler, growth"),
    ("... client", "many partitions", "client, growth"),
)


def shapes(kept: Sequence[Kept]) -> str:
    """Tell how many sources a second are measured, and statmorph's."""
    return _rates(kept, "morphology")


def fits(kept: Sequence[Kept]) -> str:
    """Tell how many Sersic profiles a second are fitted, and statmorph's."""
    return _rates(kept, "sersic")


def _rates(kept: Sequence[Kept], benchmark: str) -> str:
    parts = []
    for file, record in records_of(kept, benchmark):
        subjects = [each.subject for each in record.measurements if each.quantity == "rate"]
        found = [column for column in _RATES if measured(record, subjects[0], column[1])]
        rows = [(subject, subject) for subject in subjects]
        parts += [where(file), crosswise("a second", record, rows, found)]
        parts.append(ratio_table(record, ("rate",)))
    return "\n".join(parts)


def products(kept: Sequence[Kept]) -> str:
    """Tell what reductions and products take, and how that is to others."""
    parts = []
    for file, record in records_of(kept, "products"):
        steps = [m.subject for m in record.measurements if m.quantity == _STEPS[1][1]]
        parts += [where(file), crosswise("", record, [(step, step) for step in steps], _STEPS)]
        rest = [
            (m.subject, m.quantity, f"{spread(m)} {m.unit}".strip())
            for m in record.measurements
            if m.subject not in steps
        ]
        parts += [markdown_table(("", "", ":median (range)"), rest), ratio_table(record)]
        parts.append("".join(f"{key}: {value}. " for key, value in record.facts.items()))
    return "\n".join(parts)


def engine(kept: Sequence[Kept]) -> str:
    """Tell what the engine costs beside the work, and what of the main job is whose."""
    parts = []
    for file, record in records_of(kept, "engine"):
        parts += [
            where(file),
            markdown_table(("quantity", ":measured", "goal"), [*_engine(record)]),
        ]
    return "\n".join(parts)


def _engine(record: Record) -> Iterator[tuple[str, str, str]]:
    for words, *wanted in _ENGINE_RATIOS:
        found = ratio_of(record, *wanted)
        if found is not None:
            yield words, spread(found), verdict(found)
    tasks, seconds = record.facts.get("tasks"), record.facts.get("seconds")
    if tasks and seconds:
        yield f"a task of the main job, mean of {tasks}", f"{number(1000 * seconds / tasks)} ms", ""
    shares = main_job(record)
    if shares:
        parts = ", ".join(f"{100 * each.median:.0f} %" for each in shares)
        yield f"of their time: {', '.join(map(stage_name, shares))}", parts, ""
    for words, subject, quantity in _ENGINE:
        of = measured(record, subject, quantity)
        if of is not None:
            yield words, _short(of), ""


def _short(of: Measurement) -> str:
    """Write a figure, times of less than a second in milliseconds."""
    if of.unit == "s" and of.median < 1.0:
        of = replace(of, unit="ms", values=tuple(1000 * value for value in of.values))
    return f"{spread(of)} {of.unit}"
