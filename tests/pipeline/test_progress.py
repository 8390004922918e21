"""What is told of a run while it goes on: lines for people, JSON lines for programs."""

import io
import json
import re
import time

import pytest

from kidsclf.pipeline import progress
from kidsclf.pipeline.progress import ProgressEvents, ProgressLine, StageProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def go_through(watcher, clock, seconds=6.0):
    """Tell of a stage of four tasks: two finished before, one of them left out."""
    watcher.start("infer mlp", 4, 2, 4000, 1)
    for rows in (1500, 500):
        clock[0] += seconds
        watcher.advance(rows, seconds)
    watcher.leave_out("infer mlp@5/7", "it killed each of the 4 workers that touched it")
    clock[0] += seconds
    watcher.advance(1000, seconds)
    watcher.finish()


def test_a_terminal_sees_one_line_that_changes(clock):
    stream = Terminal()
    go_through(ProgressLine(stream), clock)
    lines = [line for line in re.split(r"\r\x1b\[K|\n", stream.getvalue()) if line]
    assert lines == [
        "infer mlp          [=====               ] 1/4  250 sources/s  0:10 left",
        "infer mlp          [==========          ] 2/4  167 sources/s  0:12 left",
        "quarantine         infer mlp@5/7: it killed each of the 4 workers that touched it",
        (
            "infer mlp          3 tasks, 2 finished before, 1 in quarantine, 3,000 sources"
            "  167 sources/s  0:18"
        ),
    ]


def test_a_line_that_changes_does_not_wrap_round(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    watcher = ProgressLine(stream)
    watcher.start("infer xgboost", 100_000, 0, 10**9, 1)
    for _ in range(10):
        clock[0] += 1.0
        watcher.advance(20_000_000, 1.0)
    line = stream.getvalue().rpartition("\r\x1b[K")[2]
    assert line.startswith("infer xgboost")
    assert len(line) == 79


def test_a_file_gets_a_line_every_ten_seconds_without_control_codes(clock):
    stream = io.StringIO()
    go_through(ProgressLine(stream), clock)
    text = stream.getvalue()
    assert "\r" not in text
    assert "\x1b" not in text
    assert [line.split()[0] for line in text.splitlines()] == ["infer", "quarantine", "infer"]


def test_a_file_hears_of_a_stage_whose_tasks_take_long():
    stream = io.StringIO()
    watcher = ProgressLine(stream, log_every_seconds=0.05)
    watcher.start("train", 3, 0, 3000, 2)
    end = time.monotonic() + 60.0
    while stream.getvalue().count("\n") < 2 and time.monotonic() < end:
        time.sleep(0.01)
    watcher.finish()
    first, second, *_ = stream.getvalue().splitlines()
    assert (
        first == second == "train              [                    ] 0/3  0 sources/s  0:00 so far"
    )
    told = stream.getvalue()
    time.sleep(0.2)
    assert stream.getvalue() == told, "the stage is over"


@pytest.mark.parametrize("rows", [0, 500])
def test_what_long_tasks_under_way_have_done_counts(rows, clock):
    """Six tasks of a minute on two workers, which end three seconds apart, take three minutes."""
    now = StageProgress("train", 6, 0, 6 * rows, 2, clock[0])
    told = {}
    ends = {60: 60.0, 63: 63.0, 120: 60.0, 123: 60.0, 180: 60.0}
    for second in range(1, 195):
        clock[0] += 1.0
        if second in ends:
            now.count(rows, ends[second])
        told[second] = now.seconds_left
    assert told[59] is None
    assert [told[k] for k in (60, 90, 120, 150)] == pytest.approx([120, 90, 60, 30], abs=8)
    assert told[190] is None, "the last task takes longer than the others did"


def test_where_workers_wait_between_short_tasks_their_waiting_goes_on(clock):
    now = StageProgress("match", 1000, 0, 0, 2, clock[0])
    for _ in range(500):
        clock[0] += 1.0
        now.count(0, 0.5)
    assert now.seconds_left == pytest.approx(500, rel=0.01)


def test_a_program_reads_events_with_fields(clock):
    stream = io.StringIO()
    go_through(ProgressEvents(stream), clock)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", e.pop("time")) for e in events)
    counts = {"stage": "infer mlp", "tasks": 4}
    assert events == [
        {"event": "stage", **counts, "finished_before": 2, "rows": 4000},
        {
            "event": "progress",
            **counts,
            "done": 2,
            "quarantined": 0,
            "rows": 2000,
            "rows_per_second": 166.7,
            "seconds": 12.0,
            "seconds_left": 12.0,
        },
        {
            "event": "quarantine",
            "task": "infer mlp@5/7",
            "reason": "it killed each of the 4 workers that touched it",
        },
        {
            "event": "stage_end",
            **counts,
            "done": 3,
            "quarantined": 1,
            "rows": 3000,
            "rows_per_second": 166.7,
            "seconds": 18.0,
            "finished_before": 2,
        },
    ]


@pytest.mark.parametrize("kind", [ProgressLine, ProgressEvents])
def test_a_stage_that_was_finished_before_takes_a_line(kind):
    stream = io.StringIO()
    watcher = kind(stream)
    watcher.start("match", 0, 40, 0, 0)
    watcher.finish()
    watcher.finish()
    assert "40" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == (1 if kind is ProgressLine else 2)
