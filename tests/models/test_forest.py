"""Trees laid out answer as XGBoost does, whatever they are like and whatever stands beside."""

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import PlanError
from kidsclf.models.description import InputDescription
from kidsclf.models.forest import Forest, ForestNetwork
from kidsclf.models.table import network_entry
from kidsclf.models.trees import TreeNetwork

FEATURES, CLASSES = 7, 3
DATA = InputDescription(tuple("ugri"), (), 0, ("STAR", "QSO", "GALAXY"))


def _sample(seed, rows, missing=0.1):
    rng = np.random.default_rng(seed)
    photometry = rng.normal(20, 2, (rows, FEATURES)).round(2).astype(np.float32)
    codes = (photometry[:, 0] > photometry[:, 1]) + (rng.random(rows) < 0.3)
    photometry[rng.random(photometry.shape) < missing] = np.nan
    return photometry, codes


def _grow(photometry, codes, rounds=4, **given):
    parameters = {"objective": "multi:softprob", "num_class": CLASSES, "nthread": 1, "seed": 1}
    matrix = xgboost.DMatrix(photometry, label=codes, nthread=1)
    return xgboost.train({**parameters, "eta": 0.5, **given}, matrix, rounds)


@pytest.fixture(scope="module")
def booster():
    return _grow(*_sample(1, 2_000), max_depth=7)


@given(
    depth=st.integers(1, 9),
    bins=st.sampled_from([4, 256, 600]),
    missing=st.sampled_from([0.0, 0.1, 0.9]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_answers_are_those_of_xgboost(depth, bins, missing, seed):
    photometry, codes = _sample(seed, 900, missing)
    booster = _grow(photometry, codes, max_depth=depth, max_bin=bins, min_child_weight=0)
    asked = np.concatenate([photometry, _sample(seed + 1, 300, 0.5)[0]])
    asked[0] = np.nan
    forest = Forest.of(booster)
    np.testing.assert_array_max_ulp(forest.ask(asked), booster.inplace_predict(asked), 2)


def test_more_cuts_than_a_byte_counts():
    photometry, _ = _sample(1, 3_000)
    codes = np.random.default_rng(1).integers(0, CLASSES, 3_000)
    booster = _grow(photometry, codes, rounds=10, max_depth=9, max_bin=3_000, min_child_weight=0)
    forest = Forest.of(booster)
    assert forest.rank is np.uint16
    np.testing.assert_array_max_ulp(forest.ask(photometry), booster.inplace_predict(photometry), 2)


def test_trees_without_a_split():
    photometry, codes = _sample(1, 50)
    booster = _grow(photometry, codes, gamma=1e9)
    said = Forest.of(booster).ask(photometry)
    np.testing.assert_array_max_ulp(said, booster.inplace_predict(photometry), 2)


def test_numbers_at_the_cuts_go_the_same_way(booster):
    cuts = Forest.of(booster).cuts
    asked = np.resize(cuts[np.isfinite(cuts)], (500, FEATURES))
    asked = np.concatenate(
        [asked, np.nextafter(asked, np.float32(-np.inf)), 0 * asked, -0.0 * asked]
    )
    np.testing.assert_array_max_ulp(
        Forest.of(booster).ask(asked), booster.inplace_predict(asked), 2
    )


@given(cut=st.integers(0, 700), threads=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_an_answer_does_not_depend_on_what_stands_beside(booster, cut, threads):
    photometry, _ = _sample(2, 700)
    network = ForestNetwork(DATA, Forest.of(booster), threads)
    parts = [network.predict(part, None, 64) for part in (photometry[:cut], photometry[cut:])]
    np.testing.assert_array_equal(
        np.concatenate(parts), Forest.of(booster).ask(photometry), strict=True
    )


@pytest.mark.parametrize(
    "given_",
    [
        {"booster": "dart"},
        {"max_depth": 14, "min_child_weight": 0, "tree_method": "exact", "eta": 0.01},
        {"multi_strategy": "multi_output_tree"},
    ],
    ids=["dart", "deep", "vectors"],
)
def test_what_cannot_be_laid_out_is_left_to_xgboost(given_):
    photometry, codes = _sample(1, 3_000)
    booster = _grow(photometry, codes, rounds=1, **given_)
    network = TreeNetwork(network_entry("xgboost"), DATA, booster)
    assert ForestNetwork.of(network, 1) is network


def test_categories_are_left_to_xgboost():
    photometry, codes = _sample(1, 300, 0)
    matrix = xgboost.DMatrix(
        np.floor(photometry).clip(0),
        label=codes,
        feature_types=["c"] * FEATURES,
        enable_categorical=True,
    )
    booster = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "nthread": 1}, matrix, 1
    )
    assert Forest.of(booster) is None


def test_trees_of_other_data_are_left_to_xgboost(booster):
    other = InputDescription(tuple("ugriz"), (), 0, DATA.classes)
    network = TreeNetwork(network_entry("xgboost"), other, booster)
    assert ForestNetwork.of(network, 1) is network


def test_photometry_of_another_width_is_refused(booster):
    forest = Forest.of(booster)
    assert forest is not None
    width = len(forest.cuts)
    for wrong in (width - 1, width + 1):
        with pytest.raises(PlanError, match=f"asked about sources with {wrong}"):
            forest.ask(np.zeros((4, wrong), np.float32))


def test_a_model_too_large_to_be_read_is_left_to_xgboost(booster, monkeypatch):
    monkeypatch.setattr("kidsclf.models.forest._LARGEST_BYTES", len(booster.save_raw("ubj")) - 1)
    assert Forest.of(booster) is None
