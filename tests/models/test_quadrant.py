"""A stamp says the same whichever way it is turned."""

import numpy as np
import pytest

from kidsclf.models.backend import prepare_backend

prepare_backend("tensorflow", 2)

from kidsclf.models.layers import Quadrant  # noqa: E402

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("side", [1, 4, 5])
def test_mirror_images_and_quarter_turns_are_alike(side):
    stamps = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    plain = np.asarray(Quadrant()(stamps))
    half = (side + 1) // 2
    assert plain.shape == (2, half, half, 6)
    for turns in range(4):
        turned = np.rot90(stamps, turns, axes=(1, 2))
        for each in (turned, turned[:, ::-1]):
            np.testing.assert_allclose(np.asarray(Quadrant()(each)), plain, atol=1e-6)


def test_what_is_symmetric_already_is_kept_and_deviates_from_nothing():
    offset = np.abs(np.arange(5) - 2.0)
    stamp = (offset[:, None] + offset)[None, ..., None].astype(np.float32)
    mean, deviation = np.moveaxis(np.asarray(Quadrant()(stamp)), -1, 0)
    np.testing.assert_array_equal(mean, stamp[..., 0][:, :3, :3])
    assert not deviation.any()
