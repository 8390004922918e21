"""Opening and closing clusters: ports, addresses, environment, and what is left behind."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from kidsclf.cluster.open import KINDS, check_kind, open_cluster
from kidsclf.config import ClusterSettings
from kidsclf.errors import ClusterError, ConfigError


def opened(
    folder: Path, *, kind: str = "local", workers: int = 1, port: int = 0
) -> AbstractContextManager[Client]:
    settings = ClusterSettings(
        kind=kind, workers=workers, memory_gib_per_worker=1.0, dashboard_port=port
    )
    return open_cluster(
        settings,
        scratch=folder / "scratch",
        logs=folder / "logs",
        environment={"KIDSCLF_SAYS": "two words"},
    )


def listening_addresses(process: psutil.Process) -> set[str]:
    return {
        each.laddr.ip
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }


def port_of(client: Client) -> int:
    scheme, host, port = client.dashboard_link.removesuffix("/status").split(":")
    assert (scheme, host) == ("http", "//127.0.0.1")
    return int(port)


def test_a_local_cluster_listens_on_loopback_only_and_ends_its_workers(tmp_path):
    with opened(tmp_path, workers=2) as client:
        said = client.run(lambda: (os.getpid(), os.environ["KIDSCLF_SAYS"]))
        assert {words for _, words in said.values()} == {"two words"}
        processes = [psutil.Process(pid) for pid, _ in said.values()]
        assert len(processes) == 2
        for process in (psutil.Process(), *processes):
            assert listening_addresses(process) <= {"127.0.0.1"}
        with socket.create_connection(("127.0.0.1", port_of(client)), timeout=5):
            pass
        handlers = client.run(lambda: signal.getsignal(signal.SIGINT))
        assert set(handlers.values()) == {signal.SIG_IGN}
    assert not any(process.is_running() for process in processes)


def server_of_forks() -> psutil.Process:
    (server,) = (
        each for each in psutil.Process().children() if "forkserver" in str(each.cmdline())
    )
    return server


def test_workers_are_forked_after_imports_and_know_what_has_changed_since(tmp_path, monkeypatch):
    (tmp_path / "xgboost.py").write_text("raise RuntimeError('of the folder')")
    monkeypatch.chdir(tmp_path)
    for number in ("first", "second"):
        monkeypatch.setenv("KIDSCLF_TRIES", number)
        with opened(tmp_path) as client:
            server = server_of_forks()
            threads = {path.read_text() for path in Path(f"/proc/{server.pid}/task").glob("*/comm")}
            assert threads <= {Path(f"/proc/{server.pid}/comm").read_text(), "jemalloc_bg_thd\n"}
            ((parent, imported, tries),) = client.run(
                lambda: (os.getppid(), sys.modules["xgboost"].__file__, os.environ["KIDSCLF_TRIES"])
            ).values()
            assert parent == server.pid
            assert "site-packages" in imported
            assert tries == number
        assert not server.is_running()


def test_sessions_at_once_share_a_server_which_ends_with_the_last(tmp_path):
    first, second = opened(tmp_path / "one"), opened(tmp_path / "two")
    with second as client:
        with first:
            server = server_of_forks()
        assert server.is_running()
        (before,) = client.run(os.getpid).values()
        client.restart(wait_for_workers=True, timeout=60)
        (after,) = client.run(os.getpid).values()
        assert before != after
    assert not server.is_running()


def test_workers_start_afresh_with_their_environment(tmp_path):
    with opened(tmp_path) as client:
        ((first, _),) = client.run(lambda: (os.getpid(), os.environ["KIDSCLF_SAYS"])).values()
        client.restart(wait_for_workers=True, timeout=60)
        ((second, words),) = client.run(lambda: (os.getpid(), os.environ["KIDSCLF_SAYS"])).values()
        assert first != second
        assert words == "two words"


def test_a_dashboard_port_in_use_gives_way_to_a_free_one(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = taken.getsockname()[1]
        with opened(tmp_path, port=busy) as client:
            assert port_of(client) not in (0, busy)
            with socket.create_connection(("127.0.0.1", port_of(client)), timeout=5):
                pass


def test_the_wanted_dashboard_port_is_taken_when_free(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with opened(tmp_path, port=free) as client:
        assert port_of(client) == free


def test_a_cluster_that_runs_already_is_used_and_left_running(tmp_path):
    with LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        for _ in range(2):
            with opened(tmp_path, kind=cluster.scheduler_address) as client:
                assert client.submit(sum, (1, 2)).result() == 3
        assert len(cluster.scheduler.workers) == 1
    assert not (tmp_path / "scratch").exists()


def test_a_scheduler_without_workers_is_refused(tmp_path):
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        pytest.raises(ClusterError, match=r"has no workers; start some with 'dask worker"),
        opened(tmp_path, kind=cluster.scheduler_address),
    ):
        pytest.fail("opened")


@pytest.mark.parametrize("kind", ["nonsense", "Local", "", "localhost:8786"])
def test_an_unknown_kind_is_refused_with_the_known_ones(kind):
    with pytest.raises(ConfigError, match="local, cuda, slurm and a scheduler's address"):
        check_kind(ClusterSettings(kind=kind))


@pytest.mark.parametrize("kind", [*KINDS, "tcp://10.0.0.1:8786", "tls://head:8786"])
def test_known_kinds_pass(kind):
    check_kind(ClusterSettings(kind=kind))


@pytest.mark.parametrize("address", ["udp://127.0.0.1:1", "tcp://", "tcp://127.0.0.1:port"])
def test_an_address_that_is_none_is_refused(address, tmp_path):
    with pytest.raises(ClusterError, match="correct the address"), opened(tmp_path, kind=address):
        pytest.fail("opened")


def test_slurm_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="sbatch"), opened(tmp_path, kind="slurm"):
        pytest.fail("opened")
    assert list(tmp_path.iterdir()) == []


def test_an_address_without_encryption_where_it_is_demanded():
    """In a process of its own: Dask does not clear away a client that could not be made."""
    program = (
        "from pathlib import Path; from kidsclf.cluster.open import open_cluster; "
        "from kidsclf.config import ClusterSettings; "
        "settings = ClusterSettings(kind='tcp://127.0.0.1:9'); here = Path(); "
        "open_cluster(settings, scratch=here, logs=here, environment={}).__enter__()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "kidsclf.errors.ClusterError: --cluster tcp://127.0.0.1:9 was asked for" in done.stderr
    assert "encryption required by Dask configuration" in done.stderr
