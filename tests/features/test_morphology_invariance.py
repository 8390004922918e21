"""What a morphology must not depend on: orientation, brightness, position, the level of the sky."""

from functools import cache

import galsim
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.features.morphology.measure import measure

SIZE = 41
PSF = galsim.Moffat(beta=3.5, fwhm=3.0)

STRUCTURE = (
    "ellipticity", "petrosian_radius", "petrosian_semi_major", "kron_radius", "half_light_radius",
    "half_light_semi_major", "r20", "r50", "r80", "concentration", "asymmetry", "smoothness",
    "gini", "m20", "multimode", "intensity", "deviation", "multiplicity", "shape_asymmetry",
)  # fmt: skip


@cache
def lumpy(seed: int, shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Draw a disc with two clumps and hardly any noise, float32 array (1, size, size)."""
    random = np.random.default_rng(seed)
    galaxy = galsim.Sersic(n=1.2, half_light_radius=4.0, trunc=16.0).shear(
        q=random.uniform(0.5, 0.9), beta=random.uniform(0.0, np.pi) * galsim.radians
    )
    for _ in range(2):
        clump = galsim.Gaussian(sigma=0.8, flux=random.uniform(0.03, 0.08))
        galaxy += clump.shift(*random.uniform(-4.0, 4.0, 2))
    image = galsim.Convolve(galaxy, PSF).shift(*shift).drawImage(nx=SIZE, ny=SIZE, scale=1.0).array
    return (image + random.normal(0.0, 2e-5, image.shape)).astype(np.float32)[None]


def assert_alike(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], tolerance: float
) -> None:
    for name in STRUCTURE:
        np.testing.assert_allclose(
            first[name], second[name], rtol=tolerance, atol=tolerance, err_msg=name
        )


@given(seed=st.integers(0, 20), turns=st.integers(0, 3), mirror=st.booleans())
@settings(deadline=None, max_examples=20)
def test_turning_and_mirroring_change_nothing(seed: int, turns: int, mirror: bool) -> None:
    stamps = lumpy(seed)
    moved = np.rot90(stamps, turns, axes=(1, 2))
    moved = np.ascontiguousarray(moved[:, :, ::-1] if mirror else moved)
    assert_alike(measure(stamps), measure(moved), 0.01)


@given(seed=st.integers(0, 20), power=st.floats(-12.0, 6.0))
@settings(deadline=None, max_examples=20)
def test_scaling_the_light_changes_no_shape(seed: int, power: float) -> None:
    stamps = lumpy(seed)
    scaled = (stamps * 10.0**power).astype(np.float32)
    first, second = measure(stamps), measure(scaled)
    assert_alike(first, second, 0.002)
    np.testing.assert_allclose(second["flux_circle"] / first["flux_circle"], 10.0**power, rtol=1e-3)


@given(seed=st.integers(0, 20), level=st.floats(-0.01, 0.01))
@settings(deadline=None, max_examples=20)
def test_a_constant_sky_changes_nothing(seed: int, level: float) -> None:
    stamps = lumpy(seed)
    assert_alike(measure(stamps), measure(stamps + np.float32(level)), 0.005)


@given(seed=st.integers(0, 8), x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5))
@settings(deadline=None, max_examples=15)
def test_shifts_below_a_pixel_change_little(seed: int, x: float, y: float) -> None:
    """Pixels fall elsewhere, so numbers that count pixels move by some of them."""
    first, second = measure(lumpy(seed)), measure(lumpy(seed, (x, y)))
    for name in ("petrosian_radius", "half_light_radius", "r50", "concentration", "gini"):
        np.testing.assert_allclose(first[name], second[name], rtol=0.03, err_msg=name)
    np.testing.assert_allclose(second["x"] - first["x"], x, atol=0.05)
    np.testing.assert_allclose(second["y"] - first["y"], y, atol=0.05)
    np.testing.assert_allclose(first["asymmetry"], second["asymmetry"], atol=0.02)


@pytest.mark.parametrize("name", ["x", "y", "x_asymmetry", "y_asymmetry"])
def test_positions_do_not_depend_on_the_window(name: str) -> None:
    """A large stamp is measured on a window of it, and its positions are those of the stamp."""
    small = lumpy(3)
    noise = np.random.default_rng(0).normal(0.0, 2e-5, (1, 121, 121)).astype(np.float32)
    noise[:, 40:81, 40:81] = small
    inner, outer = measure(small), measure(noise)
    np.testing.assert_allclose(outer[name] - 40.0, inner[name], atol=0.1)


def test_signal_to_noise_grows_with_the_signal() -> None:
    random = np.random.default_rng(5)
    noise = random.normal(0.0, 1.0, (1, SIZE, SIZE)).astype(np.float32)
    stamps = np.concatenate([lumpy(1) * scale + noise for scale in (3e2, 1e3, 3e3, 1e4, 1e5)])
    values = measure(stamps)["sn_per_pixel"]
    assert (np.diff(values) > 0).all()
