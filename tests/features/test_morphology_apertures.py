"""Sums over apertures: exact, the same compiled and in any array namespace."""

from typing import Any

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photutils.aperture import EllipticalAperture

from kidsclf.features.morphology.apertures import Shape, aperture_sums, overlaps
from kidsclf.features.morphology.asymmetry import rotation_sums, soft_rotation_sums, turnable
from kidsclf.features.morphology.growth import STEP_PX, growth_curve

SIZE = 31
COUNT = 60


@pytest.fixture(scope="module")
def scene() -> dict[str, np.ndarray]:
    """Noise with masked pixels, and apertures inside, across and beyond the stamps."""
    random = np.random.default_rng(1)
    good = random.uniform(size=(COUNT, SIZE, SIZE)) > 0.02
    good[: COUNT // 2] = True
    images = np.where(good, random.normal(1.0, 1.0, good.shape), 0.0).astype(np.float32)
    return {
        "images": images,
        "good": good,
        "stamps": np.arange(COUNT),
        "x": random.uniform(-3.0, SIZE + 2.0, COUNT),
        "y": random.uniform(-3.0, SIZE + 2.0, COUNT),
        "elongation": np.where(np.arange(COUNT) % 3, random.uniform(1.0, 6.0, COUNT), 1.0),
        "angle": random.uniform(-2.0, 4.0, COUNT),
        "radius": random.uniform(0.05, 25.0, COUNT),
    }


def shape_of(scene: dict[str, Any]) -> Shape:
    return Shape(scene["x"], scene["y"], scene["elongation"], scene["angle"])


def strict(scene: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: array_api_strict.asarray(each) for name, each in scene.items()}


def test_sums_are_those_of_photutils(scene: dict[str, np.ndarray]) -> None:
    light, _ = aperture_sums(
        scene["images"], scene["good"], scene["stamps"], shape_of(scene), scene["radius"]
    )
    expected = []
    for row in range(COUNT):
        major = scene["radius"][row]
        aperture = EllipticalAperture(
            (scene["x"][row], scene["y"][row]),
            major,
            major / scene["elongation"][row],
            theta=scene["angle"][row],
        )
        image = scene["images"][row].astype(np.float64)
        expected.append(aperture.do_photometry(image, method="exact")[0][0])
    touched = np.isfinite(expected)
    np.testing.assert_allclose(light[touched], np.array(expected)[touched], atol=2e-4)
    assert (light[~touched] == 0.0).all()


@given(
    x=st.floats(5.0, 15.0),
    y=st.floats(5.0, 15.0),
    radius=st.floats(1e-3, 4.5),
    elongation=st.floats(1.0, 20.0),
    angle=st.floats(-10.0, 10.0),
)
@settings(deadline=None)
def test_overlaps_are_fractions_and_add_up_to_the_ellipse(
    x: float, y: float, radius: float, elongation: float, angle: float
) -> None:
    shape = Shape(*(np.array([each]) for each in (x, y, elongation, angle)))
    weights = overlaps(21, shape, np.array([radius]))
    assert weights.min() > -1e-7
    assert weights.max() < 1.0 + 1e-7
    np.testing.assert_allclose(weights.sum(), np.pi * radius**2 / elongation, atol=1e-7)


def test_compiled_sums_are_those_of_array_formulas(scene: dict[str, np.ndarray]) -> None:
    light, area = aperture_sums(
        scene["images"], scene["good"], scene["stamps"], shape_of(scene), scene["radius"]
    )
    other = strict(scene)
    light_strict, area_strict = aperture_sums(
        other["images"], other["good"], other["stamps"], shape_of(other), other["radius"]
    )
    np.testing.assert_allclose(light, np.asarray(light_strict), atol=2e-4)
    np.testing.assert_allclose(area, np.asarray(area_strict), atol=1e-8)


def test_compiled_rotation_is_that_of_array_formulas(scene: dict[str, np.ndarray]) -> None:
    ours = rotation_sums(
        scene["images"], scene["good"], scene["stamps"], shape_of(scene), scene["radius"]
    )
    other = strict(scene)
    peer = rotation_sums(
        other["images"], other["good"], other["stamps"], shape_of(other), other["radius"]
    )
    for name in ("light", "change", "area", "light_squared", "change_squared"):
        np.testing.assert_allclose(
            getattr(ours, name), np.asarray(getattr(peer, name)), rtol=1e-6, atol=2e-4
        )


def test_compiled_soft_rotation_is_that_of_array_formulas(scene: dict[str, np.ndarray]) -> None:
    def sums(parts: dict[str, Any]) -> tuple[Any, Any, Any]:
        stack = turnable(parts["images"], parts["good"])
        return soft_rotation_sums(stack, parts["stamps"], parts["x"], parts["y"], parts["radius"])

    for ours, peer in zip(sums(scene), sums(strict(scene)), strict=True):
        np.testing.assert_allclose(ours, np.asarray(peer), rtol=1e-5, atol=1e-3)


def test_growth_is_the_same_in_any_namespace_and_near_exact_apertures(
    scene: dict[str, np.ndarray],
) -> None:
    other = strict(scene)
    curve = growth_curve(scene["images"], scene["good"], shape_of(scene))
    peer = growth_curve(other["images"], other["good"], shape_of(other))
    # a centre within rounding of a ring's edge may fall to either side of it
    assert (np.abs(curve.area - np.asarray(peer.area)) > 1e-6).mean() < 1e-3
    steps = np.arange(4, 60)
    round_ones = np.flatnonzero((scene["elongation"] == 1.0) & (scene["x"] > 5.0))
    for row in round_ones:
        shape = Shape(*(each[[row] * len(steps)] for each in shape_of(scene).fields()))
        _, area = aperture_sums(
            scene["images"], scene["good"], np.full(len(steps), row), shape, steps * STEP_PX
        )
        assert np.abs(curve.area[row, steps] - area).max() < 3.0
