"""``kidsclf status``: how far a run has come, read from its folder alone."""

import json
import shutil

import pytest

from kidsclf.store.lock import locked


def told(command, work):
    done = command("status", work, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_finished_run_is_done(finished_run, command):
    status = told(command, finished_run)
    assert status["done"]
    assert not status["running"]
    assert status["failure"] is None
    stages = {each["stage"]: each for each in status["stages"]}
    partitions = stages["ingest"]["expected"]
    assert partitions > 1
    for name in ("ingest", "match", "infer", "reduce", "products"):
        assert stages[name]["finished"] == stages[name]["expected"] == partitions, name
        assert stages[name]["state"] == "done"
    assert stages["train"]["finished"] == 1
    assert stages["cutouts"]["state"] == "left out"
    assert stages["infer"]["rows"] == stages["ingest"]["rows"] > 2000
    text = command("status", finished_run).out
    assert f"{partitions}/{partitions}" in text
    assert "done, no run is at work" in text


def test_what_is_left_and_why_it_ended_is_said(small_survey, finished_run, command, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    for receipt in sorted((work / "receipts/infer").glob("xgboost*"))[1:]:
        receipt.unlink()
    status = told(command, work)
    assert not status["done"]
    infer = next(each for each in status["stages"] if each["stage"] == "infer")
    assert (infer["finished"], infer["state"]) == (1, "begun")
    model = next((work / "models/xgboost").glob("model*"))
    model.write_bytes(b"broken")
    broken = command(
        *(small_survey / "run.toml", "--workdir", work, "--stages", "infer"),
        *("--set", "cluster.dashboard_port=0"),
    )
    assert broken.code != 0
    failure = told(command, work)["failure"]
    assert failure["exit_code"] == broken.code
    assert failure["reason"] in broken.err
    assert failure["reason"] in command("status", work).out
    mended = command(
        small_survey / "run.toml", "--workdir", work, "--set", "cluster.dashboard_port=0"
    )
    assert mended.code == 0, mended.err
    status = told(command, work)
    assert status["done"]
    assert status["failure"] is None


def test_a_run_at_work_is_seen_and_not_disturbed(finished_run, command):
    with locked(finished_run):
        assert told(command, finished_run)["running"]
    assert not told(command, finished_run)["running"]


def test_no_run_is_one_sentence(command, tmp_path):
    done = command("status", tmp_path)
    assert done.code == 2
    assert "holds no run.toml; give the --workdir of a run" in done.err
    assert len(done.err.splitlines()) == 1


def test_help_names_the_other_commands(command):
    out = command("--help").out
    assert "kidsclf status WORKDIR" in out.replace("\n", " ")
    assert command("status", "--help").code == 0


@pytest.mark.parametrize("name", ["status", "check"])
def test_a_command_lacks_nothing_but_its_folder(name, command):
    done = command(name)
    assert done.code == 2
    assert "WORKDIR" in done.err
