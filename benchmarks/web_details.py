"""The page's tables: every figure of every file, and the machines, folded below the rest.

Not a benchmark.
"""

from collections.abc import Sequence

from benchmarks.headlines import about
from benchmarks.record import Kept, Ratio, Record
from benchmarks.wording import facts_in_words, goal, name, plain, spread
from kidsclf.report.blocks import Block, Folded, Remark, Section, grid, missing


def everything(kept: Sequence[Kept]) -> Section:
    """Fold all ratios and figures of each file, with what they were measured on."""
    blocks = tuple(_all_of(file, record) for file in kept for record in file.records)
    lead = "Medians, and in brackets the range over the repeats."
    none = (missing("Every figure", "there is no result file"),)
    return Section("everything", "Every figure", lead, blocks or none)


def _all_of(file: Kept, record: Record) -> Folded:
    blocks: list[Block] = [Remark(f"{plain(about(record.benchmark))} {_command(record)}")]
    if record.ratios:
        rows = [(name(each), spread(each), goal(each), _of_goal(each)) for each in record.ratios]
        blocks.append(grid("Ratios", ("Ratio", "Median (range)", "Goal", ""), rows))
    rows = [(m.subject, m.quantity, spread(m), m.unit) for m in record.measurements]
    blocks.append(grid("Figures", ("Subject", "Quantity", "Median (range)", "Unit"), rows))
    facts = list(facts_in_words(record.facts))
    if facts:
        blocks.append(grid("Measured with", ("What", "Value"), facts))
    title = f"{record.benchmark}, {record.size} ({file.name})"
    return Folded(title, tuple(blocks))


def _command(record: Record) -> str:
    return f"python -m benchmarks {record.benchmark} --size {record.size}"


def _of_goal(of: Ratio) -> str:
    return "" if of.goal is None else "reached" if of.reached else "missed"


def machines(kept: Sequence[Kept]) -> Section:
    """List the machines, their load, and day, commit and versions where a run noted them."""
    head = ("File", "Processor", "Cores", "Memory", "Cards", "Load", "Date", "Commit", "Versions")
    rows = [
        (
            *(file.name, file.machine["cpu"], file.machine["cores"]),
            f"{file.machine['memory_gib']} GiB",
            "; ".join(file.machine.get("cards", ())),
            file.machine["load_1min"],
            *(file.machine.get("date"), file.machine.get("commit")),
            ", ".join(f"{key} {value}" for key, value in file.machine.get("versions", {}).items()),
        )
        for file in kept
    ]
    lead = (
        "Speed depends on the machine and its load (of the last minute, when the run had ended); "
        "figures of different machines are not to be compared. A dash: not noted by that run."
    )
    table = grid("Machines", head, rows) if rows else missing("The machines", "no file is kept")
    return Section("machines", "Machines", lead, (table,))
