"""The table of features as a whole: any namespace, any chunks, flags for what is withheld."""

from collections.abc import Callable
from pathlib import Path

import array_api_strict
import galsim
import numpy as np
import pytest
from benchmarks.classes import CLASSES, FALLING, RISING, draw_class, medians
from benchmarks.morphology import draw_galaxies

from kidsclf.errors import InputError
from kidsclf.features import arrays
from kidsclf.features.morphology import measure as module
from kidsclf.features.morphology.feature import LOST, Feature
from kidsclf.features.morphology.flags import MorphologyFlag as Flag
from kidsclf.features.morphology.galaxies import Galaxies
from kidsclf.features.morphology.judgement import columns_of
from kidsclf.features.morphology.measure import measure
from kidsclf.features.morphology.table import FEATURES

SIZE = 41
FLAGS = "morphology_flags"
PSF = galsim.Moffat(beta=3.5, fwhm=3.5)
PSF_IMAGE = PSF.drawImage(nx=25, ny=25, scale=1.0).array


@pytest.fixture(scope="module")
def stamps() -> np.ndarray:
    return draw_galaxies(60, SIZE, np.random.default_rng(2))[0]


def drawn(profile: galsim.GSObject, noise: float, seed: int = 0) -> np.ndarray:
    image = galsim.Convolve(profile, PSF).drawImage(nx=SIZE, ny=SIZE, scale=1.0).array
    random = np.random.default_rng(seed)
    return (image + random.normal(0.0, noise, image.shape)).astype(np.float32)


def test_any_array_namespace_gives_the_same(stamps: np.ndarray) -> None:
    hurt = stamps[:16].copy()
    hurt[3] = np.nan
    hurt[5, 10:14, 20] = np.nan
    ours = measure(hurt, psf=PSF_IMAGE)
    other = measure(array_api_strict.asarray(hurt), psf=array_api_strict.asarray(PSF_IMAGE))
    assert list(ours) == [feature.name for feature in FEATURES] + [FLAGS]
    np.testing.assert_array_equal(ours[FLAGS], np.asarray(other[FLAGS]))
    for name, value in ours.items():
        np.testing.assert_allclose(value, np.asarray(other[name]), rtol=1e-3, err_msg=name)


def test_chunks_do_not_matter(stamps: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(stamps, psf=PSF_IMAGE)
    monkeypatch.setattr(arrays, "CACHE_BYTES", 1)
    monkeypatch.setattr(arrays, "FEWEST_ROWS", 7)
    monkeypatch.setattr(module, "MOST_ROWS", 20)
    order = np.random.default_rng(3).permutation(len(stamps))
    parts = measure(stamps[order], psf=np.repeat(PSF_IMAGE[None], len(stamps), axis=0))
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value[order], rtol=1e-4, atol=1e-5, err_msg=name)


def test_memory_decides_how_many_rows_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "free_bytes", lambda like: 4000)
    assert arrays.affordable_rows(np.zeros(1), 100) == 10
    assert arrays.affordable_rows(np.zeros(1), 10**9) == 1


def test_no_sources_give_empty_columns() -> None:
    columns = measure(np.zeros((0, SIZE, SIZE), dtype=np.float32))
    assert {each.shape for each in columns.values()} == {(0,)}


def test_a_missing_image_is_flagged_and_nan() -> None:
    columns = measure(np.full((2, SIZE, SIZE), np.nan, dtype=np.float32), psf=PSF_IMAGE)
    assert (columns[FLAGS] & Flag.NO_IMAGE != 0).all()
    assert all(np.isnan(columns[feature.name]).all() for feature in FEATURES)


def test_empty_sky_is_flagged_and_nan() -> None:
    sky = np.random.default_rng(4).normal(0.0, 1.0, (200, SIZE, SIZE)).astype(np.float32)
    columns = measure(sky, psf=PSF_IMAGE)
    measured = np.isfinite(columns["gini"])
    flagged = columns[FLAGS] & (Flag.NO_SOURCE | Flag.LOW_SN | Flag.BAD_MOMENTS) != 0
    assert (measured | flagged).all()
    assert measured.mean() < 0.02


def test_constant_stamps_do_not_break_anything() -> None:
    columns = measure(np.ones((3, SIZE, SIZE), dtype=np.float32), psf=PSF_IMAGE)
    assert (columns[FLAGS] & Flag.NO_SOURCE != 0).all()


def test_what_spoils_a_number_makes_it_nan(stamps: np.ndarray) -> None:
    columns = measure(stamps)
    for feature in FEATURES:
        spoiled = columns[FLAGS] & int(feature.spoiled_by) != 0
        assert np.isnan(columns[feature.name][spoiled]).all(), feature.name
    assert np.isnan(columns["spread_model"]).all()
    assert (columns[FLAGS] & Flag.NO_PSF != 0).all()


@pytest.mark.parametrize(
    ("flag", "profile", "noise"),
    [
        (Flag.LOW_SN, galsim.Sersic(1.0, half_light_radius=4.0), 0.008),
        (
            Flag.EDGE,
            galsim.Sersic(1.0, half_light_radius=7.0).shear(q=0.1, beta=0 * galsim.degrees),
            1e-5,
        ),
        (Flag.CUT_OFF, galsim.Sersic(1.0, half_light_radius=14.0), 2e-5),
        (Flag.UNRESOLVED, galsim.DeltaFunction(), 1e-4),
    ],
)
def test_flags_are_raised(flag: Flag, profile: galsim.GSObject, noise: float) -> None:
    flags = measure(drawn(profile, noise)[None])[FLAGS]
    assert flags[0] & flag


def beside_the_light() -> Galaxies:
    """A segment on the skirt of a light beside it, which nothing masks."""
    y, x = np.mgrid[:SIZE, :SIZE]
    images = np.exp(-0.5 * ((x - 13) ** 2 + (y - 20) ** 2) / 4.0)[None].astype(np.float32)
    near = ((x - 20) ** 2 + (y - 20) ** 2 < 9)[None]
    return Galaxies(images, np.ones_like(near), near, np.zeros_like(near))


def hollow() -> Galaxies:
    """A source whose second moments are negative: a bright pixel in a wide dark segment."""
    images = np.full((1, SIZE, SIZE), -0.01, dtype=np.float32)
    images[0, 20, 20] = 100.0
    everywhere = np.ones(images.shape, dtype=bool)
    return Galaxies(images, everywhere, everywhere, ~everywhere)


def wide() -> Galaxies:
    """A source without an end, whose segment leaves no sky."""
    images = np.ones((1, SIZE, SIZE), dtype=np.float32)
    images[0, 20, 20] = 2.0
    everywhere = np.ones(images.shape, dtype=bool)
    return Galaxies(images, everywhere, everywhere, ~everywhere)


@pytest.mark.parametrize(
    ("flag", "scene"),
    [
        (Flag.SEGMENTS_DIFFER, beside_the_light),
        (Flag.NO_CENTRE, beside_the_light),
        (Flag.BAD_MOMENTS, hollow),
        (Flag.NO_SKY, wide),
        (Flag.NO_PETROSIAN, hollow),
    ],
)
def test_flags_of_strange_scenes_are_raised(flag: Flag, scene: Callable[[], Galaxies]) -> None:
    columns = columns_of(scene(), FEATURES)
    assert columns[FLAGS][0] & flag, Flag(int(columns[FLAGS][0]))
    for feature in FEATURES:
        assert np.isnan(columns[feature.name][0]) or not feature.spoiled_by & flag, feature.name


def test_masked_pixels_in_the_source_are_flagged() -> None:
    stamp = drawn(galsim.Sersic(1.0, half_light_radius=4.0), 1e-4)[None]
    masks = np.zeros(stamp.shape, dtype=bool)
    plain = measure(stamp, masks=masks)
    masks[0, 22, 22] = True
    assert not plain[FLAGS][0] & Flag.MASKED
    assert measure(stamp, masks=masks)[FLAGS][0] & Flag.MASKED


def test_neighbours_are_masked() -> None:
    galaxy = galsim.Sersic(1.0, half_light_radius=3.0, trunc=9.0)
    neighbour = galsim.Gaussian(sigma=0.5, flux=0.5).shift(14.0, 12.0)
    alone, crowded = (measure(drawn(each, 1e-3)[None]) for each in (galaxy, galaxy + neighbour))
    for name in ("petrosian_radius", "r50", "gini", "flux_circle"):
        np.testing.assert_allclose(crowded[name], alone[name], rtol=0.1, err_msg=name)


def test_points_have_no_spread_and_galaxies_do() -> None:
    points = np.stack([drawn(galsim.DeltaFunction(), 1e-3, seed) for seed in range(20)])
    discs = np.stack(
        [drawn(galsim.Sersic(1.0, half_light_radius=1.0), 1e-3, seed) for seed in range(20)]
    )
    spread = [measure(each, psf=PSF_IMAGE)["spread_model"] for each in (points, discs)]
    assert abs(np.median(spread[0])) < 0.001
    assert spread[1].min() > spread[0].max()


def test_two_clumps_raise_what_counts_clumps() -> None:
    one = galsim.Gaussian(sigma=1.5)
    two = one.shift(-4.0, 0.0) + 0.8 * one.shift(4.0, 0.0)
    single, double = (measure(drawn(each, 1e-4)[None]) for each in (one, two))
    for name in ("multimode", "intensity", "multiplicity", "asymmetry", "m20"):
        assert double[name][0] > single[name][0] + 0.1, name
    assert double["multimode"][0] > 0.5


def test_classes_are_ordered_as_fang_et_al_report() -> None:
    """From spheroids over discs to irregulars, n, G and C fall; M20 and the radius rise."""
    found = [medians(draw_class(name, 25, np.random.default_rng(6))) for name in CLASSES]
    for names, sign in ((FALLING, -1.0), (RISING, 1.0)):
        for name in names:
            values = np.array([each[name] for each in found])
            assert (sign * np.diff(values) > 0).all(), (name, values)


def test_a_feature_of_ones_own_joins_the_table(stamps: np.ndarray) -> None:
    peak = Feature(
        "peak", "image", "brightest pixel of the segment", lambda g: g.light.max((1, 2)), LOST
    )
    columns = measure(stamps, features=[peak])
    assert list(columns) == ["peak", FLAGS]
    assert np.isfinite(columns["peak"]).any()


def test_features_are_named_once_and_described() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names)
    assert all(feature.definition for feature in FEATURES)


def test_every_feature_and_flag_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "morphology.md").read_text(encoding="utf-8")
    missing = [feature.name for feature in FEATURES if f"`{feature.name}`" not in text]
    assert not missing
    assert [flag.name for flag in Flag if f"| {flag.name} |" not in text] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stamps": np.zeros((2, 41, 40))}, "size, size"),
        ({"stamps": np.zeros((2, 9, 9))}, "at least 15"),
        ({"stamps": np.zeros((2, 41, 41)), "noise": np.ones((2, 5, 5))}, "noise of shape"),
        ({"stamps": np.zeros((2, 41, 41)), "masks": np.ones((1, 41, 41))}, "masks of shape"),
        ({"stamps": np.zeros((2, 41, 41)), "psf": np.ones((3, 9, 9))}, "PSF of shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        measure(**arguments)


def test_a_gpu_that_is_not_there_is_said_in_words() -> None:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except (ImportError, RuntimeError):
        with pytest.raises(InputError, match="on a GPU were asked for"):
            arrays.to_gpu(np.zeros(2))
    else:
        pytest.skip("this machine has a GPU, so nothing is refused")
