"""What a run would cost, told in lines: tasks, memory, bytes to be written, time."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from kidsclf.config import Config
from kidsclf.config_file import load_config
from kidsclf.errors import KidsclfError, PlanError
from kidsclf.pipeline.dry_run import Foreseen
from kidsclf.pipeline.progress import duration
from kidsclf.places import Place, is_local, subfolders
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import read_receipt

_SAMPLED = 200
"""Receipts of a stage that are enough for a mean."""
_STAGED_BYTES = 150.0
"""A row between reading and splitting (27 million rows of KiDS; docs/scale.md)."""

_RATES: dict[str, tuple[float, float]] = {
    "ingest.read": (1.0e-6, 0.5),
    "ingest": (1.0e-6, 96.0),
    "cutouts": (1.6e-3, 1300.0),
    "features": (1.5e-3, 60.0),
    "match": (9.0e-5, 31.0),
    "match.read": (2.0e-6, 75.0),
    "infer": (4.3e-3, 47.0),
    "infer mlp": (2.0e-4, 47.0),
    "infer xgboost": (4.0e-5, 47.0),
    "reduce": (3.4e-5, 131.0),
    "products": (7.0e-6, 134.0),
}
"""Seconds of one worker and bytes a source, where this work directory has no receipts yet: those
of `make demo` on two cores (10 partitions of 815 sources, so large ones take less), and of
docs/scale.md for ingest."""
_MODEL_BYTES = 71.0e6
"""The largest network, mnn, with its history."""

_SETTINGS = {
    "ingest": ("survey", "ingest"),
    "cutouts": ("survey", "cutouts"),
    "features": ("features",),
    "match": ("samples", "train.classes", "ingest.chunk_rows"),
    "train": ("train", "run.seed", "infer.backend"),
    "infer": ("infer",),
    "reduce": ("reduce", "train.folds", "train.sample"),
    "products": ("reduce.product_network", "ingest"),
}
"""Which settings are in the fingerprints of a stage."""


@dataclass(frozen=True)
class Cost:
    """What tasks of one kind would take.

    Attributes
    ----------
    seconds : float or None
        Of one worker; None where nothing is known to reckon it from.
    written, replaced : float
        Bytes that they would write, and bytes of theirs that would go.
    """

    seconds: float | None
    written: float
    replaced: float


def cost_of(each: Foreseen, work: WorkDirectory) -> Cost:
    """Estimate the cost of tasks, at best from what this work directory's own receipts say."""
    stage = each.title.partition(" ")[0]
    replaced = float(sum(sum(old.outputs.values()) for old in each.before if old is not None))
    if stage == "train":
        took = [old.seconds for old in each.before if old is not None]
        count = len(each.todo) or each.at_most or 0
        written = replaced * count / len(took) if took else count * _MODEL_BYTES
        return Cost(sum(took) if len(took) == count else None, written, replaced)
    seconds, size = _own_rates(each.title, work) or _stated_rates(each.title)
    if stage in ("ingest.read", "ingest.again"):
        size = _STAGED_BYTES
    return Cost(seconds * each.rows, size * each.rows, replaced)


def _own_rates(title: str, work: WorkDirectory) -> tuple[float, float] | None:
    """Give seconds and bytes a source of a stage and network, as its receipts tell."""
    stage, _, network = title.partition(" ")
    folder = work.receipts / stage
    if folder.name not in {each.name for each in subfolders(work.receipts)}:
        return None
    paths: Iterator[Place] = iter(folder.glob(f"{network}@*.json" if network else "*.json"))
    read = (read_receipt(work.receipts, stage, path.stem) for path in islice(paths, _SAMPLED))
    found = [receipt for receipt in read if receipt is not None and receipt.outputs]
    rows = sum(receipt.rows for receipt in found)
    if not rows:
        return None
    written = sum(sum(receipt.outputs.values()) for receipt in found)
    return sum(receipt.seconds for receipt in found) / rows, written / rows


def _stated_rates(title: str) -> tuple[float, float]:
    stage = title.partition(" ")[0]
    general = ".".join(stage.split(".")[:2])
    known = (_RATES.get(each) for each in (title, stage, general, stage.partition(".")[0]))
    return next(rates for rates in known if rates is not None)


def forecast_lines(
    found: Sequence[Foreseen],
    config: Config,
    work: WorkDirectory,
    memory_gib: Mapping[str, float],
    removed: float = 0.0,
) -> Iterator[str]:
    """Tell what a run would do and cost, kind by kind and in all.

    Parameters
    ----------
    found : sequence of Foreseen
    config : Config
    work : WorkDirectory
        Its receipts tell what tasks cost, as far as it has some.
    memory_gib : mapping of str to float
        What one task of a stage needs.
    removed : float
        Bytes that the run removes before it begins.

    Raises
    ------
    PlanError
        At the end, when the disk has less room than would be written.
    """
    yield f"  {'stage':<18}{'finished':>9}{'stale':>8}{'missing':>9}{'memory':>10}{'disk':>9}  time"
    changed = changed_settings(config, work)
    costs = [cost_of(each, work) for each in found]
    redone: list[str] = []
    for each, cost in zip(found, costs, strict=True):
        yield _line(each, cost, memory_gib.get(each.title.partition(" ")[0].partition(".")[0]))
        if each.stale:
            yield f"    stale: {_reason(each, changed, redone)}"
        if each.todo or each.follows:
            redone.append(each.title)
    yield from _totals(found, costs, config, work, removed)


def _line(each: Foreseen, cost: Cost, memory: float | None) -> str:
    if each.follows:
        most = "" if each.at_most is None else f", at most {each.at_most:,} tasks"
        counts = f"{'follows' + most:>26}"
    else:
        counts = f"{each.finished:>9,}{each.stale:>8,}{each.missing:>9,}"
    if not (each.todo or each.follows):  # nothing to pay for
        return f"  {each.title:<18}{counts}"
    need = f"{memory:.1f} GiB" if memory is not None else "-"
    time = "not known" if cost.seconds is None else duration(cost.seconds)
    return f"  {each.title:<18}{counts}{need:>10}{_bytes(cost.written):>9}  {time}"


def _reason(each: Foreseen, changed: Mapping[str, tuple[Any, Any]], redone: Sequence[str]) -> str:
    """Say why tasks are stale, as far as receipts and the settings of the last run can tell."""
    if each.damaged == each.stale:
        return "their files are gone or are not as they were written"
    mine = _SETTINGS[each.title.partition(" ")[0].partition(".")[0]]
    of_it = [key for key in changed if any(f"{key}.".startswith(f"{own}.") for own in mine)]
    if of_it:
        old, new = changed[of_it[0]]
        more = f" and {len(of_it) - 1} more" if len(of_it) > 1 else ""
        return f"{of_it[0]} was {_short(old)} and is {_short(new)}{more}"
    if redone:
        return "made from what is done anew"
    return "their input files or this program have changed"


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."


def changed_settings(config: Config, work: WorkDirectory) -> dict[str, tuple[Any, Any]]:
    """List settings that differ from those of the last run, as ``{key: (then, now)}``."""
    if not work.settings.exists():
        return {}
    try:
        before = _flat(load_config(work.settings).model_dump(mode="json"))
    except KidsclfError:  # of a version with other settings
        return {}
    now = _flat(config.model_dump(mode="json"))
    keys = dict.fromkeys((*now, *before))
    return {key: (before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        found |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def _totals(
    found: Sequence[Foreseen],
    costs: Sequence[Cost],
    config: Config,
    work: WorkDirectory,
    removed: float,
) -> Iterator[str]:
    tasks = sum(len(each.todo) for each in found)
    follow = ", and what follows" if any(each.follows for each in found) else ""
    if not tasks and not follow:
        yield "to do     nothing: every task is finished; tables and the page are written anew"
        return
    yield f"to do     {tasks:,} tasks{follow}"
    workers = config.cluster.workers
    known = [(each, cost.seconds) for each, cost in zip(found, costs, strict=True)]
    seconds = sum(
        took / max(1, min(workers, len(each.todo) or each.at_most or workers))
        for each, took in known
        if took is not None
    )
    unknown = " and what is not known" if any(took is None for _, took in known) else ""
    yield f"time      about {duration(seconds)} on {workers} workers{unknown}; an estimate"
    written, replaced = (sum(getattr(c, part) for c in costs) for part in ("written", "replaced"))
    yield from _disk(written, replaced + removed, work)


def _disk(written: float, replaced: float, work: WorkDirectory) -> Iterator[str]:
    told = f"disk      about {_bytes(written)} to write, {_bytes(replaced)} of it in place of old"
    if not is_local(work.root):
        yield told
        return
    free = shutil.disk_usage(next(p for p in (work.root, *work.root.parents) if p.exists())).free
    yield f"{told}; {_bytes(free)} free"
    if written - replaced > free:
        raise PlanError(
            f"about {_bytes(written - replaced)} more were to be written below {work.root}, but "
            f"{_bytes(free)} are free there; make room or give another --workdir"
        )


def _bytes(size: float) -> str:
    """Write a size in three digits or so.

    >>> _bytes(950), _bytes(71e6), _bytes(2.5e12)
    ('950 B', '71 MB', '2.5 TB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:.3g} TB"
