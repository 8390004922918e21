"""Every benchmark runs once, tiny, so that it cannot rot; nothing is said about times here."""

import importlib
import json
import math

import pytest
from benchmarks.__main__ import benchmark_names
from benchmarks.record import (
    Measurement,
    Record,
    print_record,
    ratio,
    read_records,
    write_records,
)


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
