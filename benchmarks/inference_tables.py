"""The tables of ``docs/scale.md`` on networks: what each does, and what it takes.

Not a benchmark. A line or column that no file holds is left out.
"""

from collections.abc import Iterator, Sequence

from benchmarks.headlines import (
    measured,
    network_speeds,
    ratio_of,
    records_of,
    scaling_curves,
    surveys,
)
from benchmarks.record import Kept, Measurement, Ratio, Record
from benchmarks.wording import goal, machine_in_words, markdown_table, number, spread, verdict

_SPEEDS = (
    ("`keras.Model.predict`, float32, in memory", "Keras"),
    ("XGBoost's `inplace_predict`, in memory", "XGBoost"),
    ("bare", "bare"),
    ("bare, float32", "bare, float32"),
    ("from the store, one process", "from the store"),
    ("from the store, float32", "from the store, float32"),
    ("the stage, 1 worker", "stage, 1 worker"),
    ("the stage, 2 workers", "stage, 2 workers"),
)
_RATIOS = (
    ("from the store, over bare", "from the store", "bare"),
    ("the same in float32", "from the store, float32", "bare, float32"),
    ("the stage, 1 worker, over bare", "stage, 1 worker", "bare"),
    ("the stage, 2 workers, over two bare at once", "stage, 2 workers", "bare, in 2 processes"),
    ("the stage, 1 worker, over `predict`", "stage, 1 worker", "Keras"),
    ("the stage, 1 worker, over `inplace_predict`", "stage, 1 worker", "XGBoost"),
)
_CLOCKS = (("wall clock", "sources"), ("processor time", "of one core"))
_REST = (
    ("{} hours a million sources", "stage, {} workers", "cost"),
    ("GFLOP/s, bare", "bare", "operations"),
    ("GFLOP/s, a plain product of matrices", "matrix product", "operations"),
    ("reading, of the processor time of scoring", "reading", "share of one core"),
    ("writing, of the same", "writing", "share of one core"),
    ("largest worker, MiB", "stage, {} workers", "memory"),
    ("the card works, of the time of the stage", "card during the stage", "busy"),
    ("memory of the card, MiB", "card during the stage", "memory"),
)


def inference(kept: Sequence[Kept]) -> str:
    """Tell what each network does, how that is to the bare one, and what a survey takes."""
    parts = [part for file, record in records_of(kept, "infer") for part in _networks(file, record)]
    parts += _surveys(kept)
    parts += _scaling(kept)
    return "\n".join(parts)


def _networks(file: Kept, record: Record) -> Iterator[str]:
    speeds = network_speeds(record)
    if not speeds:
        return
    device = speeds[0].device
    quantity = speeds[0].from_store.quantity
    names = [each.network for each in speeds]
    size = f"`--size {record.size}`, on {machine_in_words(file.machine)}"
    yield f"{size} ([`{file.name}`](../benchmarks/results/{file.name})):\n"
    lines = [
        (words, [measured(record, f"{name}: {subject}", quantity) for name in names])
        for words, subject in _SPEEDS
    ]
    yield _by_network(f"sources a second of one {device}", names, lines)
    ratios = [
        (f"{words}, {clock}", [ratio_of(record, f"{n}: {a}", f"{n}: {b}", of) for n in names])
        for words, a, b in _RATIOS
        for clock, of in _CLOCKS
    ]
    yield _by_network("how many times", names, ratios)
    rest = [
        (words.format(device), [_of_stage(record, f"{n}: {subject}", of) for n in names])
        for words, subject, of in _REST
    ]
    yield _by_network("what it takes", names, rest)


def _of_stage(record: Record, subject: str, quantity: str) -> Measurement | None:
    """Find a figure of the stage with as many workers as it was measured with."""
    tried = (subject.format(2), subject.format(1).replace("1 workers", "1 worker"))
    found = (measured(record, each, quantity) for each in tried)
    return next((each for each in found if each is not None), None)


def _by_network(
    title: str,
    names: Sequence[str],
    lines: Sequence[tuple[str, Sequence[Measurement | Ratio | None]]],
) -> str:
    rows = [(words, *map(_told, found)) for words, found in lines if any(found)]
    return markdown_table((title, *(f":`{name}`" for name in names)), rows)


def _told(of: Measurement | Ratio | None) -> str:
    """Write median and range, and of a missed goal what was wanted, in bold."""
    if of is None:
        return ""
    missed = isinstance(of, Ratio) and of.reached is False
    return f"{spread(of)}, **missed {goal(of)}**" if missed else spread(of)


def _surveys(kept: Sequence[Kept]) -> Iterator[str]:
    rows = [
        (
            *(f"`{each.network}`", f"{each.rows:,}", f"{number(each.time.median)} s"),
            *(number(each.speed.median), str(file.machine["cores"])),
            "" if each.memory is None else f"{number(each.memory.median)} GiB",
            "" if each.wanted is None else f"{spread(each.wanted)}, {verdict(each.wanted)}",
        )
        for file, record in records_of(kept, "infer_scale")
        for each in surveys(record)
    ]
    if rows:
        yield "A survey, from the store to finished scores (`infer_scale`):\n"
        head = (
            "network",
            ":sources",
            ":took",
            ":sources/s",
            ":cores",
            ":largest worker",
            ":over a million a second",
        )
        yield markdown_table(head, rows)


def _scaling(kept: Sequence[Kept]) -> Iterator[str]:
    for _, record in records_of(kept, "scaling"):
        curves = scaling_curves(record)
        counts = sorted({count for curve in curves.values() for count, _ in curve})
        rows = [
            (kind, *(spread(found[n]) if n in found else "" for n in counts))
            for kind, curve in curves.items()
            for found in (dict(curve),)
        ]
        yield "Efficiency of workers whose tasks wait instead of computing (`scaling`):\n"
        yield markdown_table(("workers", *(f":{count}" for count in counts)), rows)
