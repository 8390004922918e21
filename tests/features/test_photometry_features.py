"""Magnitudes and adjacent colours."""

import numpy as np

from kidsclf.features.colours import photometry_features


def test_nine_bands_give_the_papers_seventeen_numbers():
    magnitudes = np.linspace(24, 18, 9, dtype=np.float32)[None].repeat(4, axis=0)
    features = photometry_features(magnitudes)
    assert features.shape == (4, 17)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[:, :9], magnitudes)
    np.testing.assert_array_equal(features[:, 9:], magnitudes[:, :-1] - magnitudes[:, 1:])


def test_an_unmeasured_band_spoils_only_its_own_colours():
    magnitudes = np.full((2, 5), 20.0, dtype=np.float32)
    magnitudes[0, 2] = np.nan
    magnitudes[1, 4] = np.inf
    missing = np.isnan(photometry_features(magnitudes))
    assert missing[0].tolist() == [False, False, True, False, False, False, True, True, False]
    assert missing[1].tolist() == [False] * 4 + [True] + [False] * 3 + [True]


def test_one_band_has_no_colour():
    assert photometry_features(np.ones((3, 1), dtype=np.float32)).shape == (3, 1)
