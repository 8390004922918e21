"""What a dry run says is what the next run does: no task more, and none less."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kidsclf import run
from kidsclf.config import InferSettings
from kidsclf.config_file import load_config
from kidsclf.models.table import network_entry
from kidsclf.pipeline.dry_run import foresee
from kidsclf.pipeline.fitting import computing
from kidsclf.pipeline.plan import STAGES
from kidsclf.store.layout import WorkDirectory
from kidsclf.surveys.map_files import load_column_map

ALL = [stage.name for stage in STAGES]


@pytest.fixture(scope="module")
def work(finished_run, tmp_path_factory) -> Path:
    """A finished run that the tests change, one after the other."""
    copy = tmp_path_factory.mktemp("foreseen") / "work"
    shutil.copytree(finished_run, copy)
    return copy


def foreseen(small_survey, work, *settings):
    config = load_config(small_survey / "run.toml", settings)
    samples = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    survey = load_column_map(config.survey.preset)
    return foresee(config, WorkDirectory(work), survey, samples, ALL)


def listing(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


def told(capsys, small_survey, work, *arguments) -> tuple[int, str, str]:
    """Give the code and words of a dry run, which must write nothing."""
    before = listing(work)
    asked = [str(small_survey / "run.toml"), "--workdir", str(work), "--dry-run", *arguments]
    code = run.main(asked)
    assert listing(work) == before
    return code, *capsys.readouterr()


def test_a_finished_run_has_nothing_to_do(small_survey, work, capsys):
    assert not any(each.todo or each.follows for each in foreseen(small_survey, work))
    code, out, _ = told(capsys, small_survey, work)
    assert code == 0
    assert "to do     nothing" in out


def test_the_next_run_does_what_was_foreseen(
    small_survey, finished_run, workers, command, capsys, tmp_path
):
    work, changes = tmp_path / "work", []
    shutil.copytree(finished_run, work)
    for change, untouched, reason in (
        ("reduce.magnitude_step=0.5", {"infer xgboost", "products"}, "was 1.0 and is 0.5"),
        ("infer.batch_size=64", {"match", "train"}, "infer.batch_size was 512 and is 64"),
        ("train.trees.trees=9", {"ingest", "match"}, "train.trees.trees was 8 and is 9"),
        ("ingest.max_rows=200", {"ingest.read"}, "made from what is done anew"),
    ):
        changes.append(change)
        plan = foreseen(small_survey, work, *changes)
        options = [part for each in changes for part in ("--set", each)]
        assert reason in told(capsys, small_survey, work, *options)[1]
        done = command(
            *(small_survey / "run.toml", "--workdir", work, "--cluster", workers, *options),
            *("--log-format", "json"),
        )
        assert done.code == 0, done.err
        events = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
        did = {each["stage"]: each["tasks"] for each in events if each["event"] == "stage"}
        expected = {each.title: len(each.todo) for each in plan if not each.follows}
        assert expected == {title: did.get(title, 0) for title in expected}
        assert {title for title in expected if not expected[title]} >= untouched
        assert all(did.get(each.title, 0) <= each.at_most for each in plan if each.follows)
        assert {title for title in did if did[title]} <= {each.title for each in plan}
        again = foreseen(small_survey, work, *changes)
        assert not any(each.todo or each.follows for each in again)


def test_trees_stand_whatever_backend_networks_answer_with(small_survey, work):
    """Networks of Keras do not."""
    for other in ("infer.backend=jax", "infer.backend=openvino", "infer.precision=float32"):
        assert not any(each.todo for each in foreseen(small_survey, work, other))
        settings = load_config(small_survey / "run.toml", [other]).infer
        assert computing(network_entry("mlp"), settings) == settings != InferSettings()
        assert computing(network_entry("xgboost"), settings) == InferSettings()


def test_files_that_are_gone_are_seen(small_survey, work, capsys):
    score = next((work / "scores/xgboost").rglob("Npix=*.parquet"))
    hidden = score.rename(work.parent / "hidden")
    try:
        (infer,) = [e for e in foreseen(small_survey, work) if e.title == "infer xgboost"]
        assert (infer.stale, infer.damaged, infer.missing) == (1, 1, 0)
        assert "their files are gone" in told(capsys, small_survey, work)[1]
    finally:
        hidden.rename(score)


def test_a_fresh_start_does_everything(small_survey, work, capsys):
    code, out, _ = told(capsys, small_survey, work, "--fresh")
    assert code == 0
    (read,) = [line for line in out.splitlines() if line.startswith("  ingest.read")]
    assert read.split()[1:4] == ["0", "0", "5"]
    assert "to do     5 tasks, and what follows" in out


def test_a_fresh_start_where_no_run_was_is_refused(small_survey, tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("1,2")
    code, _, err = told(capsys, small_survey, tmp_path, "--fresh")
    assert code == 2
    assert "--fresh would empty" in err


OTHER = ("samples.other.preset=sdss_photometry", "train.sample=other")


def test_labels_of_a_new_sample_are_not_foreseen(small_survey, work):
    plan = {each.title: each for each in foreseen(small_survey, work, *OTHER)}
    assert plan["match"].stale == len(plan["match"].todo) > 1
    assert plan["train"].follows
    assert plan["infer xgboost"].at_most == len(plan["match"].todo)


def test_where_labels_may_be_found_a_network_is_not_said_to_stand(small_survey, work):
    """A network is made of the partitions with labels; the one matched anew had none."""
    paths = sorted((work / "receipts/match").glob("[0-9]*.json"))
    before = paths[0].read_text()
    old = json.loads(before)
    old |= {"fingerprint": "of labels then", "facts": old["facts"] | {"matched": {"sdss": 0}}}
    paths[0].write_text(json.dumps(old))
    summary = work / "receipts/match/summary.json"
    hidden = summary.rename(work.parent / "summary.json")
    try:
        plan = {each.title: each for each in foreseen(small_survey, work)}
    finally:
        paths[0].write_text(before)
        hidden.rename(summary)
    assert (plan["match"].stale, plan["match"].finished) == (1, len(paths) - 1)
    assert plan["train"].follows


def test_an_old_split_bounds_nothing(small_survey, work):
    plan = {each.title: each for each in foreseen(small_survey, work, "ingest.magnitude_limit=22")}
    assert len(plan["ingest.read"].todo) == 5
    others = [each for title, each in plan.items() if title != "ingest.read"]
    assert all(each.follows for each in others)
    assert {each.at_most for each in others if each.title != "train"} == {None}
    assert {each.rows for each in others if each.title != "train"} == {3000}


def test_before_the_first_run_later_stages_follow(small_survey, tmp_path, capsys):
    plan = foreseen(small_survey, tmp_path / "work")
    read, *others = plan
    assert (read.title, len(read.todo), read.rows) == ("ingest.read", 5, 3000)
    assert all(each.follows for each in others)
    assert [each.title for each in others] == [
        *("ingest", "match", "train", "infer xgboost", "reduce xgboost", "products")
    ]
    code, out, _ = told(capsys, small_survey, tmp_path / "work")
    assert code == 0
    assert re.search(r"time +about \d+:\d\d on 2 workers and what is not known; an estimate", out)
    assert not (tmp_path / "work").exists()


def test_a_disk_without_room_is_said(small_survey, tmp_path, capsys, monkeypatch):
    usage = shutil._ntuple_diskusage(2**40, 2**40, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    code, out, err = told(capsys, small_survey, tmp_path / "work")
    assert code == 6
    assert "1 kB free" in out
    assert "more were to be written below" in err
    assert "make room or give another --workdir" in err


def test_a_column_that_a_table_of_labels_lacks_is_said_before(small_survey, tmp_path, capsys):
    pq.write_table(pa.table({"ra": np.zeros(3), "dec": np.zeros(3)}), tmp_path / "labels.parquet")
    code, _, err = told(
        *(capsys, small_survey, tmp_path / "work"),
        *("--set", f"samples.sdss.tables={tmp_path}/labels.parquet"),
    )
    assert code == 3
    assert re.search(r"column class of .*labels\.parquet was asked for", err)


def test_what_fits_in_a_terminal(small_survey, work, capsys):
    for arguments in ((), ("--set", "infer.batch_size=64"), ("--set", "ingest.max_rows=200")):
        lines = told(capsys, small_survey, work, *arguments)[1].splitlines()
        assert all(len(line) <= 80 for line in lines if str(work) not in line)
