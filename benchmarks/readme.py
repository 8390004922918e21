"""The README's section on speed, and its figure, written from the result files that are kept.

``python -m benchmarks table`` writes them anew; a test holds them against the files.
"""

from collections.abc import Iterator, Sequence

from benchmarks.figures import draw_overview
from benchmarks.headlines import (
    ROOT,
    Speed,
    goals,
    kept_results,
    network_speeds,
    ratio_of,
    records_of,
    surveys,
)
from benchmarks.record import Kept, Ratio
from benchmarks.wording import machine_in_words, markdown_table, number, spread, verdict
from kidsclf.report.svg import figure_files

README = ROOT / "README.md"
FIGURE = ROOT / "docs" / "images" / "speed.svg"
BEGIN = "<!-- python -m benchmarks table writes from here -->"
END = "<!-- to here -->"

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


def section(kept: Sequence[Kept] | None = None) -> str:
    """Make what stands between the marks in the README."""
    kept = kept_results() if kept is None else kept
    return "\n".join([BEGIN, "", *_networks(kept), *_surveys(kept), *_against(kept), END])


def readme(kept: Sequence[Kept] | None = None) -> str:
    """Put the section into the README as it stands.

    Raises
    ------
    ValueError
        When the marks are not there.
    """
    text = README.read_text(encoding="utf-8")
    start, end = text.index(BEGIN), text.index(END) + len(END)
    return text[:start] + section(kept) + text[end:]


def figure(kept: Sequence[Kept] | None = None) -> bytes:
    """Draw every ratio against its goal, as SVG on white."""
    kept = kept_results() if kept is None else kept
    records = [record for file in kept for record in file.records if goals(record)]
    return figure_files(draw_overview(records))["svg"]


def write_readme() -> None:
    README.write_text(readme(), encoding="utf-8")
    FIGURE.write_bytes(figure())


def _networks(kept: Sequence[Kept]) -> Iterator[str]:
    for file, record in records_of(kept, "infer"):
        speeds = network_speeds(record)
        if speeds:
            yield f"On {machine_in_words(file.machine)}:\n"
            device = speeds[0].device
            head = (
                "network",
                f":sources/s of one {device}, from the store",
                f":{device} hours a million sources",
                ":from the store, over the bare network",
                ":whole stage, over the bare network",
                ":whole stage, over plain Keras",
            )
            yield markdown_table(head, [_row(speed) for speed in speeds])


def _row(speed: Speed) -> tuple[str, ...]:
    return (
        f"`{speed.network}`",
        number(speed.from_store.median),
        "" if speed.cost is None else number(speed.cost.median),
        *(_judged(each) for each in (speed.over_bare, speed.stage_over_bare, speed.over_keras)),
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
                f"second on {file.machine['cores']} cores ({file.machine['cpu']}).\n"
            )


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
