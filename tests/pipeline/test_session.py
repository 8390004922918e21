"""A finished run in Python: tables, stamps and a function of one's own on real workers."""

import subprocess
import sys

import numpy as np
import pandas as pd
import psutil
import pyarrow.dataset as ds
import pytest
import zarr

import kidsclf
from kidsclf.errors import ConfigError, StoreError
from kidsclf.session import open_session


@pytest.fixture(scope="module")
def session(image_run, workers):
    with open_session(image_run, workers) as opened:
        yield opened


@pytest.fixture(scope="module")
def table(image_run) -> pd.DataFrame:
    """Photometry of the run in the order of the sky, read without kidsclf."""
    dataset = ds.dataset(image_run / "catalog/dataset", exclude_invalid_files=True)
    return dataset.to_table().to_pandas().sort_values(["_healpix_29", "name"], ignore_index=True)


def test_it_is_offered_by_the_package():
    assert kidsclf.open_session is open_session
    with pytest.raises(AttributeError, match="has no attribute 'open_sessions'"):
        kidsclf.open_sessions  # noqa: B018


def test_it_says_where_to_watch(session):
    assert session.dashboard.startswith("http://127.0.0.1:")
    assert session.dashboard in repr(session)


def test_tables_are_dask_dataframes_in_the_order_of_the_sky(session, table, image_run):
    frame = session.catalogue(["name", "ra", "dec", "mag_r"])
    assert frame.npartitions == len(session.partitions()) > 1
    found = frame.compute()
    assert found["name"].tolist() == table["name"].tolist()
    np.testing.assert_array_equal(found["mag_r"].to_numpy(), table["mag_r"].to_numpy())
    assert session.scores()["name"].compute().tolist() == table["name"].tolist()
    trees = ds.dataset(image_run / "scores/xgboost/dataset", exclude_invalid_files=True)
    expected = trees.to_table(["p_qso"])["p_qso"].to_numpy().sum(dtype=np.float64)
    summed = session.scores("xgboost")["p_qso"].astype("float64").sum().compute()
    assert summed == pytest.approx(expected)


def test_lsdb_searches_a_cone(session, table):
    ra, dec = table["ra"][0], table["dec"][0]
    found = session.lsdb_catalogue().cone_search(ra, dec, radius_arcsec=60).compute()
    assert table["name"][0] in set(found["name"])
    assert 0 < len(found) < len(table)


def test_stamps_come_in_the_order_of_the_names(session, table, image_run):
    names = table["name"].sample(20, random_state=1).tolist()
    found = session.cutouts(names)
    assert found.sources["name"].tolist() == names
    assert found.stamps["r"].shape == (20, 41, 41)
    partition = session.partitions()[0]
    group = zarr.open_group(
        image_run / f"cutouts.zarr/norder-{partition.order}/npix-{partition.pixel}", mode="r"
    )
    first = session.cutouts([table["name"][0]])
    by_hand = group["r"][0].astype("float32") * group["r_step"][0]
    np.testing.assert_array_equal(first.stamps["r"][0], by_hand)
    assert first.flags[0] == group["flags"][0]


def test_stamps_of_a_cone_are_those_of_its_sources(session, table):
    ra, dec = table["ra"][5], table["dec"][5]
    found = session.cutouts(cone=(ra, dec, 90.0))
    # small angles, by hand; the field crosses RA 0
    east = (table["ra"] - ra + 180) % 360 - 180
    apart = 3600 * np.hypot(east * np.cos(np.radians(dec)), table["dec"] - dec)
    assert found.sources["name"].tolist() == table["name"][apart <= 90.0].tolist()
    assert len(found.stamps["r"]) == len(found.flags) == len(found.sources) > 1
    empty = session.cutouts(cone=(ra + 90.0, -dec, 10.0))
    assert empty.stamps["r"].shape == (0, 41, 41)


def brightest(sources: pd.DataFrame, stamps: dict) -> tuple[int, float, float]:
    return len(sources), float(np.nanmax(stamps["r"])), float(sources["p_max"].sum())


def test_a_function_sees_photometry_scores_and_stamps(session, table):
    made = session.map_partitions(brightest, columns=["mag_r"], network="mlp", bands=["r"])
    assert len(made) == len(session.partitions())
    assert sum(rows for rows, _, _ in made) == len(table)
    p_max = session.scores("mlp")["p_max"].compute()
    assert sum(each for _, _, each in made) == pytest.approx(p_max.sum(), rel=1e-4)


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda s: s.cutouts(), ConfigError, "neither or both of names and cone"),
        (lambda s: s.cutouts(["nobody"]), StoreError, "such as 'nobody', are not in the catalogue"),
        (lambda s: s.cutouts(["nobody"], bands=["z"]), StoreError, "not in the catalogue"),
        (lambda s: s.scores("cnn"), ConfigError, "this run has mnn, mlp, xgboost"),
    ],
)
def test_what_is_not_there_is_named(session, ask, error, words):
    with pytest.raises(error, match=words):
        ask(session)


def test_no_run_no_session(tmp_path):
    with pytest.raises(ConfigError, match=r"it holds no run\.toml"):
        open_session(tmp_path)


SCRIPT = """
import os, sys
import kidsclf

def count(sources, stamps):
    return len(sources)

session = kidsclf.open_session(sys.argv[1], workers=1)
print(sum(session.map_partitions(count)))
print(*session.client.run(os.getpid).values())
session.close()
"""


def test_a_script_without_a_guard_has_a_session_that_ends_its_workers(image_run, table, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", image_run],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, worker = map(int, done.stdout.split())
    assert rows == len(table)
    assert not psutil.pid_exists(worker)
