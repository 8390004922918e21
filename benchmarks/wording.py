"""How results are told in words: three digits, median and range, goal and verdict, short names.

Not a benchmark. The tables of ``docs/``, the README and the page say the same figure alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.record import Kept, Measurement, Ratio

_FIRST_LARGE = 100


def number(value: float) -> str:
    """Write three digits, and no power of ten for what people count.

    >>> [number(each) for each in (1234567.0, 12.345, 0.012345, 3.2e-06)]
    ['1,230,000', '12.3', '0.0123', '3.2e-06']
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= _FIRST_LARGE else f"{rounded:.3g}"


def spread(of: Measurement | Ratio) -> str:
    """Write the median, and the range where there is one."""
    low, high = number(min(of.values)), number(max(of.values))
    middle = number(of.median)
    return middle if low == high else f"{middle} ({low} to {high})"


def goal(of: Ratio) -> str:
    """Write what is asked of a ratio; empty where nothing is."""
    return "" if of.goal is None else f"{'≥' if of.at_least else '≤'} {of.goal:g}"


def verdict(of: Ratio) -> str:
    """Write what is asked of a ratio and whether it is reached."""
    return "" if of.goal is None else f"{goal(of)}: {'reached' if of.reached else 'missed'}"


def name(of: Ratio) -> str:
    """Name a ratio; words that subject and peer share at either end are said once.

    >>> name(Ratio("mnn: bare, twice", "mnn: Keras, twice", "of one core", (1.0,)))
    'mnn: bare, twice / Keras, of one core'
    """
    subject, peer = of.subject.split(), of.peer.split()
    while len(peer) > 1 and len(subject) > 1 and peer[0] == subject[0]:
        subject, peer = subject[1:], peer[1:]
    while len(peer) > 1 and len(subject) > 1 and peer[-1] == subject[-1]:
        subject, peer = subject[:-1], peer[:-1]
    return f"{of.subject} / {' '.join(peer).rstrip(',')}, {of.quantity}"


def machine_in_words(machine: Mapping[str, Any]) -> str:
    """Say what a run was on: processor, cores, memory, cards, load, day and commit if noted."""
    when = [str(machine["date"])] if "date" in machine else []
    commit = [f"commit {machine['commit']}"] if "commit" in machine else []
    return ", ".join(
        [
            str(machine["cpu"]),
            f"{machine['cores']} cores",
            f"{machine['memory_gib']} GiB",
            *(f"{card} MiB" for card in machine.get("cards", ())),
            f"load {machine['load_1min']} at the end",
            *when,
            *commit,
        ]
    )


def facts_in_words(facts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Say what was measured on, a line for each fact; those of a group bear its name."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from facts_in_words(value, f"{before}{key}, ")
        elif isinstance(value, list):
            yield f"{before}{key}", ", ".join(map(_fact, value))
        else:
            yield f"{before}{key}", _fact(value)


def _fact(value: object) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if whole else str(value)


def plain(text: str) -> str:
    """Take the marks of code out of a docstring."""
    return text.replace("``", "")


def stem(file: Kept) -> str:
    """Name a result file without its ending."""
    return file.name.removesuffix(".json")


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table; columns whose heading begins with a colon are set flush right."""
    marks = ["---:" if each.startswith(":") else "---" for each in head]
    lines = [[each.removeprefix(":") for each in head], marks, *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
