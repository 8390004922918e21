"""What all tests share: the folder of real survey data, and the warnings that are not ours."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from s3_server import S3Server, environment, missing_programs, running_server
from warm_command import WarmCommand, warm_command

CHECKOUT = Path(__file__).resolve().parents[1]

TOLERATED_WARNINGS = (
    # lsdb's dependencies still set an option that pandas 3 made a no-op, when they are imported
    "ignore:The 'mode.chained_assignment' option is deprecated",
    # Keras on TensorFlow 2.21 calls NumPy 2's __array__ the old way when it saves and loads
    "ignore:__array__ implementation:DeprecationWarning",
    # nested-pandas, under lsdb's cone search, uses a keyword that pandas 3.1 deprecates
    "ignore:The inplace keyword in NestedFrame",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in TOLERATED_WARNINGS:
        config.addinivalue_line("filterwarnings", line)


TOGETHER = (
    "test_check.py", "test_explorer.py", "test_explorer_browser.py", "test_features_stage.py",
    "test_notebook.py", "test_object_store.py", "test_remote_runs.py", "test_remote_tables.py",
    "test_remote_tiles.py", "test_session.py", "test_with_images.py",
)  # fmt: skip
"""They share a run with images or a server of objects, which take minutes to make."""


class _ByFile(LoadFileScheduling):
    """Where processes share the suite, each takes files, and one of them those of ``TOGETHER``."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "together" if file.endswith(TOGETHER) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    return _ByFile(config, log)


@pytest.fixture(scope="session")
def survey_data() -> Path:
    """Folder of real survey files; tests that need it skip where it is absent."""
    named = os.environ.get("KIDSCLF_TEST_DATA")
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no survey data in {folder}; set KIDSCLF_TEST_DATA to the folder of them")
    return folder.resolve()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("Debian's chromium is not installed: tests/tools/debian_packages.sh chromium")
    return found


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmCommand]:
    """Starts the command without waiting for its imports."""
    with warm_command() as starting:
        yield starting


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[S3Server]:
    """A real S3 server on loopback (Ceph); this process and its children have its credentials."""
    missing = missing_programs()
    if missing:
        pytest.skip(f"no S3 server: {', '.join(missing)} of the Debian packages of Ceph missing")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        with running_server(tmp_path_factory.mktemp("s3") / "server") as server:
            yield server
