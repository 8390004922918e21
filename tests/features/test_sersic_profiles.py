"""The Gaussians of profile and PSF, and the images drawn from them, against exact ones."""

import galsim
import numpy as np
import pytest

from kidsclf.errors import InputError
from kidsclf.features.sersic import gaussian_psf, moffat_psf
from kidsclf.features.sersic.components import sheared_gaussians
from kidsclf.features.sersic.derivation import CORE, sersic_profile, smoothed_profile
from kidsclf.features.sersic.mixture import gaussians, place_of
from kidsclf.features.sersic.model import (
    _array_sums,
    _compiled_sums,
    draw,
    prepare_pixels,
)
from kidsclf.features.sersic.psf import describe_psf
from kidsclf.features.sersic.residual import _array_spectrum, residual_image

INDICES = (0.5, 0.6, 1.0, 2.0, 4.0, 6.0, 8.0)


@pytest.mark.parametrize("index", INDICES)
def test_ten_gaussians_are_a_sersic_profile(index):
    radius = np.geomspace(0.01, 15.0, 300)
    parts = gaussians(np.array([place_of(index)]))
    variance = parts.variance[0] + CORE**2
    bells = np.exp(-(radius[:, None] ** 2) / (2.0 * variance)) / (2.0 * np.pi * variance)
    exact = smoothed_profile(index, radius)
    light = exact * radius**2
    misfit = np.abs(bells @ parts.flux[0] - exact) * radius**2
    assert misfit.sum() < 0.0025 * light.sum()
    bright = exact > 1e-3 * exact.max()
    assert np.abs(bells @ parts.flux[0] / exact - 1.0)[bright].max() < 0.03


def test_derivatives_of_the_gaussians_by_the_index():
    place, step = np.array([-0.9, -0.2, 0.4, 0.95]), 1e-5
    above, below, here = (gaussians(place + shift) for shift in (step, -step, 0.0))
    by_variance = (np.log(above.variance) - np.log(below.variance)) / (2.0 * step)
    by_flux = (np.log(above.flux) - np.log(below.flux)) / (2.0 * step)
    np.testing.assert_allclose(here.log_variance_slope, by_variance, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(here.log_flux_slope, by_flux, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("index", INDICES)
def test_the_exact_profile_holds_half_its_light_within_unit_radius(index):
    edges = np.geomspace(1e-8, 1e3, 40_001)
    radius = np.sqrt(edges[1:] * edges[:-1])
    light = 2.0 * np.pi * radius * np.diff(edges) * sersic_profile(index, radius)
    assert light[radius < 1.0].sum() == pytest.approx(0.5, abs=1e-3)
    assert light.sum() == pytest.approx(1.0, abs=1e-3)


def parameters(index, radius, axis_ratio, angle_deg, x, y, flux=1.0):
    """Bring readable numbers to the order of the model."""
    eta, turn = -np.log(axis_ratio), 2.0 * np.radians(angle_deg)
    place = place_of(index)
    log_radius = np.log(radius * np.sqrt(axis_ratio))
    return np.array(
        [[log_radius, place, eta * np.cos(turn), eta * np.sin(turn), x, y, flux]], dtype=float
    )


@pytest.mark.parametrize(("index", "radius"), [(0.6, 3.0), (1.0, 2.0), (1.0, 6.0), (2.5, 4.0)])
def test_images_are_those_of_galsim(index, radius):
    seen_by_galsim(index, radius, tolerance=5e-4)


@pytest.mark.parametrize(("index", "radius"), [(4.0, 3.0), (4.0, 8.0), (6.0, 5.0)])
def test_images_of_cusps_are_those_of_galsim(index, radius):
    seen_by_galsim(index, radius, tolerance=1e-3)


def seen_by_galsim(index, radius, tolerance):
    seeing = galsim.Moffat(beta=3.5, fwhm=3.5).shear(g1=0.04, g2=-0.02)
    accuracy = galsim.GSParams(maximum_fft_size=2**14, folding_threshold=1e-3)
    galaxy = galsim.Sersic(index, half_light_radius=radius * 0.6**0.5, gsparams=accuracy)
    seen = galsim.Convolve(galaxy.shear(q=0.6, beta=30.0 * galsim.degrees), seeing)
    exact = seen.drawImage(nx=41, ny=41, scale=1.0, offset=(0.3, -0.4)).array
    psf = describe_psf(seeing.drawImage(nx=45, ny=45, scale=1.0).array[None].astype(float))
    ours = draw(parameters(index, radius, 0.6, 30.0, 20.3, 19.6), psf, 41)[0]
    assert np.abs(ours - exact).max() < tolerance * exact.max()
    assert np.abs(ours - exact).sum() < tolerance * exact.sum()


def test_a_psf_far_from_gaussian_is_used_as_it_is():
    seeing = galsim.OpticalPSF(lam_over_diam=2.5, obscuration=0.33)
    image = seeing.drawImage(nx=41, ny=41, scale=1.0).array.astype(float)
    galaxy = galsim.Sersic(1.0, half_light_radius=4.0)
    seen = galsim.Convolve(galaxy, galsim.InterpolatedImage(galsim.Image(image, scale=1.0)))
    exact = seen.drawImage(nx=41, ny=41, scale=1.0, method="no_pixel").array
    ours = draw(parameters(1.0, 4.0, 1.0, 0.0, 20.0, 20.0), describe_psf(image[None]), 41)[0]
    ours *= image.sum()
    assert np.abs(ours - exact).max() < 3e-3 * exact.max()


def random_problems(count, size, unknowns):
    random = np.random.default_rng(5)
    columns = [
        np.log(random.uniform(0.3, 12.0, count)),
        random.uniform(-1.0, 1.0, count),
        *random.normal(0.0, 0.7, (2, count)),
        *(size / 2.0 + random.normal(0.0, 0.5, (2, count))),
        random.uniform(100.0, 5000.0, count),
        random.normal(0.0, 1.0, count),
    ]
    data = random.normal(size=(count, size, size)).astype(np.float32)
    pixels = prepare_pixels(data, np.ones_like(data), describe_psf(moffat_psf(np.array([3.5]))))
    return np.stack(columns[:unknowns], axis=1), pixels


@pytest.mark.parametrize("unknowns", [7, 8])
@pytest.mark.parametrize("size", [32, 41, 131])
def test_compiled_loops_sum_what_array_formulas_sum(size, unknowns):
    values, pixels = random_problems(16, size, unknowns)
    components = sheared_gaussians(values, pixels.psf)
    rest = residual_image(values, pixels.residual, pixels.data)
    ours = _compiled_sums(values, components, rest, pixels)
    plain = _array_sums(values, components, rest, pixels)
    scale = np.sqrt(np.einsum("nii->ni", plain))
    assert np.abs((ours - plain) / (scale[:, :, None] * scale[:, None, :])).max() < 1e-5


def test_compiled_spectra_are_those_of_array_formulas(monkeypatch):
    values, pixels = random_problems(16, 41, 7)
    ours = residual_image(values, pixels.residual, pixels.data)
    monkeypatch.setattr("kidsclf.features.sersic.residual._compiled_spectrum", _array_spectrum)
    plain = residual_image(values, pixels.residual, pixels.data)
    np.testing.assert_allclose(ours, plain, atol=1e-6 * np.abs(plain).max())


def test_derivatives_of_the_image():
    """Of the Gaussians' part, which is what the derivatives are of, by finite differences."""
    from kidsclf.features.sersic.model import _image_and_slopes

    values, pixels = random_problems(8, 41, 8)
    values[:, 0] = np.log(np.linspace(1.5, 8.0, 8))
    nothing = np.zeros_like(pixels.data)

    def image(at):
        components = sheared_gaussians(at, pixels.psf)
        return [
            each.astype(float) for each in _image_and_slopes(at, components, nothing, slice(0, 41))
        ]

    slopes = image(values)[1]
    for term, step in enumerate((0.005, 0.002, 0.005, 0.005, 0.02, 0.02, 50.0, 0.5)):
        above, below = values.copy(), values.copy()
        above[:, term] += step
        below[:, term] -= step
        numeric = (image(above)[0] - image(below)[0]) / (2.0 * step)
        largest = np.abs(numeric).max(axis=(1, 2), keepdims=True)
        assert (np.abs(slopes[:, term] - numeric) < 5e-3 * largest).all(), term


def test_psfs_of_a_seeing_are_those_of_galsim():
    for ours, seeing in (
        (moffat_psf(np.array([3.5]), beta=3.0, size=31), galsim.Moffat(beta=3.0, fwhm=3.5)),
        (gaussian_psf(np.array([3.5]), size=31), galsim.Gaussian(fwhm=3.5)),
    ):
        exact = seeing.drawImage(nx=31, ny=31, scale=1.0).array
        assert np.abs(ours[0] - exact / exact.sum()).max() < 1e-3 * exact.max()


@pytest.mark.parametrize("size", [4, 1])
def test_a_psf_needs_a_middle_pixel(size):
    with pytest.raises(InputError, match="odd size"):
        gaussian_psf(np.array([3.0]), size=size)


def test_a_moffat_psf_needs_a_finite_flux():
    with pytest.raises(InputError, match="above 1"):
        moffat_psf(np.array([3.0]), beta=1.0)
