"""Clients and workers that do not belong: without the certificate, or with another kidsclf."""

import os
import subprocess
import sys
import time

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


def test_pages_of_other_sites_do_not_reach_the_dashboard():
    allowed = DASHBOARD_OPTIONS[
        "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin"
    ]
    assert "*" not in allowed
    assert set(allowed) == {"127.0.0.1", "localhost"}
