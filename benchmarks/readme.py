"""The README's tables of speed, from the result files that are kept.

Not a benchmark. Networks first, then a whole survey, then what is held against others.
"""

from collections.abc import Iterator, Sequence

from benchmarks.headlines import (
    Speed,
    network_speeds,
    ratio_of,
    records_of,
    surveys,
)
from benchmarks.record import Kept, Ratio
from benchmarks.wording import machine_in_words, markdown_table, number, spread, verdict

_AGAINST = (
    ("Ingest of FITS tables, rows a second, over `hats-import`",
     "ingest", "kidsclf", "hats-import", "speed"),
    ("Stamps cut out of a tile in memory, over a loop of `Cutout2D`",
     "cutouts", "cut", "Cutout2D loop", "cut"),
    ("... and written as a Zarr group", "cutouts", "to disk", "Cutout2D loop", "cut"),
    ("Stamps read back, over tensorstore's own codes, not decoded",
     "cutouts", "CutoutStore", "tensorstore", "read"),
    ("Match of a million with a million, LSDB's time over ours",
     "match", "even LSDB", "even kidsclf nearest", "time"),
    ("Match of ten million with few labels, LSDB's time over ours",
     "match", "few LSDB", "few kidsclf nearest", "time"),
    ("Shapes of stamps, over statmorph", "morphology", "kidsclf 41 px", "statmorph 41 px", "rate"),
    ("Sersic fits, over statmorph's", "sersic", "kidsclf 41 px", "statmorph fit 41 px", "rate"),
    ("A grouped count, our time over DuckDB's",
     "products", "group-by kidsclf", "group-by DuckDB", "time"),
    ("The catalogue as FITS, over NumPy's bare dump of the bytes",
     "products", "write FITS kidsclf", "write FITS NumPy", "speed"),
    ("Engine and publishing, share of the whole job",
     "engine", "engine and publishing", "whole run", "share"),
)  # fmt: skip
"""What the README tells beside the networks: words, benchmark, subject, peer, quantity."""


def speed(kept: Sequence[Kept]) -> str:
    """Tell what networks do, what a survey takes, and what is held against others."""
    return "\n".join([*_networks(kept), *_surveys(kept), *_against(kept)])


def _networks(kept: Sequence[Kept]) -> Iterator[str]:
    for file, record in records_of(kept, "infer"):
        speeds = network_speeds(record)
        if speeds:
            yield (
                f"On {machine_in_words(file.machine)}. Sources a second and ratios are by "
                "processor time, which other programs disturb less than the wall clock; a worker "
                "has one thread:\n"
            )
            device = speeds[0].device
            head = (
                "network",
                f":sources/s of one {device}, from the store",
                f":{device} hours a million sources",
                ":from the store, over the bare network",
                f":whole stage on {_workers(speeds[0])}, over as many bare networks",
                ":whole stage on 1 worker, over plain Keras or XGBoost",
            )
            yield markdown_table(head, [_row(speed) for speed in speeds])


def _workers(speed: Speed) -> str:
    """Say how many workers the stage was measured on."""
    return "1 worker" if speed.cost is None else speed.cost.subject.rpartition(", ")[2]


def _row(speed: Speed) -> tuple[str, ...]:
    return (
        f"`{speed.network}`",
        number(speed.from_store.median),
        "" if speed.cost is None else number(speed.cost.median),
        *(_judged(each) for each in (speed.over_bare, speed.stage_over_bare, speed.over_library)),
    )


def _judged(of: Ratio | None) -> str:
    """Write a ratio, and in bold where its goal is missed."""
    if of is None:
        return ""
    missed = of.reached is False
    wanted = verdict(of).partition(":")[0]
    return f"{number(of.median)}, **missed {wanted}**" if missed else number(of.median)


def _surveys(kept: Sequence[Kept]) -> Iterator[str]:
    for file, record in records_of(kept, "infer_scale"):
        for each in surveys(record):
            yield (
                f"`{each.network}` scored {each.rows:,} sources from the store, answers written "
                f"and published, in {number(each.time.median)} s: {number(each.speed.median)} a "
                f"second on {file.machine['cores']} cores ({file.machine['cpu']})"
                f"{_wanted(each.wanted)}.\n"
            )


def _wanted(speed: Ratio | None) -> str:
    if speed is None:
        return ""
    return f"; a million a second is wanted: {'reached' if speed.reached else '**missed**'}"


def _against(kept: Sequence[Kept]) -> Iterator[str]:
    rows = []
    for words, benchmark, *wanted in _AGAINST:
        for file, record in records_of(kept, benchmark):
            found = ratio_of(record, *wanted)
            if found is not None:
                told = verdict(found).replace("missed", "**missed**")
                rows.append((words, spread(found), told, file.machine["cpu"]))
    if rows:
        yield markdown_table(("against others", ":ratio (range)", "wanted", "machine"), rows)
