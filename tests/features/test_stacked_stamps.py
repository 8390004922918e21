"""Stamps stacked, judged and measured."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from kidsclf.errors import InputError
from kidsclf.features.images import has_image, pixel_noise, stack_stamps
from kidsclf.schema import NAN_CODE, PackedStamps
from kidsclf.store.stamp_encoding import decode_stamps


def test_channels_stand_in_the_order_asked_for():
    images = {band: np.full((2, 3, 3), value, np.float32) for band, value in (("g", 1), ("r", 2))}
    assert stack_stamps(images, ("r", "g"))[0, 0, 0].tolist() == [2.0, 1.0]
    assert stack_stamps(images, ("g",)).shape == (2, 3, 3, 1)


def test_a_missing_band_is_named():
    with pytest.raises(InputError, match=r"'i'.*only those in r.*cutouts\.bands"):
        stack_stamps({"r": np.zeros((1, 3, 3), np.float32)}, ("r", "i"))


def test_a_single_nan_makes_a_stamp_unusable():
    stamps = np.zeros((3, 5, 5, 2), np.float32)
    stamps[1, 0, 0, 1] = np.nan
    stamps[2] = np.nan
    assert has_image(stamps).tolist() == [True, False, False]


def test_packed_stamps_are_judged_as_unpacked_ones():
    codes = np.random.default_rng(2).integers(-400, 400, (6, 5, 5), np.int16)
    codes[1, 0, 0] = NAN_CODE
    codes[2, 4, 4] = 32_767
    codes[3, 4, 4] = -32_767
    steps = np.array([1, 1, 1e35, 1e35, 1e35, np.nan], np.float32)
    bands = {"g": PackedStamps(codes, steps), "r": PackedStamps(codes[::-1], steps[::-1])}
    maggies = {band: decode_stamps(each.codes, each.steps) for band, each in bands.items()}
    for asked in ("g", "r", "rg"):
        packed, plain = stack_stamps(bands, asked), stack_stamps(maggies, asked)
        assert packed.shape == plain.shape
        assert has_image(packed).tolist() == has_image(plain).tolist()
        some = packed[np.array([4, 0])]
        for place in range(len(asked)):
            unpacked = decode_stamps(some.codes[..., place].copy(), some.steps[:, place].copy())
            np.testing.assert_array_equal(unpacked, plain[[4, 0], ..., place])


def test_noise_is_that_of_the_sky_and_ignores_sources():
    rng = np.random.default_rng(5)
    stamps = rng.normal(0.0, [2e-12, 5e-12], size=(300, 21, 21, 2)).astype(np.float32)
    stamps[:, 8:13, 8:13] += 1e-9
    stamps[7] = np.nan
    np.testing.assert_allclose(pixel_noise(stamps), [2e-12, 5e-12], rtol=0.1)


def test_noise_agrees_with_the_noise_map_of_real_kids_images(survey_data):
    folder = survey_data / "images" / "kids_r"
    with gzip.open(folder / "G266033_image.fits.gz") as file:
        image = fits.getdata(file).astype(np.float32)
    with gzip.open(folder / "G266033_sigma.fits.gz") as file:
        sigma = fits.getdata(file)
    corner = image[:41, :41]
    measured = pixel_noise(corner[None, :, :, None])[0]
    assert measured == pytest.approx(np.median(sigma[:41, :41]), rel=0.5)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_stamps_without_noise_are_refused(value):
    with pytest.raises(InputError, match="noise of 4 stamps"):
        pixel_noise(np.full((4, 5, 5, 1), value, np.float32))
