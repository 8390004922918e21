"""Tables of subjects by quantities, and of ratios, for the documents.

Not a benchmark. A line that a file does not hold is left out, a cell is empty.
"""

from collections.abc import Collection, Sequence

from benchmarks.headlines import measured
from benchmarks.record import Kept, Record
from benchmarks.wording import machine_in_words, markdown_table, spread, verdict

_UNITS = {"rows/s": "", "sources/s": "", "fits/s": "", "us/row": "µs", "us": "µs"}
"""How units are written; of rates the heading tells it."""


def where(file: Kept) -> str:
    """Name a result file and its machine, before the tables of it."""
    link = f"[`{file.name}`](../benchmarks/results/{file.name})"
    return f"{link}, on {machine_in_words(file.machine)}:\n"


def crosswise(
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
            told = ["" if of is None else f"{spread(of)} {_unit(of.unit)}".strip() for of in found]
            lines.append((words, *told))
    return markdown_table((title, *(f":{words}" for words, _ in columns)), lines)


def _unit(unit: str) -> str:
    return _UNITS.get(unit, unit)


def ratio_table(record: Record, quantities: Collection[str] | None = None) -> str:
    """Make a table of a benchmark's ratios, of some quantities or of all."""
    rows = [
        (f"{each.subject} over {each.peer}", each.quantity, spread(each), verdict(each))
        for each in record.ratios
        if quantities is None or each.quantity in quantities
    ]
    return markdown_table(("ratio, repeat by repeat", "of", ":median (range)", "wanted"), rows)
