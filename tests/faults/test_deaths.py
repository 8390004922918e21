"""Any process may be killed, in any stage: the same command goes on and the same bytes come out."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from distributed import Client, as_completed
from processes import STAGES, AtStageOrLater, AtStages, finished_files, kill, until, whole

from kidsclf.pipeline.status import status_of
from kidsclf.store.layout import WorkDirectory


def test_killed_workers_cost_nothing(start, undisturbed, tmp_path):
    run = start(tmp_path / "work", "--cluster", "local")

    def kill_one(chance):
        until(lambda: bool(run.workers))
        kill(chance.choice(run.workers))

    deed = AtStages(tmp_path / "work", kill_one, 1, *STAGES)
    assert run.follow(deed) == 0, run.said
    assert tuple(deed.struck) == STAGES
    assert whole(tmp_path / "work", undisturbed)


def test_killed_nannies_cost_nothing_but_their_workers(start, cluster, undisturbed, tmp_path):
    run = start(tmp_path / "work", "--cluster", cluster.address)

    def kill_one(chance):
        victim = chance.choice([each for each in cluster.nannies if each.poll() is None])
        children = psutil.Process(victim.pid).children()
        victim.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive, "a worker has outlived its nanny"
        cluster.add_worker()

    deed = AtStages(tmp_path / "work", kill_one, 2, "ingest", "match", "train", "infer", "products")
    assert run.follow(deed) == 0, run.said
    assert len(deed.struck) == 5
    assert whole(tmp_path / "work", undisturbed)


def test_a_killed_scheduler_ends_the_run_which_goes_on_with_another(
    start, make_cluster, cluster, undisturbed, tmp_path
):
    work, before = tmp_path / "work", {}
    for stage in ("match", "train"):
        lost = make_cluster()
        run = start(work, "--cluster", lost.address)
        deed = AtStageOrLater(work, lambda _, lost=lost: lost.scheduler.kill(), 3, stage)
        assert run.follow(deed) == 5, run.said
        assert deed.struck
        assert "the run needs its scheduler and at least one worker" in run.said[-1]
        assert run.said[-1].endswith("give the same command, which goes on from here")
        lost.stop()
        now = finished_files(work)
        assert before.items() <= now.items()  # finished partitions are not redone
        before = now
    run = start(work, "--cluster", cluster.address)
    assert run.follow() == 0, run.said
    assert before.items() <= finished_files(work).items()
    assert whole(work, undisturbed)


def test_a_killed_command_goes_on_where_it_stood(start, cluster, undisturbed, tmp_path):
    work, before, blows = tmp_path / "work", {}, 0
    for seed, stage in enumerate(STAGES):
        run = start(work, "--cluster", cluster.address)
        deed = AtStageOrLater(work, lambda _, run=run: kill(run.process), seed, stage)
        # What was under way when the last blow fell is done by the workers all the same: so the
        # work may be over before this stage.
        code = run.follow(deed)
        assert code in (-9, 0), run.said
        blows += code == -9
        now = finished_files(work)
        assert before.items() <= now.items()
        before = now
    assert blows >= len(STAGES) - 2
    run = start(work, "--cluster", cluster.address)
    assert run.follow() == 0, run.said
    assert before.items() <= finished_files(work).items()
    assert whole(work, undisturbed)


def test_a_command_that_ends_takes_its_workers_with_it(start, cluster, undisturbed, tmp_path):
    """Ctrl-C, which a terminal sends to the workers too; then SIGTERM; then SIGKILL."""
    work, workers = tmp_path / "work", []

    def ended(stage, deed):
        run = start(work, "--cluster", "local")

        def end_it(_):
            workers.extend(run.workers)
            deed(run.process)

        code = run.follow(AtStageOrLater(work, end_it, 4, stage))
        assert workers
        _, alive = psutil.wait_procs(workers, timeout=30)
        assert not alive
        return run, code

    for stage, deed in (
        ("match", lambda process: os.killpg(process.pid, signal.SIGINT)),
        ("infer", lambda process: process.terminate()),
    ):
        run, code = ended(stage, deed)
        assert code == 130
        assert run.said == ["kidsclf: interrupted; the same command goes on from here"]
        assert not list(work.rglob(".unfinished-*"))
        assert not (work / "scratch").exists()
    _, code = ended("reduce", lambda process: process.kill())
    assert code == -9
    status = status_of(WorkDirectory(work))
    assert status.failure is not None
    assert "it was killed" in status.failure.reason
    assert not status.running
    assert not status.done
    before = finished_files(work)
    run = start(work, "--cluster", cluster.address)
    assert run.follow() == 0, run.said
    assert before.items() <= finished_files(work).items()
    assert whole(work, undisturbed)
    assert status_of(WorkDirectory(work)).done


def noting(path, seconds):
    """Give a task that says in a file that it begins, and that it ends."""

    # Local, so that it travels whole: workers have no module of this name.
    def note(number):
        with path.open("a") as file:
            file.write(f"{number} begun\n")
        time.sleep(seconds)
        with path.open("a") as file:
            file.write(f"{number} ended\n")
        return number

    return note


def late_news(folder):
    """Write a preload with which a nanny hears of its worker's start two seconds late."""
    (folder / "late_news.py").write_text("""
import asyncio
from distributed import Nanny
if not hasattr(Nanny, "soon"):  # a preload is read twice
    Nanny.soon = Nanny.instantiate
    async def late(nanny):
        status = await nanny.soon()
        await asyncio.sleep(2)
        return status
    Nanny.instantiate = late
""")
    return "--preload-nanny", str(folder / "late_news.py")


def hearing_of_ends(*, late):
    """Give what lets a scheduler hear that a task has ended later than that its worker leaves."""

    def change(dask_scheduler):
        handlers, loop = dask_scheduler.stream_handlers, dask_scheduler.loop
        hear = getattr(dask_scheduler, "hears_at_once", handlers["task-finished"])
        dask_scheduler.hears_at_once = hear
        hear_late = lambda **said: loop.call_later(4, lambda: hear(**said))  # noqa: E731
        handlers["task-finished"] = hear_late if late else hear

    return change


@pytest.mark.parametrize(
    "told",
    ["nanny of two", "nanny before it knows", "worker", "both", "while the scheduler is behind"],
)
def test_workers_told_to_go_finish_their_tasks(told, cluster, tmp_path):
    """Slurm says SIGTERM to all processes of a job, and kills them 30 s later."""
    notes = tmp_path / "notes"
    options = late_news(tmp_path) if told == "nanny before it knows" else ()
    two = told in ("nanny of two", "while the scheduler is behind")
    leaving = cluster.add_worker(1 + two, *options)
    with ThreadPoolExecutor(1) as pool, Client(cluster.address) as client:
        workers = 3 + two
        client.wait_for_workers(workers, timeout=120)
        client.run_on_scheduler(hearing_of_ends(late=told == "while the scheduler is behind"))
        # As the engine does: what is done is fetched at once, and no worker has to keep it.
        done = as_completed(client.map(noting(notes, 1.5), range(workers + 1)), with_results=True)
        fetching = pool.submit(lambda: [result for _, result in done])
        until(lambda: notes.exists() and notes.read_text().count("begun") >= workers)
        children = psutil.Process(leaving.pid).children()
        theirs = [child for child in children if "spawn_main" in str(child.cmdline())]
        assert len(theirs) == workers - 2
        for process in {"worker": theirs, "both": [leaving, *theirs]}.get(told, [leaving]):
            process.send_signal(signal.SIGTERM)
        assert leaving.wait(timeout=30) == 0
        assert sorted(fetching.result(timeout=60)) == list(range(workers + 1))
        client.run_on_scheduler(hearing_of_ends(late=False))
        suspected = client.run_on_scheduler(
            lambda dask_scheduler: dask_scheduler.task_prefixes["note"].suspicious
        )
    assert sorted(notes.read_text().split("\n")[:-1]) == sorted(
        f"{k} {state}" for k in range(workers + 1) for state in ("begun", "ended")
    )
    assert suspected == 0
