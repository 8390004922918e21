"""Novelty: a distance that units and batches do not change, and a share that holds its promise."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.errors import StoreError
from kidsclf.models.novelty import Novelty
from kidsclf.train.novelty import learn_novelty

BANDS = ("u", "g", "r", "i")


def draw(seed, rows, *, fainter=0.0):
    """Two classes with narrow colours and a wide range of brightness; a tenth lacks u."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, rows)
    colours = np.array([[1.2, 0.5, 0.0, -0.3], [0.2, 0.1, 0.0, -0.1]])[codes]
    r = rng.uniform(17, 20, rows) + fainter
    magnitudes = r[:, None] + colours + rng.normal(0, 0.05, (rows, 4))
    magnitudes[rng.random(rows) < 0.1, 0] = np.nan
    return magnitudes.astype(np.float32), codes


@pytest.fixture(scope="module")
def learnt():
    return learn_novelty(*draw(1, 3000), draw(2, 600)[0], BANDS, 5)


def test_new_sources_spread_evenly_whatever_is_missing(learnt):
    novelty = learnt.novelty(learnt.distances(draw(3, 4000)[0]))
    for level in (0.1, 0.5, 0.9, 0.99):
        # The validation sample moves a level by sqrt(level (1 - level) / 600).
        spread = 4 * np.sqrt(level * (1 - level) * (1 / 600 + 1 / 4000))
        assert (novelty < level).mean() == pytest.approx(level, abs=spread)
    assert novelty.min() >= 0
    assert novelty.max() <= np.float32(600 / 601)


def test_other_colours_and_fainter_sources_are_novel(learnt):
    strange = np.array([[19, 21.0, 19, 19.0], [26.2, 25.5, 25, 24.7], [np.nan, 19, 15, 21]])
    distances = learnt.distances(strange.astype(np.float32))
    assert (learnt.novelty(distances) == np.float32(600 / 601)).all()
    by_depth = [
        np.median(learnt.distances(draw(4, 500, fainter=shift)[0])) for shift in (0.0, 1.0, 3.0)
    ]
    assert by_depth == sorted(by_depth)


def test_the_answer_for_a_source_is_the_same_bits_in_any_batch(learnt):
    magnitudes, _ = draw(5, 1000)
    whole = learnt.distances(magnitudes)
    order = np.random.default_rng(0).permutation(1000)
    for rows in (order, order[:7], order[:1]):
        np.testing.assert_array_equal(learnt.distances(magnitudes[rows]), whole[rows])
    assert learnt.distances(magnitudes[:0]).shape == (0,)


def test_learning_again_gives_the_same_bits(learnt):
    again = learn_novelty(*draw(1, 3000), draw(2, 600)[0], BANDS, 5)
    np.testing.assert_array_equal(again.points, learnt.points)
    np.testing.assert_array_equal(again.known, learnt.known)


def test_distances_are_those_to_the_nearest_centre(learnt):
    magnitudes, _ = draw(7, 200)
    full = magnitudes[np.isfinite(magnitudes).all(axis=1)]
    scaled = (full - learnt.centre) @ learnt.scale.T
    apart = np.linalg.norm(scaled[:, None] - learnt.points, axis=2)
    places, distances = learnt.nearest(full)
    np.testing.assert_array_equal(places, apart.argmin(axis=1))
    np.testing.assert_allclose(distances, apart.min(axis=1), rtol=1e-4, atol=1e-5)


def test_of_equally_near_centres_the_first_is_taken(learnt):
    twice = replace(learnt, points=np.repeat(learnt.points[:21], 2, axis=0))
    magnitudes, _ = draw(7, 300)
    places, _ = twice.nearest(magnitudes)
    assert (places % 2 == 0).all()
    beyond = np.full((1, len(BANDS)), 3e38, np.float32)
    places, distances = twice.nearest(beyond)
    assert 0 <= places[0] < len(twice.points)
    assert not np.isnan(distances[0])


def test_a_missing_magnitude_is_what_the_others_let_expect(learnt):
    magnitudes, _ = draw(8, 50)
    rows = np.flatnonzero(np.isnan(magnitudes[:, 0]))
    known, rest = learnt.covariance[1:, 1:], learnt.covariance[0, 1:]
    filled = magnitudes[rows].astype(np.float64)
    filled[:, 0] = learnt.centre[0] + (filled[:, 1:] - learnt.centre[1:]) @ np.linalg.solve(
        known, rest
    )
    np.testing.assert_allclose(
        learnt.distances(magnitudes[rows]), learnt.distances(filled), rtol=1e-4
    )


def test_without_any_magnitude_there_is_no_novelty(learnt):
    distances = learnt.distances(np.full((2, 4), np.nan, np.float32))
    assert np.isnan(distances).all()
    assert np.isnan(learnt.novelty(distances)).all()


def test_small_samples_and_bands_without_a_source_are_no_error():
    magnitudes, codes = draw(9, 8)
    magnitudes[:, 3] = np.nan
    few = learn_novelty(magnitudes, codes, magnitudes[:3], BANDS, 1)
    assert np.isfinite(few.distances(draw(10, 20)[0])).all()
    wide = tuple(f"b{k}" for k in range(70))
    many = np.random.default_rng(1).normal(20, 1, (90, 70)).astype(np.float32)
    many[::3, 66] = np.nan
    of_many = learn_novelty(many, np.zeros(90, np.int64), many, wide, 1)
    np.testing.assert_array_equal(of_many.distances(many[6:9]), of_many.distances(many)[6:9])


def test_it_is_kept_as_numbers_and_read_back_to_the_bit(learnt):
    magnitudes, _ = draw(11, 100)
    again = Novelty.from_table(learnt.as_table())
    assert again.bands == BANDS
    np.testing.assert_array_equal(again.distances(magnitudes), learnt.distances(magnitudes))
    np.testing.assert_array_equal(again.known, learnt.known)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda table: table.drop_columns("kind"),
        lambda table: table.slice(1),
        lambda table: table.drop_columns([f"mag_{band}" for band in BANDS]),
        lambda table: pa.table({"other": [1]}),
    ],
)
def test_a_damaged_table_is_refused(learnt, damaged):
    with pytest.raises(StoreError, match="train the network again"):
        Novelty.from_table(damaged(learnt.as_table()))
