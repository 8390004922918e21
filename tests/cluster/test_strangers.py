"""Clients and workers that do not belong: without the certificate, or with another kidsclf."""

import json
import os
import subprocess
import sys
import time

import dask
import pytest
from distributed import Client, LocalCluster

from kidsclf import __version__
from kidsclf.cluster.open import open_cluster
from kidsclf.cluster.security import DASHBOARD_OPTIONS, certified
from kidsclf.config import ClusterSettings
from kidsclf.errors import ClusterError


@pytest.mark.parametrize(
    ("package", "found"),
    [('__version__ = "0.0.1"', "it has version 0.0.1"), ("raise ImportError('broken')", "broken")],
)
def test_workers_with_another_kidsclf_are_refused(package, found, tmp_path):
    (tmp_path / "kidsclf").mkdir()
    (tmp_path / "kidsclf/__init__.py").write_text(package)
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address),
                *("--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)),
            ],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        try:
            with Client(cluster) as client:
                client.wait_for_workers(1, timeout=60)
            settings = ClusterSettings(kind=cluster.scheduler_address)
            asked = open_cluster(settings, scratch=tmp_path, logs=tmp_path, environment={})
            with pytest.raises(ClusterError) as error, asked:
                pytest.fail("opened")
        finally:
            worker.terminate()
            worker.wait(timeout=60)
    assert f"workers have to import kidsclf {__version__}" in str(error.value)
    assert found in str(error.value)


def test_who_lacks_the_certificate_is_not_let_in(tmp_path):
    security = certified(tmp_path / "certificates")
    other = certified(tmp_path / "of-another-run")
    with LocalCluster(
        n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", security=security
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        with Client(address, security=security, timeout="10s") as client:
            assert client.scheduler_info()["workers"] == {}
        with pytest.raises(OSError, match=r"(?i)certificate|ssl|tls|timed out"):
            Client(address, security=other, timeout="2s", set_as_default=False)
        with pytest.raises((OSError, TypeError)):
            Client(address, timeout="2s", set_as_default=False)
        with pytest.raises((OSError, RuntimeError)):
            Client(address.replace("tls://", "tcp://"), timeout="2s", set_as_default=False)
        time.sleep(0.1)
        assert len(cluster.scheduler.clients) == 1  # the cluster's own


def test_a_scheduler_with_certificates_of_one_s_own(tmp_path):
    """Processes as a user starts them; the run finds the certificates in Dask's configuration."""
    certified(tmp_path)
    files = {"ca-file": tmp_path / "certificate.pem"}
    for role in ("client", "scheduler", "worker"):
        files |= {f"{role}.cert": tmp_path / "certificate.pem", f"{role}.key": tmp_path / "key.pem"}
    tls = {f"distributed.comm.tls.{name}": str(path) for name, path in files.items()}
    environment = {
        **os.environ,
        **{f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": tls[key] for key in tls},
    }
    where, started = tmp_path / "scheduler.json", []
    try:
        for role, options in (
            ("scheduler", ("--protocol", "tls", "--host", "127.0.0.1", "--port", "0")),
            ("worker", ("--nthreads", "1", "--local-directory", str(tmp_path))),
        ):
            command = [sys.executable, "-m", f"distributed.cli.dask_{role}", "--no-dashboard"]
            started.append(
                subprocess.Popen(
                    [*command, "--scheduler-file", str(where), *options],
                    stderr=subprocess.DEVNULL,
                    env=environment,
                )
            )
        with dask.config.set(tls), Client(scheduler_file=str(where), timeout="120s") as client:
            client.wait_for_workers(1, timeout=120)
        address = json.loads(where.read_text())["address"]
        assert address.startswith("tls://")
        asked = (ClusterSettings(kind=address),)
        folders = {"scratch": tmp_path, "logs": tmp_path, "environment": {}}
        with dask.config.set(tls), open_cluster(*asked, **folders) as client:
            assert client.submit(sum, (1, 2)).result() == 3
        with pytest.raises(ClusterError) as error, open_cluster(*asked, **folders):
            pytest.fail("opened")
        assert f"--cluster {address} was asked for" in str(error.value)
        assert "distributed.comm.tls" in str(error.value)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(timeout=60)


def test_pages_of_other_sites_do_not_reach_the_dashboard():
    allowed = DASHBOARD_OPTIONS[
        "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin"
    ]
    assert "*" not in allowed
    assert set(allowed) == {"127.0.0.1", "localhost"}
