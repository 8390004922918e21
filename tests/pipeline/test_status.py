"""``kidsclf status``: how far a run has come, read from its folder alone."""

import json
import shutil

import pytest

from kidsclf.pipeline.status import status_of
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.lock import locked
from kidsclf.store.quarantine import Quarantined, write_quarantined


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


def test_what_is_left_and_why_it_ended_is_said(
    small_survey, finished_run, command, workers, tmp_path
):
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
    asked = (small_survey / "run.toml", "--workdir", work, "--cluster", workers)
    broken = command(*asked, "--stages", "infer")
    assert broken.code != 0
    failure = told(command, work)["failure"]
    assert failure["exit_code"] == broken.code
    assert failure["reason"] in broken.err
    assert failure["reason"] in command("status", work).out
    mended = command(*asked)
    assert mended.code == 0, mended.err
    status = told(command, work)
    assert status["done"]
    assert status["failure"] is None


def test_receipts_that_vouch_for_nothing_do_not_count(finished_run, command, tmp_path):
    """Those of another split, of a network that was taken out, and one that a power cut emptied."""
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    receipts = work / "receipts"
    emptied = min((receipts / "infer").glob("xgboost@*.json"))
    for name in ("xgboost@29_5.json", emptied.name.replace("xgboost", "mlp")):
        shutil.copy(emptied, receipts / "infer" / name)
    emptied.write_bytes(b"")
    status = told(command, work)
    stages = {each["stage"]: each for each in status["stages"]}
    assert stages["infer"]["finished"] == stages["infer"]["expected"] - 1
    assert stages["infer"]["state"] == "begun"
    assert not status["done"]


def test_what_was_left_out_before_is_not_waited_for(finished_run, tmp_path):
    work = WorkDirectory(tmp_path / "work")
    shutil.copytree(finished_run, work.root)
    receipt = min((work.receipts / "match").glob("[0-9]*.json"))
    label = json.loads(receipt.read_text())["task"]
    write_quarantined(work.quarantine, Quarantined("match", label, "", 7, "it cannot be read"))
    for stage in ("match", "infer", "reduce", "products"):
        (path,) = (work.receipts / stage).glob(f"*{receipt.stem}.json")
        path.unlink()
    states = {each.stage: each.state for each in status_of(work).stages}
    assert states["match"] == "done but for quarantine"
    assert {states[stage] for stage in ("infer", "reduce", "products")} == {"done"}
    assert status_of(work).done


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
    out = command("--help").out.replace("\n", " ")
    for name in ("status", "check", "query", "compare", "experiment"):
        assert f"kidsclf {name} (" in out
    assert command("status", "--help").code == 0


@pytest.mark.parametrize("name", ["status", "check"])
def test_a_command_lacks_nothing_but_its_folder(name, command):
    done = command(name)
    assert done.code == 2
    assert "WORKDIR" in done.err
