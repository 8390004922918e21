"""The tables of ``docs/scale.md`` on catalogues: what ingest and match cost, as the files have it.

Not a benchmark. A line or column that no file holds is left out.
"""

from collections.abc import Sequence

from benchmarks.headlines import measured, records_of
from benchmarks.record import Kept, Record
from benchmarks.wording import machine_in_words, markdown_table, spread, verdict

_INGEST = (
    ("wall clock", "time"),
    ("a row", "cost"),
    ("a row, processor time", "processor cost"),
    ("largest worker", "worker memory"),
    ("client", "client memory"),
    ("catalogue", "catalogue"),
)
_PEERS = (
    ("rows a second", "speed"),
    ("rows a processor second", "speed a processor"),
    ("largest worker", "worker memory"),
)
_MATCHERS = (
    ("kidsclf, nearest", "kidsclf nearest"),
    ("kidsclf, mutual", "kidsclf mutual"),
    ("LSDB", "LSDB"),
    ("SciPy", "SciPy"),
    ("astropy", "astropy"),
)
_CLOCKS = (("wall clock", "time"), ("processor time", "processor time"))


def ingest_by_size(kept: Sequence[Kept]) -> str:
    """Tell what ever larger tables cost to ingest."""
    parts = []
    for file, record in records_of(kept, "ingest_scale"):
        sizes = dict.fromkeys(each.subject for each in record.measurements)
        rows = [(size.removesuffix(" rows"), size) for size in sizes]
        parts += [_where(file), _crosswise("rows", record, rows, _INGEST)]
    return "\n".join(parts)


def ingest_by_peer(kept: Sequence[Kept]) -> str:
    """Tell what ingest does beside what hats-import does."""
    parts = []
    for file, record in records_of(kept, "ingest"):
        subjects = dict.fromkeys(each.subject for each in record.measurements)
        parts += [_where(file), _crosswise("", record, [(s, s) for s in subjects], _PEERS)]
        parts += [_ratios(record)]
    return "\n".join(parts)


def matches(kept: Sequence[Kept]) -> str:
    """Tell what a match of two catalogues takes, ours and others'."""
    parts = []
    for file, record in records_of(kept, "match"):
        parts.append(_where(file))
        for kind in ("even", "few"):
            rows = [(words, f"{kind} {subject}") for words, subject in _MATCHERS]
            title = str(record.facts.get(kind, kind)).replace(" x ", " with ")
            parts.append(_crosswise(title, record, rows, _CLOCKS))
        parts.append(_ratios(record))
    return "\n".join(parts)


def _where(file: Kept) -> str:
    link = f"[`{file.name}`](../benchmarks/results/{file.name})"
    return f"{link}, on {machine_in_words(file.machine)}:\n"


def _crosswise(
    title: str,
    record: Record,
    rows: Sequence[tuple[str, str]],
    columns: Sequence[tuple[str, str]],
) -> str:
    """Make a table of subjects by quantities, each with the words for it."""
    lines = []
    for words, subject in rows:
        found = [measured(record, subject, quantity) for _, quantity in columns]
        if any(found):
            cells = ["" if of is None else f"{spread(of)} {_unit(of.unit)}".strip() for of in found]
            lines.append((words, *cells))
    return markdown_table((title, *(f":{words}" for words, _ in columns)), lines)


def _unit(unit: str) -> str:
    return {"rows/s": "", "us/row": "µs"}.get(unit, unit)


def _ratios(record: Record) -> str:
    rows = [
        (f"{each.subject} over {each.peer}", each.quantity, spread(each), verdict(each))
        for each in record.ratios
    ]
    return markdown_table(("ratio, repeat by repeat", "of", ":median (range)", "wanted"), rows)
