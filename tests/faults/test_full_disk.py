"""A work directory that takes no more: said in one sentence, and mended without loss."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import finished_files, until, whole


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """A file system in memory, mounted with the options given, or mounted anew with others."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        options = f"remount,{options}" if mounted else options
        asked = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]

        def done() -> bool:  # it is refused for as long as a file is being written
            said = subprocess.run(asked, capture_output=True, text=True, check=False)
            if said.returncode and not mounted:
                pytest.skip(f"no file system can be mounted here: {said.stderr.strip()}")
            return said.returncode == 0

        until(done, pause=0.002)
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def used_kib(work: Path) -> int:
    return int(subprocess.check_output(["du", "-sk", "--apparent-size", work]).split()[0])


def test_a_full_disk(start, cluster, undisturbed, small_disk):
    before = {}
    for share in (0.3, 0.8):
        work = small_disk(f"size={int(share * used_kib(undisturbed))}k") / "work"
        run = start(work, "--cluster", cluster.address)
        assert run.follow() == 4, run.said
        said = f"results were to be written below {work}, but no space is left there"
        assert said in run.said[-1]
        assert before.items() <= finished_files(work).items()
        before = finished_files(work)
    small_disk("size=1g")
    run = start(work, "--cluster", cluster.address)
    assert run.follow() == 0, run.said
    assert before.items() <= finished_files(work).items()
    assert whole(work, undisturbed)


def test_a_disk_that_turns_read_only(start, cluster, undisturbed, small_disk):
    work = small_disk("size=1g") / "work"

    def turn(event):
        if event["event"] == "stage" and event["stage"].startswith("infer"):
            small_disk("ro")

    run = start(work, "--cluster", cluster.address)
    assert run.follow(turn) == 4, run.said
    assert "its file system is read-only" in run.said[-1]
    run = start(work, "--cluster", cluster.address)
    assert run.follow() == 2  # it is read-only from the start
    assert f"--workdir {work} was to be written to" in run.said[-1]
    small_disk("rw,size=1g")
    before = finished_files(work)
    run = start(work, "--cluster", cluster.address)
    assert run.follow() == 0, run.said
    assert before.items() <= finished_files(work).items()
    assert whole(work, undisturbed)
