"""Every benchmark runs once, tiny, so that it cannot rot; nothing is said about times here."""

import importlib
import json
import math

import pytest
from benchmarks.__main__ import benchmark_names
from benchmarks.compare import print_changes
from benchmarks.record import (
    Measurement,
    Record,
    print_record,
    ratio,
    read_records,
    write_records,
)
from benchmarks.table import PAGE, page


@pytest.mark.parametrize("name", benchmark_names())
def test_every_benchmark_runs_and_can_be_kept(name, tmp_path, capsys):
    record = importlib.import_module(f"benchmarks.{name}").measure("tiny", 1)
    assert record.benchmark == name
    assert record.measurements, "it measured nothing"
    for each in (*record.measurements, *record.ratios):
        assert len(each.values) == 1, each
        assert all(math.isfinite(value) and value >= 0 for value in each.values), each
    write_records(tmp_path / "kept.json", [record])
    assert read_records(tmp_path / "kept.json") == (
        Record(name, "tiny", record.measurements, record.ratios, _as_json(record.facts)),
    )
    print_record(record)
    assert capsys.readouterr().out.startswith(f"{name} (tiny)\n")


def _as_json(facts):
    return json.loads(json.dumps(dict(facts)))


def test_ratios_are_taken_repeat_by_repeat():
    ours = Measurement("ours", "rate", "rows/s", (10.0, 30.0, 20.0))
    theirs = Measurement("theirs", "rate", "rows/s", (10.0, 10.0, 10.0))
    found = ratio(ours, theirs, goal=2.5)
    assert found.values == (1.0, 3.0, 2.0)
    assert found.reached is False
    assert ratio(ours, theirs, goal=2.5, at_least=False).reached is True


def test_only_changes_beyond_the_noise_are_marked(capsys):
    old = Record("b", "small", (Measurement("s", "t", "s", (1.0, 1.2, 1.1)),))
    same = Record("b", "small", (Measurement("s", "t", "s", (1.15, 1.3, 1.2)),))
    slower = Record("b", "small", (Measurement("s", "t", "s", (1.3, 1.5, 1.4)),))
    print_changes([old], [same])
    assert "CHANGED" not in capsys.readouterr().out
    print_changes([old], [slower])
    assert "CHANGED" in capsys.readouterr().out


def test_the_page_of_benchmarks_says_what_the_result_files_hold():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m benchmarks table"


def test_a_page_tells_machine_goal_and_range(tmp_path):
    ours = Measurement("ours", "rate", "rows/s", (1_000_000.0, 3_000_000.0, 2_000_000.0))
    theirs = Measurement("theirs", "rate", "rows/s", (1_000_000.0,) * 3)
    told = Record("b", "small", (ours, theirs), (ratio(ours, theirs, goal=2.5),))
    write_records(tmp_path / "b.json", [told])
    text = page(tmp_path)
    assert "| ours | theirs | rate | 2 (1 to 3) | ≥ 2.5: missed |" in text
    assert "| ours | rate | 2,000,000 (1,000,000 to 3,000,000) rows/s |" in text
    assert "| theirs | rate | 1,000,000 rows/s |" in text
