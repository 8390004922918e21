"""Sersic fits: speed and error against statmorph's, on the same stamps, with the truth known.

GalSim draws galaxies of Sersic index 0.5 to 6, axis ratio 0.2 to 1 and half-light radius 0.5 to 3
(41 x 41) or 6 (101 x 101) times the seeing of 3.5 pixels (Moffat, beta 3.5), with white noise;
signal-to-noise is that of the whole profile if its shape were known. Every repeat draws new ones.
statmorph is given the isophote that holds 90 % of the light as its segment, and the PSF; ``fit``
is the time of its Sersic fit alone, ``all`` that of all it does, without which it makes no fit.
Both run on one thread; times are those of the processor, which other programs disturb least. The
error of a parameter is that of its logarithm: the root of squared bias (median) and squared scatter
(half the range from the 16th to the 84th percentile), over the galaxies that neither flags;
``valid`` is the share that one does not flag.
"""

import time
import warnings
from collections.abc import Mapping
from itertools import pairwise

import galsim
import numpy as np
import statmorph
from scipy.special import gamma, gammaincinv
from threadpoolctl import threadpool_limits

from benchmarks.record import Measurement, Ratio, Record, rates, ratio
from kidsclf.features.sersic import fit_sersic

GALAXIES = {"tiny": 4, "small": 60, "full": 300}
SIDES = {41: 3.0, 101: 6.0}
"""Side of the stamps and largest half-light radius, in seeing discs."""

SEEING_PX = 3.5
PSF_PX = 25
SIGNALS = (5.0, 20.0, 50.0, 500.0)
RADII = (0.5, 1.0, 2.0, 6.0)
LEAST_IN_BIN = 5
STAMPS = 1024
"""Stamps that our fits are given, copies if need be, so that chunks are as full as in a survey."""

PARAMETERS = ("sersic_index", "half_light_radius_px", "axis_ratio", "flux")


def draw_galaxies(
    count: int, side: int, largest: float, random: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Draw truth, images without noise, images with noise of 1, and the PSF."""
    seeing = galsim.Moffat(beta=3.5, fwhm=SEEING_PX)
    psf = seeing.drawImage(nx=PSF_PX, ny=PSF_PX, scale=1.0).array.astype(np.float64)
    truth = {
        "sersic_index": np.exp(random.uniform(np.log(0.5), np.log(6.0), count)),
        "half_light_radius_px": np.exp(random.uniform(np.log(0.5), np.log(largest), count))
        * SEEING_PX,
        "axis_ratio": random.uniform(0.2, 1.0, count),
        "signal": np.exp(random.uniform(np.log(SIGNALS[0]), np.log(SIGNALS[-1]), count)),
    }
    accuracy = galsim.GSParams(maximum_fft_size=2**15, folding_threshold=2e-3)
    clean = np.empty((count, side, side))
    for row in range(count):
        ratio_, radius = truth["axis_ratio"][row], truth["half_light_radius_px"][row]
        profile = galsim.Sersic(
            truth["sersic_index"][row], half_light_radius=radius * ratio_**0.5, gsparams=accuracy
        ).shear(q=ratio_, beta=random.uniform(0.0, 180.0) * galsim.degrees)
        seen = galsim.Convolve(profile, seeing, gsparams=accuracy)
        offset = tuple(random.uniform(-0.5, 0.5, 2))
        clean[row] = seen.drawImage(nx=side, ny=side, scale=1.0, offset=offset).array
    truth["flux"] = truth["signal"] / np.sqrt((clean**2).sum(axis=(1, 2)))
    clean *= truth["flux"][:, None, None]
    return truth, clean, clean + random.normal(size=clean.shape), psf / psf.sum()


def _ours(images: np.ndarray, psf: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    copies = max(1, STAMPS // len(images))
    stamps = np.tile(images.astype(np.float32), (copies, 1, 1))
    variance = np.ones((len(stamps), 1, 1))
    started = time.process_time()
    fits = fit_sersic(stamps, variance, psf[None])
    seconds = (time.process_time() - started) / copies
    return {name: fits.values[name][: len(images)] for name in PARAMETERS}, seconds


def _statmorph(
    clean: np.ndarray, images: np.ndarray, psf: np.ndarray
) -> tuple[dict[str, np.ndarray], float, float]:
    rows, alone, whole = [], 0.0, 0.0
    for light, image in zip(clean, images, strict=True):
        order = np.sort(light.ravel())[::-1]
        level = order[np.searchsorted(np.cumsum(order) / order.sum(), 0.9)]
        segment = (light >= level).astype(np.int64)
        weights = np.ones_like(image)
        started, clock = time.process_time(), time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = statmorph.SourceMorphology(image, segment, 1, weightmap=weights, psf=psf)
        taken, elapsed = time.process_time() - started, time.perf_counter() - clock
        whole += taken
        alone += max(found.sersic_runtime, 0.0) * taken / elapsed
        shape = found.sersic_n, found.sersic_rhalf, 1.0 - found.sersic_ellip
        good = found.flag_sersic < 2 and min(*shape, found.sersic_amplitude) > 0
        rows.append((*shape, _flux(found.sersic_amplitude, *shape)) if good else (np.nan,) * 4)
    return dict(zip(PARAMETERS, np.array(rows).T, strict=True)), alone, whole


def _flux(amplitude: float, index: float, radius: float, axis_ratio: float) -> float:
    """Total flux from the surface brightness at the half-light radius (Graham & Driver 2005)."""
    steep = gammaincinv(2.0 * index, 0.5)
    shape = index * steep ** (-2.0 * index) * np.exp(steep) * gamma(2.0 * index)
    return float(amplitude * 2.0 * np.pi * radius**2 * axis_ratio * shape)


Errors = dict[tuple[str, str], list[float]]


def _errors(
    truth: Mapping[str, np.ndarray], found: Mapping[str, Mapping[str, np.ndarray]]
) -> Errors:
    """Give errors and shares by (subject and bin, quantity)."""
    radius = truth["half_light_radius_px"] / SEEING_PX
    errors: Errors = {}
    for low, high in pairwise(SIGNALS):
        for small, large in pairwise(RADII):
            inside = (truth["signal"] >= low) & (truth["signal"] < high)
            inside &= (radius >= small) & (radius < large)
            name = f"S/N {low:g}-{high:g} r_e {small:g}-{large:g}"
            for parameter in PARAMETERS:
                logs = {s: np.log(each[parameter] / truth[parameter]) for s, each in found.items()}
                both = inside & np.isfinite(sum(logs.values()))
                if both.sum() < LEAST_IN_BIN:
                    continue
                for subject, log in logs.items():
                    low_, middle, high_ = np.percentile(log[both], (16.0, 50.0, 84.0))
                    scatter = (high_ - low_) / 2.0
                    place = f"{subject} {name}"
                    errors[place, f"bias {parameter}"] = [abs(middle)]
                    errors[place, f"scatter {parameter}"] = [scatter]
                    errors[place, f"error {parameter}"] = [np.hypot(middle, scatter)]
                    valid = np.isfinite(log[inside]).mean()
                    errors[place, f"valid {parameter}"] = [valid]
    return errors


def measure(size: str, repeats: int) -> Record:
    count = GALAXIES[size]
    measurements: list[Measurement] = []
    ratios: list[Ratio] = []
    with threadpool_limits(1):
        for side, largest in SIDES.items():
            warm = draw_galaxies(2, side, largest, np.random.default_rng(0))
            _ours(warm[2], warm[3])
            seconds: dict[str, list[float]] = {
                "kidsclf": [],
                "statmorph fit": [],
                "statmorph all": [],
            }
            errors: Errors = {}
            for repeat in range(repeats):
                random = np.random.default_rng((side, repeat))
                truth, clean, images, psf = draw_galaxies(count, side, largest, random)
                ours, ours_s = _ours(images, psf)
                theirs, fit_s, all_s = _statmorph(clean, images, psf)
                for name, value in zip(seconds, (ours_s, fit_s, all_s), strict=True):
                    seconds[name].append(value)
                for key, value in _errors(truth, {"kidsclf": ours, "statmorph": theirs}).items():
                    errors.setdefault(key, []).extend(value)
            speed = [
                rates(f"{name} {side} px", "rate", "fits/s", count, taken)
                for name, taken in seconds.items()
            ]
            measurements += speed
            ratios += [ratio(speed[0], speed[1], goal=100.0), ratio(speed[0], speed[2])]
            kept = {key: value for key, value in errors.items() if len(value) == repeats}
            added = [
                Measurement(f"{place} {side} px", quantity, "", tuple(map(float, values)))
                for (place, quantity), values in kept.items()
            ]
            measurements += added
            ratios += _error_ratios(added)
    facts = {"galaxies a repeat and side": count, "seeing_px": SEEING_PX, "psf": "Moffat 3.5"}
    return Record("sersic", size, tuple(measurements), tuple(ratios), facts)


def _error_ratios(measurements: list[Measurement]) -> list[Ratio]:
    """Compare errors bin by bin; nothing is asked for below a signal-to-noise of 20."""
    table = {(each.subject, each.quantity): each for each in measurements}
    found = []
    for (subject, quantity), ours in table.items():
        if subject.startswith("kidsclf") and quantity.startswith("error"):
            theirs = table[subject.replace("kidsclf", "statmorph"), quantity]
            goal = None if f"S/N {SIGNALS[0]:g}-" in subject else 1.0
            found.append(ratio(ours, theirs, goal, at_least=False))
    return found
