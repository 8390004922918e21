"""The main job over a small survey: what it leaves, and that others can open it."""

import importlib.util
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from work_directories import science_of, summary_of

from kidsclf.sky.partition import Partition


def test_rows_in_are_rows_out_and_cuts(finished_run):
    summary = summary_of(finished_run)
    cuts = [step for step in summary["cut_flow"] if step["stage"] == "ingest"]
    assert summary["rows_in"] == 3000
    assert summary["rows_in"] == summary["rows_out"] + sum(step["rows_cut"] for step in cuts)
    assert {step["step"] for step in cuts} >= {"bands", "coordinates", "duplicates"}
    assert 0 < summary["rows_out"] < 3000  # some lack a band


def test_the_catalogue_holds_exactly_the_sources_with_all_bands(finished_run, small_survey):
    raw = pa.concat_tables([pq.read_table(path) for path in sorted(small_survey.glob("*.parquet"))])
    whole = np.all([raw[band].to_numpy() > -9000 for band in "ugriz"], axis=0)
    table = Table.read(finished_run / "products/catalog.fits", hdu=1)
    assert sorted(table["RA"]) == pytest.approx(sorted(raw["ra"].to_numpy()[whole]))
    assert len(set(table["Name"])) == len(table)


def test_the_fits_table_has_the_promised_columns(finished_run):
    table = Table.read(finished_run / "products/catalog.fits", hdu=1)
    assert table.colnames == [
        *("Name", "RA", "DEC", "r", "class", "p_max", "p_star", "p_qso", "p_galaxy", "entropy"),
        *("p_star_calibrated", "p_qso_calibrated", "p_galaxy_calibrated", "prediction_set"),
        *("training_distance", "novelty", "flags"),
    ]
    probabilities = np.stack([table[f"p_{each}"] for each in ("star", "qso", "galaxy")], axis=1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.max(axis=1), table["p_max"].astype(np.float32))
    best = np.array(["STAR", "QSO", "GALAXY"])[probabilities.argmax(axis=1)]
    assert (table["class"].astype(str) == best).all()


@pytest.mark.parametrize("which", ["catalog", "scores/xgboost", "samples/sdss", "products/catalog"])
def test_partitions_are_sorted_contained_and_complete(finished_run, which):
    root = finished_run / which
    rows = 0
    for path in root.rglob("Npix=*.parquet"):
        partition = Partition(
            int(path.parent.parent.name.removeprefix("Norder=")),
            int(path.stem.removeprefix("Npix=")),
        )
        index = pq.read_table(path, partitioning=None)["_healpix_29"].to_numpy()
        assert 0 < len(index) <= 400
        assert partition.contains(index).all()
        assert (np.diff(index) >= 0).all()
        rows += len(index)
    assert rows == ds.dataset(root / "dataset", exclude_invalid_files=True).count_rows()
    assert f"hats_nrows={rows}" in (root / "hats.properties").read_text()


@pytest.mark.parametrize(("ra", "dec", "radius"), [(0.0, 0.0, 0.8), (10.0, 89.9, 0.7)])
def test_lsdb_answers_a_cone_search(finished_run, ra, dec, radius):
    import lsdb

    whole = Table.read(finished_run / "products/catalog.fits", hdu=1)
    centre = SkyCoord(ra, dec, unit="deg")
    inside = SkyCoord(whole["RA"], whole["DEC"], unit="deg").separation(centre).deg < radius
    for which in ("catalog", "scores/xgboost", "products/catalog"):
        found = lsdb.open_catalog(str(finished_run / which)).cone_search(ra, dec, radius * 3600)
        names = found.compute()["name"]
        assert sorted(names) == sorted(whole["Name"][inside].astype(str))
    assert inside.any()


def test_scores_and_metrics_agree(finished_run):
    summary = summary_of(finished_run)
    scores = ds.dataset(finished_run / "scores/xgboost/dataset", exclude_invalid_files=True)
    table = scores.to_table().to_pandas()
    assert table["class"].value_counts().to_dict() == summary["catalogue"]["classes"]
    network = summary["networks"]["xgboost"]
    assert set(network["classes"]) == {"STAR", "QSO", "GALAXY"}
    test_rows = int((table["flags"] & 64 == 0).sum())  # not trained on
    assert sum(each["support"] for each in network["classes"].values()) == test_rows
    assert 0.5 < network["accuracy"] <= 1.0


def test_the_test_sample_was_not_trained_on(finished_run):
    scores = ds.dataset(finished_run / "scores/xgboost/dataset", exclude_invalid_files=True)
    flags = scores.to_table(["flags"])["flags"].to_numpy()
    taught = (flags & 64 != 0).mean()
    assert 0.74 < taught < 0.86  # a tenth validates, a fifth tests


def test_the_page_stands_and_nothing_is_left_over(finished_run):
    page = (finished_run / "report/index.html").read_text()
    assert "<title>" in page
    assert not list(finished_run.rglob(".unfinished-*"))
    assert not (finished_run / "staging/catalogue").exists()
    assert not (finished_run / "scratch").exists()


def test_no_page_is_drawn_where_none_is_asked_for(finished_run, command, workers, tmp_path):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    asked = ("--workdir", work, "--cluster", workers, "--set", "run.report=false")
    page = (work / "report/index.html").read_bytes()
    done = command(*asked)
    assert done.code == 0, done.err
    assert (work / "report/index.html").read_bytes() == page  # it still tells of these tables
    assert science_of(work) == science_of(finished_run)
    done = command(*asked, "--set", "reduce.magnitude_step=0.5")
    assert done.code == 0, done.err
    assert "index.html" not in done.out
    assert not (work / "report/index.html").exists()  # it told of other tables


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_it_runs_on_another_backend(small_survey, command, tmp_path, backend):
    """A worker learns and answers on it. Its threads are those of before, so it stays."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; it is no dependency")
    work = tmp_path / "work"
    asked = ("train.neural.epochs=1", "train.threads=1", "cluster.workers=1")
    asked += (f"infer.backend={backend}", 'train.networks=["mlp"]', "cluster.dashboard_port=0")
    given = [word for each in asked for word in ("--set", each)]
    done = command(small_survey / "run.toml", "--workdir", work, *given)
    assert done.code == 0, done.err
    scores = ds.dataset(work / "scores/mlp/dataset", exclude_invalid_files=True).to_table()
    assert scores.num_rows == summary_of(work)["rows_out"]
    paths = list((work / "receipts/infer").glob("mlp@*.json"))
    receipts = [json.loads(each.read_text()) for each in paths]
    assert receipts
    assert {each["facts"]["answered_by"] for each in receipts} == {backend}
    said = np.stack([scores[f"p_{each}"] for each in ("star", "qso", "galaxy")], axis=1)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
