"""Calibrated probabilities and prediction sets in whole runs: plain, folds, pretrained."""

import json
import math
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from kidsclf.infer.calibration import calibrate, prediction_sets, set_names
from kidsclf.pipeline.infer import read_calibration, read_novelty
from kidsclf.schema import ScoreFlag
from kidsclf.store.catalogue import HatsCatalogue, in_sky_order
from kidsclf.store.tables import read_table

CLASSES = ("STAR", "QSO", "GALAXY")
COLUMNS = [f"p_{each}" for each in ("star", "qso", "galaxy")]


def scores(work):
    store = HatsCatalogue(work / "scores" / "xgboost")
    return [store.read(partition) for partition in in_sky_order(store.partitions())]


def metric(work, name):
    return pq.read_table(work / "metrics" / f"{name}.parquet").to_pylist()


def stacked(table, names):
    return np.stack([table[name].to_numpy() for name in names], axis=1)


@pytest.fixture(scope="module")
def folds_run(small_survey, command, workers, tmp_path_factory):
    work = tmp_path_factory.mktemp("folds") / "work"
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--cluster", workers),
        *("--set", "train.folds=2", "--set", "infer.coverage=0.9"),
        *("--stages", "ingest,match,train,infer,reduce"),
    )
    assert done.code == 0, done.err
    return work


@pytest.mark.parametrize(("run", "coverage"), [("finished_run", 0.95), ("folds_run", 0.9)])
def test_scores_hold_what_the_validation_sample_says(run, coverage, request):
    work = request.getfixturevalue(run)
    calibration = read_calibration(work / "models" / "xgboost", coverage)
    for table in scores(work):
        calibrated = calibrate(stacked(table, COLUMNS), calibration.temperature)
        told = stacked(table, [f"{name}_calibrated" for name in COLUMNS])
        assert told.dtype == np.float32
        np.testing.assert_array_equal(told, calibrated)
        names = set_names(prediction_sets(calibrated, calibration.thresholds), CLASSES)
        assert table["prediction_set"].to_pylist() == names.to_pylist()
        guess = np.array(CLASSES)[calibrated.argmax(axis=1)]
        assert (guess == table["class"].to_numpy(zero_copy_only=False)).all()


def test_scores_say_how_far_each_source_is_from_the_training_sample(finished_run):
    learnt = read_novelty(finished_run / "models" / "xgboost")
    assert learnt.bands == tuple("ugriz")
    catalogue = HatsCatalogue(finished_run / "catalog")
    kept = HatsCatalogue(finished_run / "products" / "catalog")
    counted = 0
    for partition in catalogue.partitions():
        table = HatsCatalogue(finished_run / "scores" / "xgboost").read(partition)
        photometry = catalogue.read(partition, [f"mag_{band}" for band in learnt.bands])
        magnitudes = stacked(photometry, photometry.column_names)
        distance = learnt.distances(magnitudes)
        np.testing.assert_array_equal(table["training_distance"].to_numpy(), distance)
        np.testing.assert_array_equal(table["novelty"].to_numpy(), learnt.novelty(distance))
        novel = (table["flags"].to_numpy() & ScoreFlag.NOVEL) != 0
        np.testing.assert_array_equal(novel, table["novelty"].to_numpy() >= np.float32(0.99))
        product = kept.read(partition)
        assert product["novelty"].equals(table["novelty"])
        assert b"lie closer" in product.schema.field("novelty").metadata[b"description"]
        counted += table.num_rows
    rows = metric(finished_run, "novelty_counts")
    assert sum(row["count"] for row in rows if math.isnan(row["r_low"])) == counted
    page = (finished_run / "report" / "index.html").read_text()
    assert "Sources by novelty: xgboost, all magnitudes, labelled: sample sdss" in page


def test_folds_are_judged_each_with_its_own_calibration(folds_run):
    held, count = 0, 0
    for fold in range(2):
        folder = folds_run / "models" / "folds" / f"xgboost-{fold}"
        calibration = read_calibration(folder, 0.9)
        table = read_table(folder / "scores.parquet")
        said = np.array(table["probabilities"].to_pylist(), np.float32)
        codes = table["code"].to_numpy()
        inside = prediction_sets(calibrate(said, calibration.temperature), calibration.thresholds)
        held += inside[np.arange(len(codes)), codes].sum()
        count += len(codes)
    (row,) = (
        row
        for row in metric(folds_run, "prediction_sets")
        if row["class"] == "ALL" and math.isnan(row["r_low"])
    )
    assert (row["count"], row["coverage"]) == (count, pytest.approx(held / count))
    judged = [r for r in metric(folds_run, "novelty_accuracy") if math.isnan(r["r_low"])]
    assert sum(r["count"] for r in judged) == count


def test_the_summary_and_the_page_tell_them(finished_run):
    trust = json.loads((finished_run / "metrics" / "summary.json").read_text())
    trust = trust["networks"]["xgboost"]["trust"]
    calibration = read_calibration(finished_run / "models" / "xgboost", 0.95)
    assert trust["temperature"] == calibration.temperature
    assert trust["prediction_sets"]["promised_coverage"] == 0.95
    assert tuple(trust["prediction_sets"]["thresholds"].values()) == calibration.thresholds
    wanted = {(r["class"], r["wanted"], r["value"]) for r in metric(finished_run, "wanted")}
    assert len(wanted) == 3 * 6
    page = (finished_run / "report" / "index.html").read_text()
    assert "Where to cut: xgboost, sample sdss" in page


def test_a_cut_that_is_named_can_be_made_in_the_catalogue(finished_run):
    """Count the selected test sources in the scores themselves."""
    columns = {
        name: np.concatenate([t[name].to_numpy(zero_copy_only=False) for t in scores(finished_run)])
        for name in ("name", "p_qso_calibrated", "flags")
    }
    sample = HatsCatalogue(finished_run / "samples" / "sdss")
    labelled = set()
    for partition in sample.partitions():
        labelled.update(sample.read(partition)["name"].to_pylist())
    member = np.array([name in labelled for name in columns["name"]])
    test = member & ((columns["flags"] & 64) == 0)
    for row in metric(finished_run, "wanted"):
        if row["class"] == "QSO" and not math.isnan(row["threshold"]):
            picked = test & (columns["p_qso_calibrated"] >= row["threshold"])
            assert np.count_nonzero(picked) == row["count"]


def test_a_calibration_travels_with_its_network(
    small_survey, finished_run, command, workers, tmp_path
):
    models = tmp_path / "models"
    shutil.copytree(finished_run / "models", models)
    arguments = (
        *(small_survey / "run.toml", "--workdir", tmp_path / "work", "--cluster", workers),
        *("--set", f"train.pretrained={models}", "--stages", "ingest,match,train,infer"),
    )
    done = command(*arguments)
    assert done.code == 0, done.err
    both = [
        np.concatenate([stacked(t, [f"{name}_calibrated" for name in COLUMNS]) for t in scores(w)])
        for w in (finished_run, tmp_path / "work")
    ]
    np.testing.assert_array_equal(*both)
    for file in ("novelty", "validation"):
        (models / "xgboost" / f"{file}.parquet").unlink()
        done = command(*arguments)
        assert done.code == 2
        assert f"{file}.parquet is not there" in done.err
