"""The tree finds what looking at every pair finds, wherever on the sky."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import InputError
from kidsclf.ingest import mutual_nearest
from kidsclf.ingest.crossmatch import unit_vectors

ARCSEC = 1 / 3600.0


def brute_force(ra1, dec1, ra2, dec2, radius):
    one, other = unit_vectors(ra1, dec1), unit_vectors(ra2, dec2)
    chords = np.linalg.norm(one[:, None] - other[None], axis=2)
    separation = np.degrees(2 * np.arcsin(chords / 2)) * 3600
    pairs = []
    for i in range(len(one)):
        j = int(np.argmin(separation[i]))  # argmin gives the first of equals
        if int(np.argmin(separation[:, j])) == i and separation[i, j] <= radius:
            pairs.append((i, j))
    return pairs


CENTRES = ((0.0, 0.0), (180.0, 45.0), (0.0, 90.0), (77.0, -90.0), (359.9999, -30.0))
# A coarse grid makes exact ties and repeated positions common.
STEPS = st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), min_size=1, max_size=25)


def place(steps, centre):
    ra0, dec0 = centre
    dec = dec0 + np.array([b for _, b in steps]) * 0.3 * ARCSEC
    over = np.abs(dec) > 90
    dec = np.where(over, np.sign(dec) * 180 - dec, dec)
    stretch = max(np.cos(np.radians(dec0)), 1e-5)
    ra = ra0 + np.array([a for a, _ in steps]) * 0.3 * ARCSEC / stretch + 180.0 * over
    return np.mod(ra, 360.0), dec


@settings(deadline=None)
@given(st.sampled_from(CENTRES), STEPS, STEPS, st.sampled_from([0.2, 1.0, 3.0]))
def test_equal_to_brute_force(centre, steps1, steps2, radius):
    first, second = place(steps1, centre), place(steps2, centre)
    index1, index2, separation = mutual_nearest(*first, *second, radius)
    assert list(zip(index1.tolist(), index2.tolist(), strict=True)) == brute_force(
        *first, *second, radius
    )
    assert (separation <= radius).all()
    assert len(set(index2.tolist())) == len(index2)


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_symmetric_and_blind_to_order(seed):
    generator = np.random.default_rng(seed)
    ra, dec = generator.uniform(0, 0.01, 300), generator.uniform(-0.005, 0.005, 300)
    ra2, dec2 = ra + generator.normal(0, 2e-4, 300), dec + generator.normal(0, 2e-4, 300)
    index1, index2, _ = mutual_nearest(ra, dec, ra2, dec2, 2.0)
    back2, back1, _ = mutual_nearest(ra2, dec2, ra, dec, 2.0)
    pairs = set(zip(index1.tolist(), index2.tolist(), strict=True))
    assert pairs == set(zip(back1.tolist(), back2.tolist(), strict=True))
    order = generator.permutation(300)
    shuffled1, shuffled2, _ = mutual_nearest(ra[order], dec[order], ra2, dec2, 2.0)
    assert pairs == set(zip(order[shuffled1].tolist(), shuffled2.tolist(), strict=True))
    assert len(pairs) > 100


def test_separations_across_zero_and_at_the_pole():
    ra = np.array([359.9999, 10.0])
    dec = np.array([0.0, 89.9999])
    index1, index2, separation = mutual_nearest(
        ra, dec, np.array([190.0, 0.0001]), np.array([89.9999, 0.0]), 1.0
    )
    assert index1.tolist() == [0, 1]
    assert index2.tolist() == [1, 0]
    np.testing.assert_allclose(separation, [0.72, 0.72], rtol=1e-6)


def test_nothing_to_match():
    empty = np.empty(0)
    index1, index2, separation = mutual_nearest(empty, empty, np.array([1.0]), np.array([1.0]), 1.0)
    assert len(index1) == len(index2) == len(separation) == 0


def test_positions_must_be_finite():
    with pytest.raises(InputError, match=r"1 of 2 positions"):
        mutual_nearest(np.array([0, np.nan]), np.zeros(2), np.zeros(1), np.zeros(1), 1.0)


def test_the_sdss_tables_share_eight_sources(survey_data):
    """The README of the tables counts 8 objects within 1 arcsec."""
    import pyarrow.parquet as pq

    one, other = (
        pq.read_table(survey_data / "labelled" / f"sdss_{name}_10k.parquet")
        for name in ("dr17", "dr14")
    )
    coordinates = (table[c].to_numpy() for table in (one, other) for c in ("ra", "dec"))
    index1, _, _ = mutual_nearest(*coordinates, 1.0)
    assert len(index1) == 8
