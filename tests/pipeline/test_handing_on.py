"""A worker begins its next task while the one before is being ended, where a task says so."""

import asyncio
import time
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace

import pyarrow as pa
import pytest
from benchmarks.engine import Silent
from benchmarks.infer import PARTITIONS, make_work, stage, workers
from distributed import Status

from kidsclf.cluster.leaving import leave
from kidsclf.pipeline import infer
from kidsclf.pipeline.mapping import Engine, Made, Task, let_next_begin
from kidsclf.pipeline.report import draw_by_workers
from kidsclf.report import ReportTables, render_page
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import read_receipt

PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def one_worker():
    with workers(1) as client:
        yield client


def await_other(own, other):
    """Let the next begin, and end only when that has been seen to."""
    let_next_begin()
    own.write_text("")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not other.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the other task has not begun")
        time.sleep(0.01)
    return Made(1, ())


def test_the_next_begins_before_the_one_before_has_ended(one_worker, tmp_path):
    """One thread could not do both, as each ends only when the other has begun."""
    names = [tmp_path / name for name in ("first", "second")]
    tasks = [
        Task("infer", own.name, "1", await_other, (own, other), 1)
        for own, other in (names, names[::-1])
    ]
    done = Engine(one_worker, WorkDirectory(tmp_path / "work"), Silent()).map(tasks)
    assert [receipt.rows for receipt in done.receipts] == [1, 1]


def halved(number):
    if number % 2:
        error = ValueError(f"{number} is odd")
        error.add_note("while halving")
        raise error
    return number // 2


def test_answers_travel_back_in_the_order_asked(one_worker, tmp_path):
    engine = Engine(one_worker, WorkDirectory(tmp_path / "work"), Silent())
    even = {str(number): number for number in range(0, 40, 2)}
    assert list(engine.ask(halved, even)) == list(range(20))
    with pytest.raises(ValueError, match="3 is odd") as caught:
        list(engine.ask(halved, {"two": 2, "three": 3, "four": 4}))
    assert caught.value.__notes__ == ["while halving"]


def test_workers_draw_the_same_bytes(one_worker, tmp_path):
    engine = Engine(one_worker, WorkDirectory(tmp_path / "work"), Silent())
    stages = pa.table({"stage": ["infer"], "tasks": [3], "skipped": [0]})
    stages = stages.append_column("rows", pa.array([30]))
    stages = stages.append_column("seconds", pa.array([2.0]))
    stages = stages.append_column("rows_per_second", pa.array([15.0]))
    tables = ReportTables(stages=stages)
    there = render_page(tables, partial(draw_by_workers, engine))
    assert there.count("<figure") == 1
    assert there == render_page(tables)


def test_outside_of_a_worker_nothing_is_let_go():
    let_next_begin()


def as_on_a_gpu():
    """Take the worker's processor for a GPU, and note whether it hands on one task at a time."""
    infer.has_accelerator = lambda _: True
    infer.handed_on, hand_on = [], infer.let_next_begin

    def noted():
        infer.handed_on.append(infer._ENDING.locked())
        hand_on()

    infer.let_next_begin = noted


def what_was_handed_on():
    return infer.handed_on


def hand_on_and_wait():
    let_next_begin()
    time.sleep(0.5)
    return Made(1, ())


def test_partitions_scored_in_this_way_are_the_same_bytes(one_worker, tmp_path):
    """With the readers that a GPU has, too; only where products go is not a GPU."""
    one_worker.submit(make_work, tmp_path, "mnn_fast", 150, pure=False).result()
    work, made = WorkDirectory(tmp_path), []
    for number, prepare in enumerate((print, as_on_a_gpu)):
        one_worker.run(prepare)
        stage(one_worker, tmp_path, "mnn_fast", number)
        store = HatsCatalogue(work.scores("mnn_fast"))
        made.append([store.path(at).read_bytes() for at in PARTITIONS])
        labels = [f"mnn_fast@{at.label}" for at in PARTITIONS]
        receipts = [read_receipt(work.receipts, "infer", label) for label in labels]
        assert [each.facts.get(infer.ON_GPU, False) for each in receipts] == 2 * [bool(number)]
    assert made[0] == made[1]
    assert list(one_worker.run(what_was_handed_on).values()) == [[True, True]]


def test_seconds_of_tasks_of_one_worker_do_not_overlap(one_worker, tmp_path):
    """What follows the handing on is not counted: else a worker had more seconds than the clock."""
    tasks = [Task("infer", f"task{k}", "1", hand_on_and_wait, (), 1) for k in range(3)]
    done = Engine(one_worker, WorkDirectory(tmp_path), Silent()).map(tasks)
    assert sum(receipt.seconds for receipt in done.receipts) < 0.5


def test_a_worker_that_leaves_awaits_what_is_being_ended():
    tasks, seen = {"begun": {"next"}, "ended": {"this"}}, []

    async def later():
        for each in tasks.values():
            await asyncio.sleep(0.1)
            each.clear()

    async def note(*_, **__):
        seen.append({name for name, some in tasks.items() if some})

    async def under_way(*_, **__):
        return {"here": []}

    async def go():
        state = SimpleNamespace(executing=tasks["begun"], long_running=tasks["ended"])
        worker = SimpleNamespace(
            status=Status.running,
            state=state,
            data={},
            address="here",
            scheduler=SimpleNamespace(retire_workers=note, processing=under_way),
            close=note,
        )
        await asyncio.gather(leave(worker, "told to"), later())

    asyncio.run(go())
    assert seen == [set(), set()]


@pytest.mark.parametrize("status", [Status.running, Status.paused])
@pytest.mark.parametrize("refuses", [False, True])
def test_a_worker_leaves_once_the_scheduler_knows_what_it_has_done(status, refuses):
    """It is asked by a name of its own making, and whatever it answers at last, the worker goes."""
    said = [{"by number": ["this", "next"]}, {"by number": ["this"]}, {"by number": ["next"]}]
    left, closed = [], []

    async def under_way(*_, **__):
        return said.pop(0)

    async def retire(*_, **__):
        left.append(len(said))
        if refuses:
            raise OSError("the scheduler is gone")

    async def close(*_, **__):
        closed.append(True)

    states = {"this": "memory", "next": "ready"}
    tasks = {name: SimpleNamespace(state=state) for name, state in states.items()}
    worker = SimpleNamespace(
        status=status,
        state=SimpleNamespace(executing=set(), long_running=set(), tasks=tasks),
        data={},
        address="by name",
        scheduler=SimpleNamespace(retire_workers=retire, processing=under_way),
        close=close,
    )
    with pytest.raises(OSError, match="gone") if refuses else nullcontext():
        asyncio.run(leave(worker, "told to"))
    assert left == [0]
    assert closed == [True]
