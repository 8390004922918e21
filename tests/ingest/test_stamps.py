"""Stamps are Cutout2D's, pixel for pixel; flags say what is wrong with them."""

import numpy as np
import pytest
from astropy.nddata import Cutout2D
from astropy.nddata.utils import NoOverlapError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kidsclf.ingest import DeepestTile, cut_stamps
from kidsclf.schema import CutoutFlag

IMAGE = np.arange(30 * 20, dtype=np.float32).reshape(30, 20)


def astropys(x: float, y: float, size: int) -> np.ndarray:
    try:
        return Cutout2D(IMAGE, (x, y), size, mode="partial", fill_value=0.0).data
    except NoOverlapError:
        return np.zeros((size, size), dtype=np.float32)


POSITIONS = st.floats(-60, 60) | st.integers(-120, 120).map(lambda k: k / 2)


@settings(deadline=None)
@given(st.lists(st.tuples(POSITIONS, POSITIONS), min_size=1, max_size=20), st.integers(1, 25))
def test_equal_to_cutout2d(positions, size):
    x, y = np.array(positions).T
    stamps, flags = cut_stamps(IMAGE, x, y, size)
    assert stamps.dtype == np.float32
    for k, (x0, y0) in enumerate(positions):
        np.testing.assert_array_equal(stamps[k], astropys(x0, y0, size))
        low, high = np.ceil([x0 - size / 2, y0 - size / 2]), np.array([20, 30])
        inside = (low >= 0).all() and (low + size <= high).all()
        assert flags[k] == (0 if inside else CutoutFlag.EDGE)


def test_pixels_without_data_are_filled_and_flagged():
    image = IMAGE.copy()
    image[10, 10] = np.nan
    weight = np.ones_like(image)
    weight[20, 10] = 0.0
    x, y = np.array([10.0, 10.0, 5.0]), np.array([10.0, 20.0, 15.0])
    stamps, flags = cut_stamps(image, x, y, 5, weight=weight, fill=-1.0)
    assert flags.tolist() == [CutoutFlag.BAD_PIXEL, CutoutFlag.BAD_PIXEL, 0]
    assert stamps[0, 2, 2] == stamps[1, 2, 2] == -1.0
    assert (stamps == -1.0).sum() == 2


def test_the_edge_is_no_bad_pixel_though_it_repeats_one():
    weight = np.ones_like(IMAGE)
    weight[:, 0] = 0.0
    weight[0, 0] = 0.0
    _, flags = cut_stamps(IMAGE, np.array([0.0, 19.0]), np.array([5.0, 0.0]), 5, weight=weight)
    assert flags.tolist() == [CutoutFlag.EDGE | CutoutFlag.BAD_PIXEL, CutoutFlag.EDGE]


def test_masked_means_the_central_nine_pixels():
    mask = np.zeros(IMAGE.shape, dtype=np.int16)
    mask[12, 12] = 4
    x, y = np.array([11.0, 13.0, 10.0, 12.0]), np.array([11.0, 13.0, 12.0, 14.0])
    _, flags = cut_stamps(IMAGE, x, y, 7, mask=mask)
    assert flags.tolist() == [CutoutFlag.MASKED, CutoutFlag.MASKED, 0, 0]


def test_no_position_no_pixels():
    stamps, flags = cut_stamps(IMAGE, np.array([np.nan, 5.0]), np.array([5.0, 5.0]), 3)
    assert np.isnan(stamps[0]).all()
    assert flags.tolist() == [CutoutFlag.MISSING_TILE, 0]
    np.testing.assert_array_equal(stamps[1], IMAGE[4:7, 4:7])


def test_no_sources():
    stamps, flags = cut_stamps(IMAGE, np.empty(0), np.empty(0), 41)
    assert stamps.shape == (0, 41, 41)
    assert flags.shape == (0,)


def test_far_off_positions_do_not_overflow():
    stamps, flags = cut_stamps(IMAGE, np.array([1e300, -1e300]), np.array([0.0, 0.0]), 41)
    assert (stamps == 0).all()
    assert flags.tolist() == [CutoutFlag.EDGE] * 2


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 5), st.integers(1, 8)),
        elements=st.integers(-3, 3).map(float) | st.just(float("nan")) | st.just(float("-inf")),
    )
)
def test_the_deepest_tile_is_chosen(depths):
    sources = depths.shape[1]
    deepest = DeepestTile(sources)
    for number, depth in enumerate(depths):
        deepest.offer(number, np.full(sources, 10.0 + number), np.full(sources, -number), depth)
    for k, tile in enumerate(deepest.tile.tolist()):
        held = [d for d in depths[:, k].tolist() if d >= 0]
        if not held:
            assert tile == -1
            assert np.isnan([deepest.x[k], deepest.y[k]]).all()
        else:
            assert depths[tile, k] == max(held)
            assert not (depths[:tile, k] == max(held)).any()
            assert (deepest.x[k], deepest.y[k]) == (10 + tile, -tile)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", ">i2", "u1", ">i8"])
def test_any_number_is_read_as_float32(dtype):
    image = (IMAGE % 251).astype(dtype)
    before = image.copy()
    x, y = np.array([1.0, 9.0, 19.0]), np.array([1.0, 15.0, 29.0])
    stamps, flags = cut_stamps(image, x, y, 3, weight=image + 1, scale=0.5)
    assert stamps.dtype == np.float32
    assert stamps.dtype.isnative
    assert flags.tolist() == [0, 0, CutoutFlag.EDGE]
    np.testing.assert_array_equal(stamps[1], 0.5 * (IMAGE % 251)[14:17, 8:11])
    np.testing.assert_array_equal(image, before)


def test_weights_say_where_there_is_no_data():
    weight = np.ones(IMAGE.shape, dtype=">f4")
    weight[10, 10], weight[10, 14], weight[20, 3] = np.nan, -1.0, 0.0
    x, y = np.array([10.0, 14.0, 3.0, 10.0]), np.array([10.0, 10.0, 20.0, 24.0])
    stamps, flags = cut_stamps(IMAGE, x, y, 3, weight=weight)
    assert flags.tolist() == [CutoutFlag.BAD_PIXEL] * 3 + [0]
    assert (stamps[:3, 1, 1] == 0).all()


def test_infinite_pixels_are_bad_and_huge_ones_are_not():
    image = np.full((20, 20), 3e38, dtype=np.float32)
    image[15, 15] = -np.inf
    stamps, flags = cut_stamps(image, np.array([3.0, 15.0]), np.array([3.0, 15.0]), 5)
    assert flags.tolist() == [0, CutoutFlag.BAD_PIXEL]
    assert np.isfinite(stamps).all()


def test_only_the_bits_asked_for_count():
    mask = np.zeros(IMAGE.shape, dtype=np.uint8)
    mask[10, 10], mask[20, 10] = 4, 2
    x, y = np.array([10.0, 10.0]), np.array([10.0, 20.0])
    both, first, none = (
        cut_stamps(IMAGE, x, y, 5, mask=mask, **bits)[1].tolist()
        for bits in ({}, {"mask_bits": 4}, {"mask_bits": 0})
    )
    masked = int(CutoutFlag.MASKED)
    assert (both, first, none) == ([masked, masked], [masked, 0], [0, 0])


def test_an_image_smaller_than_the_stamp():
    stamps, flags = cut_stamps(IMAGE[:3, :4], np.array([1.0]), np.array([1.0]), 9)
    np.testing.assert_array_equal(
        stamps[0], Cutout2D(IMAGE[:3, :4], (1.0, 1.0), 9, mode="partial", fill_value=0.0).data
    )
    assert flags.tolist() == [CutoutFlag.EDGE]
