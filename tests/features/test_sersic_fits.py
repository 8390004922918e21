"""Fits of simulated galaxies with the truth known, of bad stamps, and what must not matter."""

import array_api_strict
import galsim
import numpy as np
import pytest
from astropy.io import fits as fits_files
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import InputError
from kidsclf.features.sersic import SersicFits, SersicFlag, fit_sersic, moffat_psf, parts
from kidsclf.features.sersic.record import ALL, SPOILT

SIDE = 41
PSF = moffat_psf(np.array([3.5]))
SHAPE = ("half_light_radius_px", "sersic_index", "axis_ratio", "position_angle_deg", "flux")


def draw_galaxies(count, seed, signal, side=SIDE):
    """Draw truth and images of noise 1; signal-to-noise if all but the flux were known."""
    random = np.random.default_rng(seed)
    truth = {
        "sersic_index": np.exp(random.uniform(np.log(0.7), np.log(5.0), count)),
        "half_light_radius_px": np.exp(random.uniform(np.log(2.5), np.log(7.0), count)),
        "axis_ratio": random.uniform(0.3, 0.9, count),
        "position_angle_deg": random.uniform(0.0, 180.0, count),
        "x_px": (side - 1) / 2.0 + random.uniform(-0.5, 0.5, count),
        "y_px": (side - 1) / 2.0 + random.uniform(-0.5, 0.5, count),
    }
    clean = np.stack([seen(*values, side) for values in zip(*truth.values(), strict=True)])
    truth["flux"] = signal / np.sqrt((clean**2).sum(axis=(1, 2)))
    clean *= truth["flux"][:, None, None]
    return truth, clean, clean + random.normal(size=clean.shape)


def seen(index, radius, axis_ratio, angle_deg, x, y, side=SIDE):
    accuracy = galsim.GSParams(maximum_fft_size=2**14, folding_threshold=2e-3)
    profile = galsim.Sersic(index, half_light_radius=radius * axis_ratio**0.5, gsparams=accuracy)
    profile = profile.shear(q=axis_ratio, beta=angle_deg * galsim.degrees)
    image = galsim.Convolve(profile, galsim.Moffat(beta=3.5, fwhm=3.5), gsparams=accuracy)
    offset = (x - (side - 1) / 2.0, y - (side - 1) / 2.0)
    return image.drawImage(nx=side, ny=side, scale=1.0, offset=offset).array.astype(float)


def unit_variance(count):
    return np.ones((count, 1, 1))


@pytest.fixture(scope="module")
def bright():
    truth, clean, images = draw_galaxies(48, seed=1, signal=200.0)
    return truth, images, fit_sersic(images, unit_variance(48), PSF), clean


def test_galaxies_without_noise_are_recovered(bright):
    truth, _, _, clean = bright
    found = fit_sersic(clean, unit_variance(len(clean)), PSF)
    assert (found.flags == 0).all()
    for name, allowed in (("sersic_index", 0.02), ("half_light_radius_px", 0.015), ("flux", 0.01)):
        np.testing.assert_allclose(found.values[name], truth[name], rtol=allowed, err_msg=name)
    np.testing.assert_allclose(found.values["axis_ratio"], truth["axis_ratio"], atol=0.002)
    np.testing.assert_allclose(found.values["x_px"], truth["x_px"], atol=0.01)
    np.testing.assert_allclose(found.values["y_px"], truth["y_px"], atol=0.01)
    turn = found.values["position_angle_deg"] - truth["position_angle_deg"]
    assert np.abs((turn + 90.0) % 180.0 - 90.0).max() < 0.5


def test_errors_are_those_that_noise_makes(bright):
    truth, images, found, _ = bright
    assert (found.flags == 0).mean() > 0.95
    for name in ("sersic_index", "half_light_radius_px", "axis_ratio", "flux", "x_px", "y_px"):
        pull = (found.values[name] - truth[name]) / found.errors[name]
        pull = pull[np.isfinite(pull)]
        assert abs(np.median(pull)) < 0.6, name
        assert 0.6 < 1.4826 * np.median(np.abs(pull)) < 1.5, name
    np.testing.assert_allclose(found.signal_to_noise, 200.0, rtol=0.05)
    reduced = found.chi2 / found.degrees_of_freedom
    np.testing.assert_allclose(reduced, 1.0, atol=0.15)
    assert (found.degrees_of_freedom == images.shape[1] ** 2 - 7).all()


def test_errors_grow_as_the_signal_falls(bright):
    _, images, found, clean = bright
    fainter = fit_sersic(images - 0.75 * clean, unit_variance(len(images)), PSF)
    for name in ("sersic_index", "axis_ratio", "x_px"):
        assert np.nanmedian(fainter.errors[name] / found.errors[name]) > 3.0


def turned(found, turn):
    """Values as they should be of images whose first axis is turned round, or which are turned."""
    last = SIDE - 1
    x, y, angle = (found.values[name] for name in ("x_px", "y_px", "position_angle_deg"))
    return {
        "flip": {"x_px": x, "y_px": last - y, "position_angle_deg": -angle},
        "quarter": {"x_px": last - y, "y_px": x, "position_angle_deg": angle + 90.0},
    }[turn]


@pytest.mark.parametrize("turn", ["flip", "quarter"])
def test_turned_images_have_turned_fits(bright, turn):
    _, images, found, _ = bright
    operation = {
        "flip": lambda stack: stack[:, ::-1, :],
        "quarter": lambda stack: np.rot90(stack, -1, axes=(1, 2)),
    }[turn]
    other = fit_sersic(operation(images).copy(), unit_variance(len(images)), operation(PSF).copy())
    expected = {name: found.values[name] for name in SHAPE} | turned(found, turn)
    assert (other.flags == found.flags).all()
    for name, values in expected.items():
        shift = other.values[name] - values
        if name == "position_angle_deg":
            shift = (shift + 90.0) % 180.0 - 90.0
        assert np.nanmax(np.abs(shift) / found.errors[name]) < 0.25, name


@settings(max_examples=10, deadline=None)
@given(exponent=st.floats(-30.0, 30.0))
def test_the_unit_of_flux_does_not_matter(bright, exponent):
    _, images, found, _ = bright
    unit = 10.0**exponent
    other = fit_sersic(images[:12] * unit, unit_variance(12) * unit**2, PSF)
    for name in SHAPE:
        scale = unit if name == "flux" else 1.0
        shift = np.abs(other.values[name] / scale - found.values[name][:12])
        assert np.nanmax(shift / found.errors[name][:12]) < 0.1, name


@settings(max_examples=8, deadline=None)
@given(dx=st.floats(-2.5, 2.5), dy=st.floats(-2.5, 2.5))
def test_shifts_by_parts_of_a_pixel_shift_the_centre_alone(dx, dy):
    place = (2.0, 4.0, 0.6, 40.0, 20.0, 20.0)
    images = np.stack([seen(*place), seen(*place[:4], 20.0 + dx, 20.0 + dy)]) * 1e4
    found = fit_sersic(images, unit_variance(2), PSF)
    x, y = (found.values[name] for name in ("x_px", "y_px"))
    assert abs(x[1] - x[0] - dx) < 0.01
    assert abs(y[1] - y[0] - dy) < 0.01
    for name in SHAPE:
        assert found.values[name][1] == pytest.approx(found.values[name][0], rel=0.01), name


def test_a_constant_sky_is_fitted_away(bright):
    _, images, _, _ = bright
    plain = fit_sersic(images, unit_variance(len(images)), PSF, with_sky=True)
    raised = fit_sersic(images + 20.0, unit_variance(len(images)), PSF, with_sky=True)
    good = (plain.flags == 0) & (raised.flags == 0)
    assert good.mean() > 0.8
    step = raised.values["sky"] - plain.values["sky"]
    assert (np.abs(step - 20.0) / plain.errors["sky"])[good].max() < 0.5
    for name in SHAPE:
        shift = np.abs(raised.values[name] - plain.values[name]) / plain.errors[name]
        assert np.nanmax(np.where(good, shift, 0.0)) < 0.5, name


def test_the_answer_does_not_depend_on_the_company(bright, monkeypatch):
    _, images, found, _ = bright
    monkeypatch.setattr("kidsclf.features.sersic.fit.CACHE_ROWS", 7)
    other = fit_sersic(images[::-1].copy(), unit_variance(len(images)), PSF)
    for name in SHAPE:
        shift = np.abs(other.values[name][::-1] - found.values[name]) / found.errors[name]
        assert np.nanmax(shift) < 1e-3, name


def test_masked_pixels_are_not_looked_at(bright):
    _, images, found, _ = bright
    mask = np.zeros(images.shape, dtype=bool)
    mask[:, 2:9, 3:11] = True
    spoilt = np.where(mask, 1e4, images)
    by_mask = fit_sersic(spoilt, unit_variance(len(images)), PSF, mask)
    by_nan = fit_sersic(np.where(mask, np.nan, images), unit_variance(len(images)), PSF)
    variance = np.where(mask, 0.0, np.ones(images.shape))
    by_variance = fit_sersic(spoilt, variance, PSF)
    for other in (by_nan, by_variance):
        np.testing.assert_array_equal(other.values["flux"], by_mask.values["flux"])
    assert (by_mask.degrees_of_freedom == found.degrees_of_freedom - 56).all()
    shift = np.abs(by_mask.values["axis_ratio"] - found.values["axis_ratio"])
    assert np.nanmedian(shift / found.errors["axis_ratio"]) < 0.5


def bad_stamps():
    random = np.random.default_rng(2)
    good = seen(1.0, 4.0, 0.6, 20.0, 20.0, 20.0) * 1e3 + random.normal(size=(SIDE, SIDE))
    star = galsim.Moffat(beta=3.5, fwhm=3.5).drawImage(nx=SIDE, ny=SIDE, scale=1.0).array * 1e3
    knife = seen(1.0, 14.0, 0.01, 45.0, 20.0, 20.0) * 5e4
    masked = good.copy()
    masked[17:24, 17:24] = np.nan
    return {
        SersicFlag.MASKED: masked,
        SersicFlag.LOW_SIGNAL: random.normal(size=(SIDE, SIDE)),
        SersicFlag.SIZE_SMALL: star,
        SersicFlag.TOO_FLAT: knife,
        SersicFlag.INDEX_HIGH: star + seen(0.6, 12.0, 0.9, 0.0, 20.0, 20.0) * 2e3,
        SersicFlag.SIZE_LARGE: np.full((SIDE, SIDE), 5.0) + random.normal(size=(SIDE, SIDE)),
        SersicFlag.OFF_CENTRE: seen(1.0, 4.0, 0.6, 20.0, 38.0, 20.0) * 1e3,
        SersicFlag.INDEX_LOW: np.pad(np.full((11, 11), 20.0), 15),
    }


@pytest.mark.parametrize("flag", list(bad_stamps()))
def test_what_cannot_be_trusted_is_nan_with_its_flag(flag):
    stamp = bad_stamps()[flag][None]
    found = fit_sersic(stamp, unit_variance(1), PSF)
    assert found.flags[0] & flag, SersicFlag(int(found.flags[0]))
    for name in SPOILT[flag]:
        if name != "sky":
            assert np.isnan(found.values[name][0]), name
            assert np.isnan(found.errors[name][0]), name


def test_what_has_not_converged_is_nan(bright, monkeypatch):
    _, images, _, _ = bright
    monkeypatch.setattr("kidsclf.features.sersic.fit.ITERATIONS", 1)
    found = fit_sersic(images, unit_variance(len(images)), PSF)
    ended = (found.flags & SersicFlag.NOT_CONVERGED) > 0
    assert ended.any()
    assert np.isnan(found.values["flux"][ended]).all()


def test_stamps_without_a_pixel_or_a_psf(bright):
    _, images, _, _ = bright
    stamps = images[:3].copy()
    stamps[1] = np.nan
    psf = np.repeat(PSF, 3, axis=0)
    psf[2] = np.nan
    found = fit_sersic(stamps, unit_variance(3), psf)
    flags = [SersicFlag(int(flag)) for flag in found.flags]
    assert flags[0] == SersicFlag(0)
    assert SersicFlag.MASKED in flags[1]
    assert flags[2] & SersicFlag.NO_PSF
    for name in set(ALL) - {"sky"}:
        assert np.isfinite(found.values[name]).tolist() == [True, False, False], name


def test_nothing_to_fit():
    found = fit_sersic(np.zeros((0, SIDE, SIDE)), np.ones((0, 1, 1)), PSF)
    assert len(found) == 0
    assert found.values["flux"].shape == (0,)


@pytest.mark.parametrize(
    ("stamps", "variance", "psf"),
    [
        ((2, 41, 40), (2, 1, 1), (1, 25, 25)),
        ((2, 41, 41), (3, 1, 1), (1, 25, 25)),
        ((2, 41, 41), (2, 41, 41), (3, 25, 25)),
        ((2, 3, 3), (2, 1, 1), (1, 25, 25)),
        ((1, 2040, 2040), (1, 1, 1), (1, 25, 25)),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(stamps, variance, psf):
    with pytest.raises(InputError, match=r"were asked for, but the shapes are .*; cut square"):
        fit_sersic(np.zeros(stamps), np.ones(variance), np.ones(psf))


def test_wide_stamps_and_coarse_pixels_give_what_the_truth_is():
    truth, _, images = draw_galaxies(6, seed=4, signal=150.0, side=151)
    found = fit_sersic(images, unit_variance(6), PSF)
    assert (found.flags == 0).all()
    for name in ("sersic_index", "half_light_radius_px", "axis_ratio", "flux"):
        assert (np.abs(found.values[name] - truth[name]) < 5.0 * found.errors[name]).all(), name


def test_parts_of_large_stamps_lead_to_the_minimum_of_all_pixels(monkeypatch):
    """Alone or on the strict namespace, by way of core and outskirts or without them."""
    _, _, images = draw_galaxies(3, seed=6, signal=60.0, side=81)
    found = fit_sersic(images, unit_variance(3), PSF, with_sky=True)
    xp = array_api_strict
    strict = [xp.asarray(each[:1]) for each in (images, unit_variance(3), PSF)]
    others = [(fit_sersic(*strict, with_sky=True), 1)]
    monkeypatch.setattr(parts, "SMALLEST_PX", 82)
    others.append((fit_sersic(images, unit_variance(3), PSF, with_sky=True), 3))
    for other, count in others:
        for name in (*SHAPE, "sky", "x_px"):
            shift = np.abs(np.asarray(other.values[name]) - found.values[name][:count])
            assert np.nanmax(shift / found.errors[name][:count]) < 0.1, name
        assert np.asarray(other.chi2) == pytest.approx(found.chi2[:count], abs=0.01)


def test_the_array_standard_is_enough(bright):
    """The strict namespace knows nothing of NumPy, so this is the path of a GPU."""
    _, images, found, _ = bright
    xp = array_api_strict
    strict = [xp.asarray(each) for each in (images[:6], unit_variance(6), PSF)]
    other = fit_sersic(*strict)
    assert isinstance(other, SersicFits)
    for name in SHAPE:
        shift = np.abs(np.asarray(other.values[name]) - found.values[name][:6])
        assert np.nanmax(shift / found.errors[name][:6]) < 0.1, name


def test_galaxies_of_kids(survey_data):
    """Their profiles are not exact, but sizes and fluxes have to be those of the images."""
    folder = survey_data / "images" / "kids_r"
    for path in sorted(folder.glob("*_image*")):
        name = path.name.split("_image")[0]
        image, sigma, segment, psf = (
            fits_files.getdata(next(folder.glob(f"{name}_{part}*"))).astype(float)
            for part in ("image", "sigma", "segm", "psf")
        )
        own = segment == segment[tuple(length // 2 for length in segment.shape)]
        side = min(image.shape)
        cut = tuple(slice((each - side) // 2, (each + side) // 2) for each in image.shape)
        mask = ((segment != 0) & ~own)[cut]
        found = fit_sersic(image[None][:, *cut], sigma[None][:, *cut] ** 2, psf[None], mask[None])
        assert found.flags[0] == 0, (name, SersicFlag(int(found.flags[0])))
        assert found.values["flux"][0] == pytest.approx(image[own].sum(), rel=0.3), name
        assert 0.5 < found.values["sersic_index"][0] < 8.0
