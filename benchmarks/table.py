"""``docs/benchmarks.md``, written from the result files that are kept, so that no number is typed.

Not a benchmark. A summary comes first, every figure folded below.
"""

from collections.abc import Iterator, Sequence

from benchmarks.headlines import about, goals, labelled, main_ratio
from benchmarks.record import Kept, Record
from benchmarks.wording import (
    machine_in_words,
    markdown_table,
    name,
    number,
    spread,
    verdict,
)

_HEAD = """# Benchmarks

Written by `python -m benchmarks table` from the files in
[`benchmarks/results/`](../benchmarks/results), each of one run of `python -m benchmarks NAME`;
`python -m benchmarks page` draws the same as one HTML page, goals and scaling as figures.
Medians, and in brackets the range over the repeats. The head of `benchmarks/NAME.py` says what is
measured against what. Speed depends on the machine and its load: *of one core* is by processor
time, which other programs disturb less than the wall clock. Figures of different machines are not
to be compared.

`python -m benchmarks compare OLD.json NEW.json` marks what changed beyond the ranges of both files.
"""
_MOST_ROWS = 100
"""Of a table; what has more stands in the file alone."""


def page(kept: Sequence[Kept]) -> str:
    """Make the page of result files."""
    return "\n".join([_HEAD, *_summary(kept), *(line for each in kept for line in _sections(each))])


def _summary(kept: Sequence[Kept]) -> Iterator[str]:
    """Give a line for each benchmark: its main ratio, and how many of its goals are reached."""
    every = labelled(kept)
    asked = [each for _, _, record in every for each in goals(record)]
    reached = sum(bool(each.reached) for each in asked)
    yield "## In short\n"
    yield (
        f"{reached} of {len(asked)} goals are reached. A line is one run; its main ratio is the "
        f"first that something is asked of, or what was measured first where nothing is.\n"
    )
    head = ("benchmark", "main ratio", ":median (range)", "goal", ":reached", ":missed")
    yield markdown_table(head, [_line(*each) for each in every])
    missed = [(label, of) for label, _, one in every for of in goals(one) if not of.reached]
    if missed:
        rows = [(label, name(of), spread(of), verdict(of)) for label, of in missed]
        table = markdown_table(("benchmark", "ratio", ":median (range)", "goal"), rows)
        yield _folded(f"The {len(missed)} goals that are missed", table)


def _line(label: str, file: Kept, record: Record) -> tuple[str, ...]:
    main, asked = main_ratio(record), goals(record)
    reached = sum(bool(each.reached) for each in asked)
    first = next(iter(record.measurements), None)
    told = ("", "", "")
    if main is not None:
        told = (name(main), spread(main), verdict(main))
    elif first is not None:
        told = (f"{first.subject}, {first.quantity}", f"{spread(first)} {first.unit}".strip(), "")
    counts = (str(reached), str(len(asked) - reached)) if asked else ("", "")
    return (f"[{label}](#{_anchor(file, record)})", *told, *counts)


def _sections(file: Kept) -> Iterator[str]:
    for record in file.records:
        yield f'<a id="{_anchor(file, record)}"></a>\n\n## {record.benchmark}\n'
        yield f"{about(record.benchmark)}\n" if about(record.benchmark) else ""
        yield (
            f"`python -m benchmarks {record.benchmark} --size {record.size}`, on "
            f"{machine_in_words(file.machine)}: "
            f"[`{file.name}`](../benchmarks/results/{file.name}).\n"
        )
        yield from _ratios(record)
        yield from _measurements(record)


def _anchor(file: Kept, record: Record) -> str:
    """Name the place of a run on the page; two files may hold one benchmark."""
    return f"{file.name.removesuffix('.json')}-{record.benchmark}"


def _ratios(record: Record) -> Iterator[str]:
    if record.ratios:
        rows = [
            (each.subject, each.peer, each.quantity, spread(each), verdict(each))
            for each in record.ratios
        ]
        table = markdown_table(("subject", "over", "quantity", "ratio", "goal"), rows)
        yield _folded(f"{len(rows)} ratios", table)


def _measurements(record: Record) -> Iterator[str]:
    rows = [
        (each.subject, each.quantity, f"{spread(each)} {each.unit}".strip())
        for each in record.measurements
    ]
    if len(rows) > _MOST_ROWS:
        yield f"The {number(len(rows))} figures behind these stand in the file.\n"
    else:
        table = markdown_table(("subject", "quantity", "value"), rows)
        yield _folded(f"{len(rows)} figures", table)


def _folded(title: str, text: str) -> str:
    """Fold a table; the blank lines let Markdown be read inside."""
    return f"<details><summary>{title}</summary>\n\n{text}\n</details>\n"
