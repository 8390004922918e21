"""What the next run would do, from receipts and fingerprints alone.

No cluster is opened and nothing is written. A task's fingerprint is known before the task is done:
so the plan of a stage can be made although the stages before it have to be done again. Where it
follows from results that are not there yet (how the sky is split, which labels are where), a stage
is said to follow, with as many tasks as it can have at most.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kidsclf.config import Config
from kidsclf.errors import InputError
from kidsclf.pipeline import cutouts, features, ingest, match
from kidsclf.pipeline.context import (
    STAGE_ORDER,
    SUMMARY,
    Context,
    ingest_settings,
    require_current,
    stage_summary,
)
from kidsclf.pipeline.fitting import trained_names
from kidsclf.pipeline.infer import scoring_tasks
from kidsclf.pipeline.products import joining_tasks
from kidsclf.pipeline.reduce import reducing_tasks
from kidsclf.pipeline.tasks import Mapped, Task
from kidsclf.pipeline.train import training_parts, training_tasks
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, is_finished, read_receipt
from kidsclf.surveys.column_map import ColumnMap


@dataclass(frozen=True)
class Foreseen:
    """Tasks of one kind: how many stand, and those that would be done.

    Attributes
    ----------
    title : str
        Stage, and network where there is one, as the progress line says them.
    finished : int
    todo : tuple of Task
    before : tuple of Receipt or None
        What each of them left when it was last done.
    follows : bool
        Whether it cannot be planned yet, so that ``finished`` and ``todo`` are not known.
    at_most : int or None
        How many tasks it can then have; None where that is not known either.
    rows : int
        Sources of the tasks to do, as far as they are known.
    """

    title: str
    finished: int = 0
    todo: tuple[Task, ...] = ()
    before: tuple[Receipt | None, ...] = ()
    follows: bool = False
    at_most: int | None = None
    rows: int = 0

    @property
    def stale(self) -> int:
        """Tasks that were done otherwise, or whose files are not as they were left."""
        return sum(each is not None for each in self.before)

    @property
    def missing(self) -> int:
        """Tasks that were never done."""
        return len(self.todo) - self.stale

    @property
    def damaged(self) -> int:
        """Tasks that were done as they would be today, but whose files are gone or changed."""
        pairs = zip(self.todo, self.before, strict=True)
        return sum(old is not None and old.fingerprint == task.fingerprint for task, old in pairs)


class _NotYetKnownError(Exception):
    """Tasks have to be done before more can be planned."""


@dataclass
class _Looker:
    """Stands where the cluster would: looks at tasks instead of doing them."""

    work: WorkDirectory
    seen: list[Foreseen] = field(default_factory=list)

    def map(self, tasks: Sequence[Task]) -> Mapped:
        """Give the receipts of tasks that are all finished, as plans are made from them.

        Raises
        ------
        _NotYetKnownError
            When one is not.
        """
        kept = self.look(tasks)
        if len(kept) < len(tasks):
            raise _NotYetKnownError
        return Mapped(tuple(kept), 0, 0.0)

    def look(self, tasks: Sequence[Task]) -> list[Receipt]:
        """Note which tasks are to do; give the receipts of the others."""
        work, kept, todo = self.work, [], []
        for task in tasks:
            receipt = is_finished(work.receipts, work.root, task.stage, task.name, task.fingerprint)
            if receipt is not None:
                kept.append(receipt)
            else:
                todo.append((task, read_receipt(work.receipts, task.stage, task.name)))
        if tasks:
            title = f"{tasks[0].stage} {tasks[0].about}".strip()
            rows = sum(task.rows for task, _ in todo)
            ends = (tuple(task for task, _ in todo), tuple(old for _, old in todo))
            self.seen.append(Foreseen(title, len(kept), *ends, rows=rows))
        return kept

    def ask(self, answer: Callable[[Any], Any], asked: Mapping[str, Any]) -> Iterator[Any]:
        """Answer small questions here."""
        return map(answer, asked.values())

    def tell_kept(self, stage: str, tasks: int) -> None:
        """Note a whole stage that was finished before."""
        self.seen.append(Foreseen(stage, tasks))

    def restart_workers(self) -> None:
        """There are none."""


def foresee(
    config: Config,
    work: WorkDirectory,
    survey: ColumnMap,
    samples: Mapping[str, ColumnMap],
    stages: Sequence[str],
) -> tuple[Foreseen, ...]:
    """Say what a run of some stages would do.

    Parameters
    ----------
    config : Config
    work : WorkDirectory
    survey : ColumnMap
    samples : mapping of str to ColumnMap
    stages : sequence of str
        In their order; ``products`` is a part of ``reduce``.

    Raises
    ------
    KidsclfError
        What a run would be refused with, as far as it needs no results: tables that are missing or
        damaged, stages that are needed but were left out.
    """
    left_out = {"cutouts"} if not config.has_images else set()
    left_out |= {"features"} if not config.has_features else set()
    left_out |= {"match"} if not config.samples else set()
    names = [name for name in STAGE_ORDER if _is_part(name, stages) and name not in left_out]
    tried_again = STAGE_ORDER[STAGE_ORDER.index(names[0]) :] if names else ()
    context = Context(
        config, work, survey, samples, _Looker(work), tried_again=frozenset(tried_again)
    )
    known, assumed = True, False
    found: list[Foreseen] = []
    for name in names:
        looker = _Looker(work)
        try:
            if not known:
                raise _NotYetKnownError
            context = _PLANS[name](replace(context, engine=looker), looker)
        except (_NotYetKnownError, InputError) as error:
            if isinstance(error, InputError) and not assumed:
                raise  # else it may speak of what is about to be done otherwise
            known = False
            looker.seen += _following(context, name, found + looker.seen)
        found += looker.seen
        known = known and _is_enough(config, name, looker.seen)
        assumed = assumed or any(each.stale for each in looker.seen)
    return tuple(found)


def _is_part(name: str, stages: Sequence[str]) -> bool:
    return name in stages or (name == "products" and "reduce" in stages)


def _is_enough(config: Config, stage: str, seen: Sequence[Foreseen]) -> bool:
    """Say whether what tasks left before will do in place of what they will leave.

    Later plans ask stamps for their sizes. A network is made of the partitions in which its sample
    has labels: where there were some in what is matched anew, it is trained again; else some may
    be found there.
    """
    before = [old for each in seen for old in each.before]
    asked = {"cutouts", "match"} if config.train.pretrained is None else set()
    asked |= {"cutouts"} if config.has_features else set()
    if stage not in asked:
        return True
    facts = [old.facts for old in before if old is not None]
    if len(facts) < len(before):
        return False
    if stage == "cutouts":
        return all({"sizes_px", "pixel_scales_arcsec"} <= each.keys() for each in facts)
    found = [each.get("matched", {}).get(config.train.sample) for each in facts]
    return not found or (None not in found and any(found))


def _following(context: Context, stage: str, found: Sequence[Foreseen]) -> list[Foreseen]:
    """Bound what cannot be planned yet."""
    if stage == "train":
        return [Foreseen(stage, follows=True, at_most=len(trained_names(context.config.train)))]
    by_network = stage in ("infer", "reduce")
    titles = [f"{stage} {name}" for name in context.config.train.networks]
    most: int | None = None
    rows = _rows_of_tables(found)
    if stage != "ingest" and not _splits_anew(found):
        facts = stage_summary(context, "ingest").facts
        most, rows = len(facts["partitions"]), int(facts["rows_out"])
    return [
        Foreseen(title, follows=True, at_most=most, rows=rows)
        for title in (titles if by_network else [stage])
    ]


def _splits_anew(found: Sequence[Foreseen]) -> bool:
    """Say whether the partitions of today are not known: the last run's bound nothing."""
    return any(each.follows and each.title == "ingest" for each in found)


def _rows_of_tables(found: Sequence[Foreseen]) -> int:
    """Bound the sources of the catalogue by the rows of the survey's tables."""
    return sum(each.rows for each in found if each.title == "ingest.read")


def _and_these(context: Context, seen: Sequence[Foreseen], *further: Receipt) -> Context:
    """Add the receipts that the tasks seen, and the client, will leave."""
    foreseen = dict(context.foreseen)
    for each in seen:
        for task, old in zip(each.todo, each.before, strict=True):
            facts = {} if old is None else old.facts
            foreseen[task.stage, task.name] = Receipt(
                task.stage, task.name, task.fingerprint, task.rows, 0.0, {}, facts
            )
    return replace(context, foreseen=foreseen | {(r.stage, r.task): r for r in further})


def _plan_ingest(context: Context, looker: _Looker) -> Context:
    planned = ingest.plan_chunks(context)
    try:
        _, again, tasks = ingest.plan(context, planned)
    except _NotYetKnownError:
        looker.seen[-1] = replace(looker.seen[-1], rows=sum(each.chunk.rows for each in planned))
        raise
    looker.look(again)
    kept = looker.look(tasks)
    facts = {
        "asked": ingest_settings(context),
        "partitions": {task.name: task.fingerprint for task in tasks},
        "rows_out": sum(receipt.rows for receipt in kept) + looker.seen[-1].rows,
    }
    wanted = ingest.wanted_summary(context, planned)
    return _and_these(context, looker.seen, Receipt("ingest", SUMMARY, wanted, 0, 0.0, {}, facts))


def _plan_cutouts(context: Context, looker: _Looker) -> Context:
    looker.look(cutouts.plan(context)[0])
    return _and_these(context, looker.seen)


def _plan_features(context: Context, looker: _Looker) -> Context:
    looker.look(features.measuring_tasks(context))
    return _and_these(context, looker.seen)


def _plan_match(context: Context, looker: _Looker) -> Context:
    tasks = match.plan(context)
    if tasks is None:
        summary = context.receipt("match", SUMMARY)
        looker.tell_kept("match", 0 if summary is None else len(summary.facts["partitions"]))
        return context
    looker.look(tasks)
    facts = {"asked": match.match_settings(context)}
    return _and_these(context, looker.seen, Receipt("match", SUMMARY, "", 0, 0.0, {}, facts))


def _plan_train(context: Context, looker: _Looker) -> Context:
    for part in training_parts(context):
        looker.look(part)
    return _and_these(context, looker.seen)


def _plan_infer(context: Context, looker: _Looker) -> Context:
    require_current(context, training_tasks(context))
    for name in context.config.train.networks:
        looker.look(scoring_tasks(context, name))
    return _and_these(context, looker.seen)


def _plan_reduce(context: Context, looker: _Looker) -> Context:
    if context.config.has_features:
        require_current(context, features.measuring_tasks(context))
    for name in context.config.train.networks:
        require_current(context, scoring_tasks(context, name))
        looker.look(reducing_tasks(context, name))
    return _and_these(context, looker.seen)


def _plan_products(context: Context, looker: _Looker) -> Context:
    looker.look(joining_tasks(context))
    return context


_PLANS: dict[str, Callable[[Context, _Looker], Context]] = {
    "ingest": _plan_ingest,
    "cutouts": _plan_cutouts,
    "features": _plan_features,
    "match": _plan_match,
    "train": _plan_train,
    "infer": _plan_infer,
    "reduce": _plan_reduce,
    "products": _plan_products,
}
