"""How a stage went: what workers did in this run, and what a thread does by all receipts."""

import math
from dataclasses import replace

import pytest

from kidsclf.config import Config
from kidsclf.pipeline.context import ON_GPU, Share, StageOutcome
from kidsclf.pipeline.plan import stages_behind
from kidsclf.pipeline.report import stages_table, throughput_table
from kidsclf.pipeline.tasks import Mapped
from kidsclf.store.receipts import Receipt


def test_a_worker_is_told_only_what_it_did_in_this_run():
    receipts = tuple(
        Receipt("infer", f"mlp@5/{k}", "", 10, 2.0, worker=worker)
        for k, worker in enumerate(("before:1", "now:2", "now:2"))
    )
    mapped = Mapped(receipts, 2, 4.0, kept=frozenset({"mlp@5/0"}))
    outcome = StageOutcome.of("infer", mapped)
    assert outcome.by_worker == {"now:2": Share(tasks=2, rows=20, seconds=4.0, median_rate=5.0)}
    assert (outcome.tasks, outcome.skipped) == (3, 1)


def outcome(stage: str, rows: int, seconds: float, *, skipped: int = 0) -> StageOutcome:
    return StageOutcome(stage, 4, skipped, rows, 2.0, seconds)


def test_a_thread_is_told_of_by_stage_and_by_network_of_infer():
    config = Config.model_validate({"survey": {"preset": "kids_dr5"}, "train": {"threads": 2}})
    scored = replace(
        outcome("infer", 200, 30.0),
        by_network={"mlp": Share(2, 100, 5.0), "mnn": Share(2, 100, 25.0, on_gpu=True)},
    )
    nothing = StageOutcome("cutouts", 0, 0, 0, 0.0, 0.0)
    stages = [outcome("ingest", 100, 10.0), outcome("train", 80, 20.0), scored]
    table = throughput_table([*stages, outcome("match", 0, 0.0), nothing], config).to_pylist()
    told = [
        [row[key] for key in ("stage", "network", "worker_seconds", "threads", "on_gpu")]
        for row in table
    ]
    assert told == [
        ["ingest", None, 10.0, 1, False],
        ["train", None, 20.0, 2, False],
        ["infer", "mlp", 5.0, config.infer.threads, False],
        ["infer", "mnn", 25.0, config.infer.threads, True],
        ["match", None, 0.0, 1, False],
    ]
    rates = [row["rows_per_thread_second"] for row in table]
    assert rates[:2] == [10.0, 2.0]
    assert math.isnan(rates[-1])


def test_a_share_is_of_a_gpu_if_every_task_of_it_was():
    on, off = (Receipt("infer", "a@1/2", "", 1, 1.0, facts=facts) for facts in ({ON_GPU: True}, {}))
    assert Share.of([on, on]) == Share(2, 2, 2.0, on_gpu=True, median_rate=1.0)
    assert not Share.of([on, off]).on_gpu
    assert not Share.of([]).on_gpu


def test_a_stage_that_was_partly_done_before_has_no_rate():
    table = stages_table([outcome("ingest", 100, 9.0), outcome("infer", 100, 9.0, skipped=3)])
    rates = table["rows_per_second"].to_pylist()
    assert rates[0] == 50.0
    assert math.isnan(rates[1])


@pytest.mark.parametrize(
    ("ran", "behind"),
    [
        ({"infer": True}, ["reduce", "report"]),
        ({"infer": True, "reduce": True}, ["report"]),
        ({"infer": False}, []),
        ({"train": False, "infer": True, "reduce": True, "report": True}, []),
        ({"ingest": True}, ["match", "train", "infer", "reduce", "report"]),
    ],
)
def test_stages_that_are_behind_are_named(ran, behind):
    outcomes = [StageOutcome(name, 3, 0 if new else 3, 1, 1.0, 1.0) for name, new in ran.items()]
    assert stages_behind(outcomes) == behind
    assert stages_behind(outcomes, report=False) == [name for name in behind if name != "report"]
