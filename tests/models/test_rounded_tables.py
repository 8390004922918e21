"""Tables in 16 bits say what the exact ones say, but for less than bfloat16 rounds off."""

import importlib

import ml_dtypes
import numpy as np
import pytest
from as_trained import as_if_trained
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.models.backend import prepare_backend
from kidsclf.models.compiled_pairs import SHARES
from kidsclf.models.description import InputDescription

prepare_backend("tensorflow", 2)


from kidsclf.models.photometry_tables import PhotometryTables  # noqa: E402
from kidsclf.models.piecewise import PiecewiseLinear, thinned  # noqa: E402
from kidsclf.models.rounded_tables import (  # noqa: E402
    TOLERANCE,
    RoundedTables,
)
from kidsclf.models.table import network_entry  # noqa: E402


@given(st.integers(2, 60), st.floats(1e-3, 1.0), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_fewer_pieces_stay_within_the_tolerance(count, tolerance, seed):
    rng = np.random.default_rng(seed)
    nodes = np.unique(rng.normal(0, 3, count + 2).astype(np.float32))
    line = PiecewiseLinear(nodes, np.cumsum(rng.normal(0, 0.2, (len(nodes), 3)), axis=0))
    fewer = thinned(line, tolerance)
    assert {fewer.nodes[0], fewer.nodes[-1]} == {nodes[0], nodes[-1]}
    for before, after in zip(line.values.T, fewer.values.T, strict=True):
        apart = before - np.interp(nodes, fewer.nodes, after)
        assert np.abs(apart).max() <= tolerance + 1e-9
    assert len(thinned(line, 1e3).nodes) == 2
    assert len(thinned(line, 0.0).nodes) >= len(fewer.nodes)


@pytest.fixture(scope="module")
def exact():
    description = InputDescription(tuple("ugriZYJHK"), (), 21, ("STAR", "QSO", "GALAXY"))
    module, function = network_entry("mlp").builder.split(":")
    model = getattr(importlib.import_module(module), function)(description, 0)
    return PhotometryTables.of(as_if_trained(model, 5))


@pytest.fixture(scope="module")
def photometry():
    rng = np.random.default_rng(8)
    drawn = rng.normal(10, 9, (3000, 17)).astype(np.float32)
    drawn[rng.random(drawn.shape) < 0.05] = np.nan
    drawn[:5] = [[99.0], [-99.0], [np.nan], [np.inf], [-np.inf]]
    return drawn


def in_whole_numbers(tables, photometry):
    """Do what the loop does in Python's own numbers, which do not overflow."""
    low, features = tables.pieces[0, 0], np.arange(photometry.shape[1])
    last_of = np.flatnonzero(np.isinf(tables.pieces[:, 1]))
    first_of = np.append(0, last_of[:-1] + 1)
    with np.errstate(invalid="ignore"):
        value = (photometry - tables.centre) * tables.factor
    value = np.clip(np.where(np.isnan(value), np.float32(0), value), low, -low)
    totals = np.zeros((len(photometry), len(tables.bias)), object)
    for feature in features:
        own = slice(first_of[feature], last_of[feature] + 1)
        piece = np.searchsorted(tables.pieces[own, 0], value[:, feature], side="right") - 1
        piece = np.maximum(piece, 0) + own.start
        apart = (value[:, feature] - tables.pieces[piece, 0]) * tables.density[piece]
        share = np.clip((apart + np.float32(0.5)).astype(np.int64), 0, SHARES)[:, None]
        ends = tables.pairs[piece].astype(object)
        totals += (SHARES - share) * ends[:, :, 0] + share * ends[:, :, 1]
    return totals


def test_sums_are_exact_in_whole_numbers(exact, photometry):
    tables = RoundedTables.of(exact)
    totals = in_whole_numbers(tables, photometry[:200])
    said = totals.astype(np.float32) * tables.step + tables.bias
    expected = np.maximum(said, 0).astype(ml_dtypes.bfloat16)
    told = tables.told(photometry[:200], 1)
    assert told.dtype == ml_dtypes.bfloat16
    # A compiler may fuse the last product and sum, which rounds once instead of twice.
    apart = np.abs(told.view(np.int16).astype(int) - expected.view(np.int16).astype(int))
    assert apart.max() <= 1
    assert (apart == 0).mean() > 0.999


def test_what_is_rounded_off_is_little_more_than_by_bfloat16_alone(exact, photometry):
    sums = np.maximum(exact.sums(photometry, 1), 0)
    told = RoundedTables.of(exact).told(photometry, 1).astype(np.float32)
    alone = sums.astype(ml_dtypes.bfloat16).astype(np.float32)
    off, off_alone = (np.sqrt(np.mean((each - sums) ** 2)) for each in (told, alone))
    assert off < 1.2 * off_alone
    usual = np.sqrt(np.mean(sums**2))
    assert np.abs(told - sums).max() < np.abs(sums).max() * 2**-8 + 17 * 2 * TOLERANCE * usual


def test_one_row_at_a_time_or_in_two_threads_gives_the_same_bits(exact, photometry):
    tables = RoundedTables.of(exact)
    whole = tables.told(photometry, 1)
    assert tables.told(photometry, 2).tobytes() == whole.tobytes()
    alone = [tables.told(photometry[row : row + 1], 1) for row in range(50)]
    assert np.concatenate(alone).tobytes() == whole[:50].tobytes()


@pytest.mark.parametrize("features", [1, 17, 119])
def test_no_sum_overflows(features):
    """All functions reach their largest values at one place: the largest sum that can be."""
    nodes = np.linspace(-8, 8, 5).astype(np.float32)
    steep = np.array([-1.0, 1.0, -1.0, 1.0, -1.0], np.float32)
    tables = np.repeat(np.repeat(steep[None, :, None], features, axis=0), 64, axis=2)
    zeros, ones = np.zeros(features, np.float32), np.ones(features, np.float32)
    exact = PhotometryTables(
        zeros, ones, nodes, np.zeros(1, np.int32), 1e6 * tables, np.zeros(64, np.float32)
    )
    asked = np.tile(np.linspace(-9, 9, 37, dtype=np.float32)[:, None], (1, features))
    expected = features * 1e6 * np.interp(asked[:, 0], nodes, steep)
    told = RoundedTables.of(exact).told(asked, 1).astype(np.float64)
    off = np.abs(told - np.maximum(expected, 0)[:, None]) / (features * 1e6)
    assert off.max() < 2**-8


def test_a_network_that_says_one_thing_says_it(exact):
    flat = PhotometryTables(
        exact.centre,
        exact.width,
        exact.nodes,
        exact.before,
        np.full_like(exact.tables, 0.25),
        np.ones(512, np.float32),
    )
    assert (RoundedTables.of(flat).told(np.zeros((3, 17), np.float32), 1) == 5.25).all()


@pytest.mark.parametrize(("value", "node"), [(np.nan, 5), (1e4, 0)])
def test_what_would_be_rounded_off_too_much_is_left_to_the_exact_tables(exact, value, node):
    """Numbers that are none, and a function so steep far out that the steps become coarse."""
    tables = exact.tables.copy()
    tables[3, node, 5] = value
    parts = (exact.centre, exact.width, exact.nodes, exact.before, tables, exact.bias)
    assert RoundedTables.of(PhotometryTables(*parts)) is None
