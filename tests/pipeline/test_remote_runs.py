"""Whole runs in an object store: the same bytes as on disk, whatever happens to the server."""

import os
import signal
import subprocess
import time

import pytest
from work_directories import COMMAND, science_of

from kidsclf.places import download_tree, files_below
from s3_server import environment, upload_folder

pytestmark = pytest.mark.s3

QUIET = ("--set", "cluster.dashboard_port=0")


@pytest.fixture(scope="module")
def bucket(s3_server):
    """A bucket; the environment says where its server is, as AWS's own tools read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", s3_server.address)
        yield s3_server.new_bucket()


@pytest.fixture(scope="module")
def remote_survey(small_survey, bucket, tmp_path_factory):
    """The small survey in the object store, and a local configuration that reads it there."""
    upload_folder(small_survey, bucket / "survey")
    text = (small_survey / "run.toml").read_text()
    path = tmp_path_factory.mktemp("remote") / "config.toml"
    path.write_text(text.replace('"catalogue-', f'"{bucket}survey/catalogue-'))
    return path


def started(config, work) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, config, "--workdir", str(work), *QUIET],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_receipts(work, stage: str, count: int, running: subprocess.Popen) -> None:
    while len(files_below(work / "receipts" / stage)) < count:
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)


def remote_science(work, folder) -> dict[str, bytes]:
    download_tree(work, folder)
    return science_of(folder)


def stamps_of(work) -> dict[str, bytes]:
    root = work / "cutouts.zarr"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.mark.faults
def test_a_server_that_goes_away_for_some_seconds_costs_nothing(
    s3_server, bucket, remote_survey, finished_run, tmp_path
):
    work = bucket / "outage"
    running = started(remote_survey, work)
    for stage, count in (("ingest", 2), ("infer", 3)):
        wait_for_receipts(work, stage, count, running)
        s3_server.kill()
        time.sleep(3)
        assert running.poll() is None, running.communicate()
        s3_server.start_again()
    _, error = running.communicate(timeout=300)
    assert running.returncode == 0, error
    assert remote_science(work, tmp_path) == science_of(finished_run)


@pytest.mark.faults
def test_a_killed_run_goes_on_where_it_stood(
    bucket, remote_survey, finished_run, command, tmp_path
):
    work = bucket / "killed"
    running = started(remote_survey, work)
    wait_for_receipts(work, "match", 2, running)
    refused = command(remote_survey, "--workdir", work, *QUIET)
    assert refused.code == 4
    assert f"process {running.pid} on " in refused.err
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    before = file_times(work / "receipts/ingest")
    done = command("--workdir", work)  # with the settings that it has kept
    assert done.code == 0, done.err
    assert "ingest " in done.err
    assert "finished before" in done.err
    assert remote_science(work, tmp_path) == science_of(finished_run)
    assert before == file_times(work / "receipts/ingest")


def file_times(folder) -> dict[str, float]:
    """When the receipts of partitions were written; those of the whole stage are written anew."""
    found = files_below(folder)
    return {path.name: path.stat().st_mtime for path in found if "_" in path.name}


def test_images_and_tables_come_from_and_go_to_an_object_store(
    mock_survey, image_run, bucket, command, tmp_path
):
    upload_folder(mock_survey / "survey", bucket / "images")
    text = (mock_survey / "run.toml").read_text()
    config = tmp_path / "config.toml"
    config.write_text(text.replace('"survey/', f'"{bucket}images/'))
    done = command(
        config, "--workdir", bucket / "image-run", "--set", "run.report=true", timeout=600.0
    )
    assert done.code == 0, done.err
    copy = tmp_path / "copy"
    download_tree(bucket / "image-run", copy)
    assert science_of(copy) == science_of(image_run)
    assert stamps_of(copy) == stamps_of(image_run)
    assert (copy / "report/index.html").stat().st_size > 10_000
    assert "secret" not in (copy / "run.toml").read_text()


def refusal(done) -> str:
    """Give what the command said when it refused: one sentence, no traceback."""
    assert "Traceback" not in done.err
    (line,) = done.err.strip().splitlines()
    return line.removeprefix("kidsclf: ")


def test_a_bucket_that_is_not_there(remote_survey, command, bucket):
    done = command(remote_survey, "--workdir", "s3://no-such-bucket-here/run", *QUIET)
    assert done.code == 4
    assert "s3://no-such-bucket-here/run" in refusal(done)
    assert "there is no such bucket; make it, or correct the path" in refusal(done)


def test_an_address_where_nobody_answers(small_survey, command, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    impatient = ("--set", "store.patience_seconds=1")
    done = command(small_survey / "run.toml", "--workdir", "s3://bucket/run", *QUIET, *impatient)
    assert done.code == 4
    assert "did not answer in" in refusal(done)
    assert "see that it and the network are up" in refusal(done)


def test_a_user_without_credentials(remote_survey, small_survey, command, bucket, monkeypatch):
    for name in environment():
        if name != "AWS_EC2_METADATA_DISABLED":
            monkeypatch.delenv(name)
    done = command(small_survey / "run.toml", "--workdir", bucket / "x", *QUIET)
    assert done.code == 4
    assert "Unable to locate credentials" in refusal(done)
    done = command(remote_survey, "--workdir", bucket / "x", *QUIET)
    assert done.code == 3
    assert "credentials" in refusal(done)


def test_a_user_without_rights(remote_survey, small_survey, command, bucket, monkeypatch):
    for name, value in environment("stranger").items():
        monkeypatch.setenv(name, value)
    done = command(small_survey / "run.toml", "--workdir", bucket / "x", *QUIET)
    assert done.code == 4
    assert "does not allow it" in refusal(done)
    assert "check the credentials" in refusal(done)
    done = command(remote_survey, "--workdir", bucket / "x", *QUIET)
    assert done.code == 3
    assert "may not be read" in refusal(done)
