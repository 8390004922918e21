"""Shapes and fits on a GPU say what the processor says. Skipped where there is no GPU."""

import numpy as np
import pytest
from benchmarks.shapes_on_gpu import draw

from kidsclf.errors import InputError
from kidsclf.features.arrays import to_gpu, to_host
from kidsclf.features.morphology.measure import measure
from kidsclf.features.sersic.fit import fit_sersic

ROWS = 40


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    try:
        to_gpu(np.zeros(1))
    except InputError as error:
        pytest.skip(f"no GPU: {error}")
    return draw(ROWS)


def test_shapes(scene):
    stamps, psf = scene
    ours, others = measure(stamps, psf=psf), measure(to_gpu(stamps), psf=to_gpu(psf))
    np.testing.assert_array_equal(ours["morphology_flags"], to_host(others["morphology_flags"]))
    for name, value in ours.items():
        np.testing.assert_allclose(to_host(others[name]), value, rtol=1e-3, err_msg=name)


def test_sersic_fits(scene):
    stamps, psf = scene
    variance, psf = np.ones(stamps.shape), psf[None]
    ours = fit_sersic(stamps, variance, psf)
    others = fit_sersic(*map(to_gpu, (stamps, variance, psf)))
    for name, error in ours.errors.items():
        shift = np.abs(to_host(others.values[name]) - ours.values[name])
        assert np.nanmax(shift / error) < 0.1, name
