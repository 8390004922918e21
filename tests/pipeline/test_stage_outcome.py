"""How a stage went: what workers did in this run, without what they did in runs before it."""

from kidsclf.pipeline.context import Share, StageOutcome
from kidsclf.pipeline.tasks import Mapped
from kidsclf.store.receipts import Receipt


def test_a_worker_is_told_only_what_it_did_in_this_run():
    receipts = tuple(
        Receipt("infer", f"mlp@5/{k}", "", 10, 2.0, worker=worker)
        for k, worker in enumerate(("before:1", "now:2", "now:2"))
    )
    mapped = Mapped(receipts, 2, 4.0, kept=frozenset({"mlp@5/0"}))
    outcome = StageOutcome.of("infer", mapped)
    assert outcome.by_worker == {"now:2": Share(tasks=2, rows=20, seconds=4.0)}
    assert (outcome.tasks, outcome.skipped) == (3, 1)
