"""Morphology without models: speed, and agreement with statmorph on the same pixels.

GalSim draws galaxies of Sersic index 0.5 to 6, axis ratio 0.25 to 1 and half-light radius 0.5 to 6
times the seeing of 3.5 pixels (Moffat, beta 3.5; at most an eighth of the stamp), every second one
with one to five clumps, with white noise for a signal-to-noise of 5 to 500 (of the whole profile if
its shape were known). statmorph is given the sky-subtracted stamp, the segment and the mask that
kidsclf found, and cuts its own window. Its time is that of all it does by default, its Sersic fit
included; without that fit; and, of every fourth galaxy, with its fit of two Sersic profiles too.
kidsclf makes all columns of its table, sky and segment included, and no fit. Both run on one
thread, in turn. ``rate`` is by the time of the processor, ``wall rate`` by the clock on the wall.

Agreement: both see the whole stamp, and for both the sky is what statmorph takes, an empty square
in a corner. ``difference`` is the median of |ours - theirs| / |theirs|, ``within 5 %`` the share of
sources below 0.05.
"""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import galsim
import numpy as np
import statmorph
from astropy.stats import sigma_clipped_stats
from numpy.typing import NDArray
from photutils.aperture import CircularAnnulus
from photutils.background import ModeEstimatorBackground
from threadpoolctl import threadpool_limits

from benchmarks.record import Measurement, Ratio, Record, rates, ratio
from kidsclf.features.morphology.galaxies import Galaxies
from kidsclf.features.morphology.measure import measure as measure_morphology
from kidsclf.features.morphology.measure import prepare
from kidsclf.features.morphology.sky import Sky
from kidsclf.features.morphology.table import FEATURES

GALAXIES = {"tiny": 4, "small": 16, "full": 200}
SIDES = (41, 101)
SEEING_PX = 3.5
PSF_PX = 25
COPIES = {"tiny": 2, "small": 60, "full": 5}
"""Times that kidsclf is given the stamps, so that a chunk is as full as in a survey."""

PEERS = {
    "concentration": "concentration",
    "gini": "gini",
    "m20": "m20",
    "half_light_radius": "rhalf_circ",
    "half_light_semi_major": "rhalf_ellip",
    "asymmetry": "asymmetry",
    "smoothness": "smoothness",
    "multimode": "multimode",
    "intensity": "intensity",
    "deviation": "deviation",
    "petrosian_radius": "rpetro_circ",
    "r20": "r20",
    "r80": "r80",
    "shape_asymmetry": "shape_asymmetry",
    "outer_asymmetry": "outer_asymmetry",
    "sn_per_pixel": "sn_per_pixel",
}
"""What statmorph calls our columns."""

Images = NDArray[np.float32]


def draw_galaxies(count: int, side: int, random: np.random.Generator) -> tuple[Images, Images]:
    """Draw stamps with noise, and the same without."""
    clean, noisy = np.empty((2, count, side, side), dtype=np.float32)
    psf = galsim.Moffat(beta=3.5, fwhm=SEEING_PX)
    for row in range(count):
        radius = min(SEEING_PX * np.exp(random.uniform(np.log(0.5), np.log(6.0))), side / 8)
        profile = galsim.Sersic(
            n=np.exp(random.uniform(np.log(0.5), np.log(6.0))),
            half_light_radius=radius,
            trunc=5 * radius,
        ).shear(q=random.uniform(0.25, 1.0), beta=random.uniform(0.0, np.pi) * galsim.radians)
        for _ in range(random.integers(1, 6) if row % 2 else 0):
            angle, reach = random.uniform(0.0, 2 * np.pi), radius * random.uniform(0.3, 1.5)
            clump = galsim.Gaussian(
                sigma=radius * random.uniform(0.05, 0.2), flux=random.uniform(0.02, 0.15)
            )
            profile += clump.shift(reach * np.cos(angle), reach * np.sin(angle))
        seen = galsim.Convolve(profile, psf).shift(*random.uniform(-0.5, 0.5, 2))
        clean[row] = seen.drawImage(nx=side, ny=side, scale=1.0).array
        signal = np.exp(random.uniform(np.log(5.0), np.log(500.0)))
        noise = np.sqrt((clean[row] ** 2).sum()) / signal
        noisy[row] = clean[row] + random.normal(0.0, noise, (side, side))
    return noisy, clean


def run_statmorph(
    galaxies: Galaxies, row: int, extent: float = 100.0, *, double: bool = False
) -> statmorph.SourceMorphology | None:
    """Measure one prepared stamp; None where statmorph stops with an assertion.

    It cuts a window of ``extent`` times the segment (2.5 by default), or takes the whole stamp; it
    fits one Sersic profile, and with ``double`` also two.
    """
    image = galaxies.images[row].astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return statmorph.SourceMorphology(
                image,
                galaxies.segments[row].astype(np.int64),
                1,
                mask=~galaxies.good[row],
                weightmap=np.ones_like(image),
                cutout_extent=extent,
                include_doublesersic=double,
            )
        except AssertionError:
            return None


def sky_of(peers: list[statmorph.SourceMorphology]) -> Sky:
    """Collect the sky that statmorph took."""
    sigma, change, roughness, level = np.array(
        [(m.sky_sigma, m._sky_asymmetry, m._sky_smoothness, _outline_level(m)) for m in peers]
    ).T
    return Sky(sigma, change, roughness, level)


def _outline_level(m: statmorph.SourceMorphology) -> float:
    """Repeat the threshold of its shape segment, which it does not tell."""
    shape = m._cutout_stamp_maskzeroed.shape
    inner = m._petro_extent_flux * m.rpetro_ellip
    ring = CircularAnnulus(m._asymmetry_center, inner, 2 * inner).to_mask(method="center")
    ring_image = ring.to_image(shape)
    within = np.zeros(shape, dtype=bool) if ring_image is None else ring_image > 0
    hidden = m._mask_stamp | ~within
    if (~hidden).sum() < m._skybox_size**2:
        hidden = np.ones(shape, dtype=bool)
        hidden[m._slice_skybox] = False
    mode = ModeEstimatorBackground(median_factor=2.5, mean_factor=1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean, median, deviation = sigma_clipped_stats(
            m._cutout_stamp_maskzeroed, mask=hidden, sigma=3.0, maxiters=None, cenfunc=mode
        )
    return float(2.5 * median - 1.5 * mean + deviation)


def differences(
    galaxies: Galaxies, peers: list[statmorph.SourceMorphology | None]
) -> dict[str, NDArray[np.float64]]:
    """Give |ours - theirs| / |theirs| of each column, where both have a number."""
    usable = [m is not None and m.flag < 4 and m.sky_sigma > 0 for m in peers]
    kept = galaxies.rows_of(np.flatnonzero(usable))
    known = [m for m, good in zip(peers, usable, strict=True) if good]
    kept = replace(kept, given_sky=sky_of(known), noise=np.ones_like(kept.images))
    found = {}
    compute = {feature.name: feature.compute for feature in FEATURES}
    for name, theirs in PEERS.items():
        ours, other = compute[name](kept), np.array([getattr(m, theirs) for m in known])
        both = np.isfinite(ours) & (other != -99.0)
        gap = np.abs(ours - other)[both]
        size = np.abs(other[both])
        found[name] = np.where(gap == 0.0, 0.0, gap / np.where(size > 0, size, 1e-300))
    return found


@dataclass
class _Clock:
    """Seconds of the processor and on the wall, a value a repeat."""

    processor: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def rates(self, subject: str, count: int) -> tuple[Measurement, Measurement]:
        return (
            rates(subject, "rate", "sources/s", count, self.processor),
            rates(subject, "wall rate", "sources/s", count, self.wall),
        )


@contextmanager
def _timed(clock: _Clock, share: float = 1.0) -> Iterator[None]:
    processor, wall = time.process_time(), time.perf_counter()
    yield
    clock.processor.append((time.process_time() - processor) * share)
    clock.wall.append((time.perf_counter() - wall) * share)


def _compare(
    stamps: Images, psf: NDArray[np.float64], copies: int, clocks: dict[str, _Clock]
) -> dict[str, NDArray[np.float64]]:
    """Time both on the same stamps, and give the differences of each column."""
    ours, theirs, without, double = clocks.values()
    count = len(stamps)
    repeated = np.concatenate([stamps] * copies)
    with _timed(ours, 1.0 / copies):
        measure_morphology(repeated, psf=psf)
    galaxies = prepare(stamps, None, None, psf)
    galaxies = galaxies.rows_of(np.flatnonzero(galaxies.has_source))
    rows = range(len(galaxies.images))
    with _timed(theirs, count / len(rows)):
        peers = [run_statmorph(galaxies, row, 2.5) for row in rows]
    fit = sum(max(m.sersic_runtime, 0.0) for m in peers if m is not None) * count / len(rows)
    alone = 1.0 - fit / theirs.wall[-1]
    without.processor.append(theirs.processor[-1] * alone)
    without.wall.append(theirs.wall[-1] * alone)
    with _timed(double, count / len(rows[::4])):
        for row in rows[::4]:
            run_statmorph(galaxies, row, 2.5, double=True)
    return differences(galaxies, [run_statmorph(galaxies, row) for row in rows])


def measure(size: str, repeats: int) -> Record:
    count = GALAXIES[size]
    measurements: list[Measurement] = []
    ratios: list[Ratio] = []
    psf = galsim.Moffat(beta=3.5, fwhm=SEEING_PX).drawImage(nx=PSF_PX, ny=PSF_PX, scale=1.0).array
    kinds = ("kidsclf", "statmorph", "statmorph without fit", "statmorph with two fits")
    with threadpool_limits(1):
        for side in SIDES:
            clocks = {f"{kind} {side} px": _Clock() for kind in kinds}
            shares: dict[tuple[str, str], list[float]] = {}
            warm = draw_galaxies(4, side, np.random.default_rng(side))[0]
            _compare(warm, psf, 1, {name: _Clock() for name in kinds})
            for repeat in range(repeats):
                stamps, _ = draw_galaxies(count, side, np.random.default_rng((side, repeat)))
                for name, gap in _compare(stamps, psf, COPIES[size], clocks).items():
                    shares.setdefault((name, "difference"), []).append(float(np.median(gap)))
                    shares.setdefault((name, "within 5 %"), []).append(float(np.mean(gap < 0.05)))
            speed = [clock.rates(name, count) for name, clock in clocks.items()]
            measurements += [each for pair in speed for each in pair]
            for peer in speed[1:]:
                goal = 300.0 if peer is speed[1] else None
                ratios += [ratio(speed[0][0], peer[0], goal), ratio(speed[0][1], peer[1])]
            measurements += [
                Measurement(f"{name} {side} px", quantity, "", tuple(values))
                for (name, quantity), values in shares.items()
            ]
    facts = {"galaxies a repeat": count, "statmorph": statmorph.__version__}
    return Record("morphology", size, tuple(measurements), tuple(ratios), facts)
