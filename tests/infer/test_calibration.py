"""Calibration: the temperature of scikit-learn, and sets that keep the promise of the theorem."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from kidsclf.infer.calibration import (
    Calibration,
    _log_softmax,
    calibrate,
    fit_calibration,
    prediction_sets,
    set_names,
    sets_from_names,
)

CLASSES = ("STAR", "QSO", "GALAXY")


class Said(ClassifierMixin, BaseEstimator):
    """Hands on the probabilities that it is given."""

    def fit(self, features, codes):
        self.classes_ = np.unique(codes)
        self.n_features_in_ = features.shape[1]
        return self

    def predict_proba(self, features):
        return features

    def predict(self, features):
        return features.argmax(axis=1)


def overconfident(seed, rows, factor=2.0):
    """Draw classes from softmax(z), and say softmax(factor z)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (rows, 3))
    true, said = (np.exp(k * z) / np.exp(k * z).sum(axis=1, keepdims=True) for k in (1, factor))
    codes = (true.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return said.astype(np.float32), codes


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_one_that_was_put_in_and_that_of_scikit_learn(factor):
    said, codes = overconfident(1, 8000, factor)
    found = fit_calibration(said, codes, 0.9).temperature
    assert found == pytest.approx(factor, rel=0.05)
    theirs = CalibratedClassifierCV(FrozenEstimator(Said().fit(said, codes)), method="temperature")
    expected = theirs.fit(said, codes).predict_proba(said)
    np.testing.assert_allclose(calibrate(said, found), expected, atol=1e-3)


def test_calibration_keeps_the_order_of_classes_and_each_source_to_itself():
    said, _ = overconfident(2, 1000)
    whole = calibrate(said, 1.7)
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-6)
    assert (np.argsort(whole, axis=1) == np.argsort(said, axis=1)).all()
    assert (calibrate(said[::-7], 1.7) == whole[::-7]).all()
    np.testing.assert_allclose(calibrate(said, 1.0), said, rtol=1e-6)
    fitted = np.exp(_log_softmax(said, 1.7))  # the formula by which the temperature is fitted
    np.testing.assert_allclose(whole, fitted, rtol=2e-7)


def test_certain_answers_stay_finite():
    said = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    assert np.isfinite(calibrate(said, 3.0)).all()
    assert fit_calibration(said, np.array([0, 2]), 0.5).temperature > 1


def test_a_small_sample_without_errors_does_not_make_all_answers_certain():
    said = np.tile(np.array([[0.9, 0.06, 0.04]], np.float32), (30, 1))
    found = fit_calibration(said, np.zeros(30, np.int64), 0.95)
    assert 0.3 < found.temperature < 1


@pytest.mark.parametrize(("rows", "coverage"), [(60, 0.9), (300, 0.95)])
def test_sets_hold_each_class_as_often_as_the_theorem_says(rows, coverage):
    held, expected = [], []
    for seed in range(150):
        said, codes = overconfident(seed, 4 * rows)
        thresholds = fit_calibration(said[:rows], codes[:rows], coverage)
        new = calibrate(said[rows:], thresholds.temperature)
        inside = prediction_sets(new, thresholds.thresholds)
        for code in range(3):
            members = codes[rows:] == code
            held.append(inside[members, code].mean())
            known = np.count_nonzero(codes[:rows] == code)
            expected.append(min(np.ceil((known + 1) * coverage) / (known + 1), 1))
    error = np.std(held) / np.sqrt(len(held))
    assert np.mean(held) == pytest.approx(np.mean(expected), abs=4 * error)
    assert np.mean(held) > coverage - 4 * error


def test_a_class_of_which_too_little_is_known_is_in_every_set():
    said, codes = overconfident(3, 500)
    few = (codes != 1) | (np.cumsum(codes == 1) <= 18)
    found = fit_calibration(said[few], codes[few], 0.95)
    assert found.thresholds[1] == 0.0, "19 would do"
    assert min(found.thresholds[0], found.thresholds[2]) > 0
    assert prediction_sets(said, found.thresholds)[:, 1].all()


def test_sources_without_an_answer_count_for_nothing_and_have_an_empty_set():
    said, codes = overconfident(4, 400)
    with_gaps = np.concatenate([said, np.full((9, 3), np.nan, np.float32)])
    both = [
        fit_calibration(said, codes, 0.9),
        fit_calibration(with_gaps, np.r_[codes, np.zeros(9, np.int64)], 0.9),
    ]
    assert both[0] == both[1]
    calibrated = calibrate(with_gaps, both[0].temperature)
    assert np.isnan(calibrated[-9:]).all()
    assert not prediction_sets(calibrated, (0.0, 0.0, 0.0))[-9:].any()


def test_a_threshold_is_reached_by_the_source_that_set_it():
    said, codes = overconfident(5, 200)
    found = fit_calibration(said, codes, 0.9)
    inside = prediction_sets(calibrate(said, found.temperature), found.thresholds)
    for code in range(3):
        members = np.count_nonzero(codes == code)
        rank = np.ceil(round((members + 1) * 0.9, 9))
        assert np.count_nonzero(inside[codes == code, code]) == rank


def test_sets_as_text_and_back():
    inside = np.array(np.meshgrid(*[[False, True]] * 3)).reshape(3, -1).T
    names = set_names(inside, CLASSES)
    assert sorted(names.to_pylist()) == sorted(
        ["", "STAR", "QSO", "GALAXY", "STAR+QSO", "STAR+GALAXY", "QSO+GALAXY", "STAR+QSO+GALAXY"]
    )
    assert (sets_from_names(pa.chunked_array([names]), CLASSES) == inside).all()
    nothing = set_names(np.zeros((0, 3), bool), CLASSES)
    assert sets_from_names(pa.chunked_array([nothing]), CLASSES).shape == (0, 3)


def test_numbers_that_are_told_are_those_that_were_used():
    found = fit_calibration(*overconfident(6, 300), 0.9)
    assert found == Calibration(round(found.temperature, 4), found.thresholds)
    assert all(float(np.float32(each)) == each for each in found.thresholds)
