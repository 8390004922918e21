"""Sersic fits: speed and error against statmorph's, on the same stamps, with the truth known.

GalSim draws galaxies of Sersic index 0.5 to 6, axis ratio 0.2 to 1 and half-light radius 0.5 to 3
(41 x 41) or 6 (101 x 101) times the seeing of 3.5 pixels (Moffat, beta 3.5), with white noise;
signal-to-noise is that of the whole profile if its shape were known. Every repeat draws new ones,
as many of each size, and half of them at a signal-to-noise of 20 to 50.
statmorph is given the isophote that holds 90 % of the light as its segment, and the PSF; ``fit``
is the time of its Sersic fit alone, ``all`` that of all it does, without which it makes no fit.
Both run on one thread, in turn; times are those of the processor, which other programs disturb
least. Bias (median) and scatter (half the range from the 16th to the 84th percentile) are those of
a parameter's logarithm, over the galaxies of all repeats that neither flags; the error is the root
of their squares' sum, and ``valid`` the share that one does not flag. Ratios of errors are those of
as many draws with replacement (the same galaxies for both) as there are ``REDRAWN``.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import galsim
import numpy as np
import statmorph
from scipy.special import gamma, gammaincinv
from threadpoolctl import threadpool_limits

from benchmarks.record import Measurement, Ratio, Record, rates, ratio
from kidsclf.features.sersic import fit_sersic

GALAXIES = {"tiny": 4, "small": 20, "full": 75}
SIDES = {41: 3.0, 101: 6.0}
"""Side of the stamps and largest half-light radius, in seeing discs."""

SEEING_PX = 3.5
PSF_PX = 25
SIGNALS = (5.0, 20.0, 50.0, 500.0)
SHARES = (0.2, 0.5, 0.3)
"""Of the galaxies in the bins of signal-to-noise: most where ours and theirs differ least."""

RADII = (0.5, 1.0, 2.0, 6.0)
LEAST_IN_BIN = 5
REDRAWN = 400
STAMPS = 1024
"""Stamps that our fits are given, copies if need be, so that chunks are as full as in a survey."""

PARAMETERS = ("sersic_index", "half_light_radius_px", "axis_ratio", "flux")
QUANTITIES = ("bias", "scatter", "error", "valid")


def draw_galaxies(
    count: int, side: int, largest: float, random: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Draw truth, images without noise, images with noise of 1, and the PSF."""
    seeing = galsim.Moffat(beta=3.5, fwhm=SEEING_PX)
    psf = seeing.drawImage(nx=PSF_PX, ny=PSF_PX, scale=1.0).array.astype(np.float64)
    truth = {
        "sersic_index": np.exp(random.uniform(np.log(0.5), np.log(6.0), count)),
        "half_light_radius_px": _in_bins(random, (*RADII[:-1], largest), (1 / 3,) * 3, count)
        * SEEING_PX,
        "axis_ratio": random.uniform(0.2, 1.0, count),
        "signal": _in_bins(random, SIGNALS, SHARES, count),
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


def _in_bins(
    random: np.random.Generator, edges: Sequence[float], shares: Sequence[float], count: int
) -> np.ndarray:
    """Draw numbers whose logarithm is even in each bin, and bins by their shares."""
    place = random.choice(len(shares), count, p=shares)
    low, high = np.log(edges)[place], np.log(edges)[place + 1]
    return np.exp(random.uniform(low, high))


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


Logs = dict[str, np.ndarray]
"""Logarithms of found over true, by parameter; NaN where flagged."""


def _logs(truth: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> Logs:
    return {name: np.log(found[name] / truth[name]) for name in PARAMETERS}


def _bins(truth: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Name the bins of signal-to-noise and size, and say who lies in them."""
    radius = truth["half_light_radius_px"] / SEEING_PX
    for low, high in pairwise(SIGNALS):
        for small, large in pairwise(RADII):
            inside = (truth["signal"] >= low) & (truth["signal"] < high)
            inside &= (radius >= small) & (radius < large)
            yield f"S/N {low:g}-{high:g} r_e {small:g}-{large:g}", inside


def _moments(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give bias, scatter and error along the last axis."""
    low, middle, high = np.percentile(logs, (16.0, 50.0, 84.0), axis=-1)
    scatter = (high - low) / 2.0
    return middle, scatter, np.hypot(middle, scatter)


def _compared(
    truth: Mapping[str, np.ndarray], ours: Logs, theirs: Logs, side: int
) -> tuple[list[Measurement], list[Ratio]]:
    """Compare bias, scatter and error bin by bin; nothing is asked for below S/N 20."""
    measurements: list[Measurement] = []
    ratios: list[Ratio] = []
    random = np.random.default_rng(side)
    for name, inside in _bins(truth):
        for parameter in PARAMETERS:
            pair = np.stack([each[parameter][inside] for each in (ours, theirs)])
            both = pair[:, np.isfinite(pair).all(axis=0)]
            if both.shape[1] < LEAST_IN_BIN:
                continue
            moments = np.stack(_moments(both), axis=1)
            valid = np.isfinite(pair).mean(axis=1)
            places = [f"{each} {name} {side} px" for each in ("kidsclf", "statmorph")]
            for place, numbers, share in zip(places, moments, valid, strict=True):
                for quantity, value in zip(QUANTITIES, (*numbers, share), strict=True):
                    found = Measurement(place, f"{quantity} {parameter}", "", (float(value),))
                    measurements.append(found)
            drawn = both[:, random.integers(both.shape[1], size=(REDRAWN, both.shape[1]))]
            errors = _moments(drawn)[2]
            ratios.append(
                Ratio(
                    *places,
                    f"error {parameter}",
                    tuple(np.percentile(errors[0] / errors[1], (16.0, 50.0, 84.0))),
                    None if name.startswith(f"S/N {SIGNALS[0]:g}-") else 1.0,
                    at_least=False,
                )
            )
    return measurements, ratios


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
            truths, ours_logs, their_logs = [], [], []
            for repeat in range(repeats):
                random = np.random.default_rng((side, repeat))
                truth, clean, images, psf = draw_galaxies(count, side, largest, random)
                ours, ours_s = _ours(images, psf)
                theirs, fit_s, all_s = _statmorph(clean, images, psf)
                for name, value in zip(seconds, (ours_s, fit_s, all_s), strict=True):
                    seconds[name].append(value)
                truths.append(truth)
                ours_logs.append(_logs(truth, ours))
                their_logs.append(_logs(truth, theirs))
            speed = [
                rates(f"{name} {side} px", "rate", "fits/s", count, taken)
                for name, taken in seconds.items()
            ]
            measurements += speed
            ratios += [ratio(speed[0], speed[1], goal=100.0), ratio(speed[0], speed[2])]
            added, compared = _compared(
                _joined(truths), _joined(ours_logs), _joined(their_logs), side
            )
            measurements += added
            ratios += compared
    facts = {
        "galaxies a side": count * repeats,
        "seeing_px": SEEING_PX,
        "psf": "Moffat 3.5",
        "statmorph": statmorph.__version__,
    }
    return Record("sersic", size, tuple(measurements), tuple(ratios), facts)
