"""The tables of ``docs/scale.md`` on catalogues: what ingest and match cost, as the files have it.

Not a benchmark. A line or column that no file holds is left out.
"""

from collections.abc import Sequence

from benchmarks.crosswise import crosswise, ratio_table, where
from benchmarks.headlines import records_of
from benchmarks.record import Kept

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
        parts += [where(file), crosswise("rows", record, rows, _INGEST)]
    return "\n".join(parts)


def ingest_by_peer(kept: Sequence[Kept]) -> str:
    """Tell what ingest does beside what hats-import does."""
    parts = []
    for file, record in records_of(kept, "ingest"):
        subjects = dict.fromkeys(each.subject for each in record.measurements)
        parts += [where(file), crosswise("", record, [(s, s) for s in subjects], _PEERS)]
        parts += [ratio_table(record)]
    return "\n".join(parts)


def matches(kept: Sequence[Kept]) -> str:
    """Tell what a match of two catalogues takes, ours and others'."""
    parts = []
    for file, record in records_of(kept, "match"):
        parts.append(where(file))
        for kind in ("even", "few"):
            rows = [(words, f"{kind} {subject}") for words, subject in _MATCHERS]
            title = str(record.facts.get(kind, kind)).replace(" x ", " with ")
            parts.append(crosswise(title, record, rows, _CLOCKS))
        parts.append(ratio_table(record))
    return "\n".join(parts)
