"""Partitions: what they hold, how the sky is split, who lies near a border."""

import healpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import PlanError
from kidsclf.sky.cap import partition_cap, separation_deg
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.margin import stretches_around, stretches_near, within
from kidsclf.sky.partition import Partition, spatial_index
from kidsclf.sky.split import PixelCounts, split_sky

POSITIONS = st.lists(
    st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90)), min_size=1, max_size=200
)


def random_sky(rng: np.random.Generator, n: int, ra0: float, dec0: float, size: float):
    """Draw positions in a box that may cross RA 0 or hold a pole."""
    ra = (ra0 + rng.uniform(-size, size, n)) % 360.0
    dec = dec0 + rng.uniform(-size, size, n)
    return ra, np.where(np.abs(dec) > 90, np.sign(dec) * 180 - dec, dec)


@given(POSITIONS, st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_split_is_a_partition_of_the_rows(positions, max_rows):
    index = spatial_index(*np.array(positions).T)
    counts = PixelCounts.of_indices(index, 12)
    if counts.rows.max() > max_rows:
        with pytest.raises(PlanError, match=r"raise ingest\.max_rows"):
            split_sky(counts, max_rows)
        return
    split = split_sky(counts, max_rows)
    held = np.array([partition.contains(index) for partition, _ in split])
    assert (held.sum(axis=0) == 1).all()
    assert [rows for _, rows in split] == held.sum(axis=1).tolist()
    assert all(0 < rows <= max_rows for _, rows in split)
    assert [p.first_index for p, _ in split] == sorted(p.first_index for p, _ in split)


def test_split_divides_no_further_than_needed():
    index = spatial_index(np.linspace(0, 359, 500), np.linspace(-80, 80, 500))
    split = dict(split_sky(PixelCounts.of_indices(index, 10), 60))
    for partition in split:
        if partition.order:
            parent = Partition(partition.order - 1, partition.pixel // 4)
            assert parent.contains(index).sum() > 60


def test_counts_merge_and_coarsen_like_counting_at_once():
    rng = np.random.default_rng(3)
    index = spatial_index(*random_sky(rng, 5000, 0.0, 0.0, 5.0))
    whole = PixelCounts.of_indices(index, 9)
    halves = [PixelCounts.of_indices(part, 9) for part in np.array_split(index, 7)]
    merged = PixelCounts.merge(halves, 9)
    np.testing.assert_array_equal(merged.pixels, whole.pixels)
    np.testing.assert_array_equal(merged.rows, whole.rows)
    coarse, direct = whole.coarsened(4), PixelCounts.of_indices(index, 4)
    np.testing.assert_array_equal(coarse.pixels, direct.pixels)
    np.testing.assert_array_equal(coarse.rows, direct.rows)


@pytest.mark.parametrize(("ra0", "dec0"), [(0.0, 0.0), (180.0, 41.8), (45.0, 90.0), (200.0, -90.0)])
@pytest.mark.parametrize("margin", [1.0, 30.0, 600.0])
@pytest.mark.parametrize("depth", [0, 2, 6])
def test_margin_misses_nobody(ra0, dec0, margin, depth):
    rng = np.random.default_rng(7)
    ra, dec = random_sky(rng, 3000, ra0, dec0, 0.3)
    index = spatial_index(ra, dec)
    vectors = np.array(healpy.ang2vec(ra, dec, lonlat=True))
    split = [partition for partition, _ in split_sky(PixelCounts.of_indices(index, 14), 300)]
    sky = SkyIndex.of_partitions(split)
    for partition in split:
        inside = partition.contains(index)
        chord = 2 * np.sin(np.radians(margin / 3600) / 2)
        gaps = np.linalg.norm(vectors[:, None] - vectors[inside][None], axis=2).min(axis=1)
        needed = gaps <= chord
        around = stretches_around(partition, margin, depth)
        assert within(index, around)[needed].all()
        holders = {other for other in split if other.contains(index[needed]).any()}
        assert holders <= {split[k] for k in sky.touching(around)}
        assert within(index, stretches_near(index[inside], margin))[needed].all()


def test_stretches_are_ascending_disjoint_and_whole():
    for label in ("0/4", "3/500", "11/50331647"):
        partition = Partition.parse(label)
        for margin in (0.5, 60.0, 5000.0):
            stretches = stretches_around(partition, margin)
            assert (stretches[:, 1] > stretches[:, 0]).all()
            assert (stretches[1:, 0] >= stretches[:-1, 1]).all()
            ends = np.array([partition.first_index, partition.last_index - 1])
            assert within(ends, stretches).all()
    assert stretches_near(np.empty(0, np.int64), 1.0).shape == (0, 2)
    assert not within(np.arange(3), np.empty((0, 2), np.int64)).any()


def test_margin_is_not_the_whole_sky():
    rng = np.random.default_rng(8)
    ra, dec = random_sky(rng, 20000, 10.0, 10.0, 3.0)
    index = spatial_index(ra, dec)
    partition = Partition(6, int(index[0] >> 46))
    near = within(index, stretches_around(partition, 1.0))
    assert partition.contains(index).sum() < near.sum() < 1.15 * partition.contains(index).sum() + 5
    tight = within(index, stretches_around(partition, 1.0, depth=9))
    assert tight.sum() < 1.02 * partition.contains(index).sum() + 5


def test_a_look_finds_every_table_that_holds_rows_there():
    rng = np.random.default_rng(9)
    counts = [PixelCounts.of_indices(rng.integers(0, 12 << 58, 40) // 7**k, 5) for k in range(1, 6)]
    sky = SkyIndex.of_counts(counts)
    for pixel in rng.integers(0, 12 << 10, 300):
        partition = Partition(5, int(pixel))
        stretch = np.array([[partition.first_index, partition.last_index]])
        expected = tuple(k for k, each in enumerate(counts) if pixel in each.pixels)
        assert sky.touching(stretch) == expected
    whole = np.array([[0, 12 << 58]])
    assert sky.touching(whole) == tuple(range(len(counts)))
    assert SkyIndex.of_counts([]).touching(whole) == ()


def test_a_cap_holds_its_partition():
    for label in ("0/4", "3/500", "9/123456"):
        partition = Partition.parse(label)
        ra, dec, radius = partition_cap(partition)
        corners = healpy.boundaries(1 << partition.order, partition.pixel, step=4, nest=True)
        lon, lat = healpy.vec2ang(corners.T, lonlat=True)
        assert all(
            separation_deg(ra, dec, x, y) <= radius + 1e-9 for x, y in zip(lon, lat, strict=True)
        )
