"""One self-contained HTML page of all results, in the look of a run's report.

``python -m benchmarks page`` writes it. First what a user asks: sources a second and hours a
million. Then where the time of a whole job goes, every ratio against its goal, scaling, and folded
below every figure with the machine and the settings it was measured with.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.headlines import (
    Speed,
    goals,
    kept_results,
    measured,
    network_speeds,
    records_of,
    surveys,
)
from benchmarks.record import Kept, Measurement, Ratio
from benchmarks.web_details import everything, machines
from benchmarks.web_figures import budget, judged, scaling
from benchmarks.wording import goal, machine_in_words, number, spread, verdict
from kidsclf import __version__
from kidsclf.report import render_sections
from kidsclf.report.blocks import Block, Remark, Section, Tile, Tiles, grid, missing
from kidsclf.report.numbers import duration

_TITLE = "kidsclf: how fast"
_FEW_HOURS = 0.01
"""Below, seconds are told beside."""


def write_web_page(path: Path, kept: Sequence[Kept] | None = None) -> None:
    """Write the page of result files; by default of those that are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(web_page(kept), encoding="utf-8")


def web_page(kept: Sequence[Kept] | None = None) -> str:
    """Make the page of result files; by default of those that are kept."""
    kept = kept_results() if kept is None else kept
    makers = (glance, budget, judged, scaling, everything, machines)
    return render_sections(
        [make(kept) for make in makers],
        title=_TITLE,
        version=__version__,
        closing="Every number stands in benchmarks/results/; python -m benchmarks NAME measures "
        "it again.",
    )


def glance(kept: Sequence[Kept]) -> Section:
    """Say what each network does, what a survey took, and how many goals are reached."""
    found = [(file, network_speeds(record)) for file, record in records_of(kept, "infer")]
    blocks: list[Block] = [block for file, some in found for block in _speeds(file, some)]
    if not blocks:
        blocks = [missing("The speed of the networks", "no file holds the benchmark infer")]
    blocks += [*_whole_surveys(kept), *_training(kept)]
    asked = [each for file in kept for record in file.records for each in goals(record)]
    short = sum(not each.reached for each in asked)
    told = f"{len(asked) - short} of {len(asked)} goals are reached, {short} are missed"
    blocks.append(Remark(f"{told}; each stands below."))
    lead = (
        "Sources that each network classifies from the store, distances, calibration and flags "
        "with them, and what a million sources cost in the whole stage. Figures of one core are "
        "by processor time."
    )
    return Section("glance", "At a glance", lead, tuple(blocks))


def _speeds(file: Kept, speeds: Sequence[Speed]) -> Iterator[Block]:
    if not speeds:
        return
    yield Tiles(tuple(map(_tile, speeds)))
    device = speeds[0].device
    questions = (
        (f"Sources/s of one {device}, from the store", [each.from_store for each in speeds]),
        (f"Sources/s of one {device}, the bare network", [each.bare for each in speeds]),
        (f"{device.title()} hours a million sources, whole stage", [each.cost for each in speeds]),
        ("From the store, over the bare network", [each.over_bare for each in speeds]),
        ("Whole stage, over the bare network", [each.stage_over_bare for each in speeds]),
        ("Whole stage, over Keras in float32 or XGBoost", [each.over_library for each in speeds]),
    )
    rows = [[words, *map(_told, some)] for words, some in questions]
    caption = f"Median and range, on {machine_in_words(file.machine)}"
    yield grid(caption, ["", *(each.network for each in speeds)], rows)


def _tile(speed: Speed) -> Tile:
    notes = []
    if speed.cost is not None:
        hours = speed.cost.median
        seconds = f" ({duration(3600 * hours)})" if hours < _FEW_HOURS else ""
        notes.append(f"{number(hours)} {speed.device} hours{seconds} a million")
    if speed.over_bare is not None:
        over = speed.over_bare
        wanted = f" ({goal(over)} wanted)" if over.reached is False else ""
        notes.append(f"{number(over.median)} of the bare network{wanted}")
    value = f"{number(speed.from_store.median)}/s"
    return Tile(value, f"{speed.network}: sources of one {speed.device}", "; ".join(notes))


def _told(of: Measurement | Ratio | None) -> str:
    if of is None:
        return ""
    short = isinstance(of, Ratio) and of.reached is False
    return f"{spread(of)}, missed" if short else spread(of)


def _whole_surveys(kept: Sequence[Kept]) -> Iterator[Block]:
    rows = [
        (
            *(each.network, each.rows, f"{number(each.time.median)} s", number(each.speed.median)),
            str(file.machine["cores"]),
            "" if each.memory is None else f"{number(each.memory.median)} GiB",
            "" if each.wanted is None else f"{number(each.wanted.median)}, {verdict(each.wanted)}",
        )
        for file, record in records_of(kept, "infer_scale")
        for each in surveys(record)
    ]
    if rows:
        headings = (
            "Network",
            "Sources",
            "Took",
            "Sources/s",
            "Cores",
            "Largest worker",
            "Over a million/s",
        )
        yield grid("A whole survey, from the store to published scores", headings, rows)


def _training(kept: Sequence[Kept]) -> Iterator[Block]:
    for file, record in records_of(kept, "training"):
        names = dict.fromkeys(m.subject for m in record.measurements if m.quantity == "epochs")
        asked = ("of one core", "sources", "share of the input")
        rows = [[n, *(_told(measured(record, n, quantity)) for quantity in asked)] for n in names]
        if rows:
            headings = ("Network", "Sources/s of one core", "Sources/s by the clock")
            caption = f"Training, each source once an epoch, on {machine_in_words(file.machine)}"
            yield grid(caption, [*headings, "Share of the input in an epoch"], rows)
