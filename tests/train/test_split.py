"""Splits and folds are a property of the identifier."""

import numpy as np
import pytest

from kidsclf.errors import ConfigError
from kidsclf.train.split import fold_of, split_of

NAMES = np.array([f"KiDSDR5 J{number:09d}" for number in range(100_000)])


def test_shares_are_met_and_every_source_stands_once():
    split = split_of(NAMES, validation_fraction=0.1, test_fraction=0.2)
    share = {name: (split == name).mean() for name in ("train", "validation", "test")}
    assert sum(share.values()) == pytest.approx(1.0)
    assert share["validation"] == pytest.approx(0.1, abs=0.005)
    assert share["test"] == pytest.approx(0.2, abs=0.005)


def test_neither_order_nor_company_matters():
    split = split_of(NAMES, validation_fraction=0.1, test_fraction=0.2)
    order = np.random.default_rng(1).permutation(len(NAMES))[:777]
    again = split_of(NAMES[order], validation_fraction=0.1, test_fraction=0.2)
    np.testing.assert_array_equal(again, split[order])
    np.testing.assert_array_equal(fold_of(NAMES[order], 5), fold_of(NAMES, 5)[order])


def test_a_larger_test_share_only_adds_to_the_test_sample():
    small = split_of(NAMES[:5000], validation_fraction=0.0, test_fraction=0.1) == "test"
    large = split_of(NAMES[:5000], validation_fraction=0.0, test_fraction=0.3) == "test"
    assert (small <= large).all()


def test_folds_are_even_and_independent_of_the_split():
    fold = fold_of(NAMES, 5)
    np.testing.assert_allclose(np.bincount(fold, minlength=5) / len(fold), 0.2, atol=0.005)
    test = split_of(NAMES, validation_fraction=0.1, test_fraction=0.2) == "test"
    np.testing.assert_allclose(np.bincount(fold[test], minlength=5) / test.sum(), 0.2, atol=0.01)


def test_numbers_serve_as_names_and_none_are_no_trouble():
    np.testing.assert_array_equal(fold_of(np.arange(9), 3), fold_of(map(str, range(9)), 3))
    assert len(split_of([], validation_fraction=0.1, test_fraction=0.2)) == 0


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ConfigError, match="nothing to train on"):
        split_of(NAMES[:3], validation_fraction=0.5, test_fraction=0.5)
    with pytest.raises(ConfigError, match=r"train\.folds"):
        fold_of(NAMES[:3], 1)
