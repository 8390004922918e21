"""``docs/benchmarks.md``, written from the result files that are kept, so that no number is typed.

``python -m benchmarks table`` writes it anew; a test holds it against the files.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import Measurement, Ratio, Record, read_machine, read_records

_ROOT = Path(__file__).resolve().parents[1]
RESULTS = _ROOT / "benchmarks" / "results"
PAGE = _ROOT / "docs" / "benchmarks.md"
_HEAD = """# Benchmarks

Written by `python -m benchmarks table` from the files in
[`benchmarks/results/`](../benchmarks/results), each of one run of `python -m benchmarks NAME`.
Medians, and in brackets the range over the repeats. The head of `benchmarks/NAME.py` says what is
measured against what. Speed depends on the machine and its load: *of one core* is by processor
time, which other programs disturb less than the wall clock. Figures of different machines are not
to be compared.

`python -m benchmarks compare OLD.json NEW.json` marks what changed beyond the ranges of both files.
"""
_MOST_ROWS = 100
"""Of a table; what has more stands in the file alone."""


def page(folder: Path = RESULTS) -> str:
    """Make the page of all result files in a folder."""
    parts = [_HEAD]
    for path in sorted(folder.glob("*.json")):
        parts += _sections(path)
    return "\n".join(parts)


def write_page() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def _sections(path: Path) -> Iterator[str]:
    machine = read_machine(path)
    for record in read_records(path):
        yield f"## {record.benchmark}\n"
        yield (
            f"`python -m benchmarks {record.benchmark} --size {record.size}`, on {machine['cpu']}, "
            f"{machine['cores']} cores, {machine['memory_gib']} GiB, {_cards(machine)}load "
            f"{machine['load_1min']} at the end: "
            f"[`{path.name}`](../benchmarks/results/{path.name}).\n"
        )
        yield from _ratios(record)
        yield from _measurements(record)


def _cards(machine: Mapping[str, Any]) -> str:
    """Name the cards with driver and memory, MiB, where there are some."""
    return "".join(f"{card} MiB, " for card in machine.get("cards", ()))


def _ratios(record: Record) -> Iterator[str]:
    if record.ratios:
        rows = [
            (each.subject, each.peer, each.quantity, _spread(each), _verdict(each))
            for each in record.ratios
        ]
        yield _table(("subject", "over", "quantity", "ratio", "goal"), rows)


def _measurements(record: Record) -> Iterator[str]:
    rows = [
        (each.subject, each.quantity, f"{_spread(each)} {each.unit}".strip())
        for each in record.measurements
    ]
    if len(rows) > _MOST_ROWS:
        yield f"The {len(rows)} figures behind these stand in the file.\n"
    else:
        yield _table(("subject", "quantity", "value"), rows)


def _verdict(of: Ratio) -> str:
    if of.goal is None:
        return ""
    return f"{'≥' if of.at_least else '≤'} {of.goal:g}: {'reached' if of.reached else 'missed'}"


def _spread(of: Measurement | Ratio) -> str:
    low, high = _number(min(of.values)), _number(max(of.values))
    middle = _number(of.median)
    return middle if low == high else f"{middle} ({low} to {high})"


def _number(value: float) -> str:
    """Write three digits, and no power of ten for what people count.

    >>> [_number(each) for each in (1234567.0, 12.345, 0.012345, 3.2e-06)]
    ['1,230,000', '12.3', '0.0123', '3.2e-06']
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
