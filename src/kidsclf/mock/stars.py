"""Stars: how many of which kind at which magnitude, and their colours.

Counts are those of a high-latitude field (|b| about 60 degrees); they pass through two published
points of KiDS DR5, 2550 Gaia stars and 4851 classified stars per square degree.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.draws import split_counts, truncated_normal
from kidsclf.mock.seds import interpolate_rows, load_sed_grid, sed_scatter, white_dwarf_colours
from kidsclf.mock.settings import R
from kidsclf.mock.sources import STAR, Sources, concatenate, kind_index, point_sources

FloatArray = NDArray[np.float64]

# Cumulative stars per square degree brighter than r.
COUNT_MAGNITUDES: Final = np.array([12.0, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24])
CUMULATIVE_COUNTS: Final = np.array(
    [70.0, 140, 250, 400, 630, 970, 1400, 1920, 2520, 3160, 3850, 4600, 5400]
)
SKY_KINDS: Final = (
    "FGK dwarf", "giant", "KM dwarf", "A or BHB", "white dwarf", "white dwarf + M", "brown dwarf",
)  # fmt: skip
# Shares of SKY_KINDS at r < 17, 17 to 20, and fainter.
SHARE_EDGES: Final = (17.0, 20.0)
SHARES: Final = (
    (0.78, 0.06, 0.15, 0.01, 0.001, 0.0, 0.0),
    (0.58, 0.01, 0.39, 0.008, 0.006, 0.003, 0.0),
    (0.33, 0.0, 0.645, 0.003, 0.015, 0.004, 0.003),
)
# The SDSS-like sample: kind, share, mean and width of r.
SPECTROSCOPIC_MIX: Final = (
    ("FGK dwarf", 0.46, 17.6, 1.2),
    ("metal-poor dwarf", 0.215, 20.6, 0.8),  # quasar targets near the turn-off
    ("KM dwarf", 0.15, 19.5, 1.2),
    ("A or BHB", 0.07, 18.8, 1.4),
    ("giant", 0.05, 17.2, 1.2),
    ("white dwarf", 0.04, 19.8, 1.1),
    ("white dwarf + M", 0.01, 19.8, 1.1),
    ("brown dwarf", 0.005, 21.3, 0.7),
)
SPECTRUM_LIMITS_R: Final = (14.5, 22.8)

# Places in the row of dwarfs B8V ... M6V.
A0, A7, F5, G5, K4, K5, M1, M5, M6 = 2.0, 6.0, 9.0, 14.0, 19.0, 20.0, 23.0, 28.0, 29.0
# Absolute r magnitude along the row: G2V 4.5, K5V 6.8, M3V 10.5 and the main sequence between.
ABSOLUTE_PLACES: Final = np.array([0.0, 2, 5, 7, 9, 13, 16, 20, 22, 26, 28, 29])
ABSOLUTE_MAGS: Final = np.array([-0.2, 0.7, 1.9, 2.6, 3.4, 4.5, 5.6, 6.8, 8.2, 10.5, 12.8, 14.5])
# Hand-made colours m - m_r of L0, L5, T0, T5 dwarfs, after the sequences of West et al. 2011
# (AJ 141, 97) and Skrzypek et al. 2015 (A&A 574, A78); no spectra of them are at hand.
BROWN_DWARFS: Final = np.array(
    [
        [4.8, 2.3, 0.0, -2.4, -4.2, -5.0, -6.0, -6.3, -6.2],
        [5.0, 2.5, 0.0, -2.5, -4.6, -5.6, -6.7, -7.3, -7.3],
        [5.0, 2.6, 0.0, -2.7, -5.3, -6.4, -7.4, -7.7, -7.6],
        [5.0, 2.8, 0.0, -3.2, -6.6, -7.7, -8.7, -8.4, -8.3],
    ]
)
MEAN_RESIDUAL_REDDENING: Final = 0.02  # E(B-V)
SED_SCATTER_MAG: Final = 0.03
METALLICITY_SCATTER_U: Final = 0.05


def draw_sky_stars(area_deg2: float, rng: np.random.Generator) -> Sources:
    """Draw the natural stars of an area, r < 24."""
    count = rng.poisson(CUMULATIVE_COUNTS[-1] * area_deg2)
    rank = rng.uniform(0.0, CUMULATIVE_COUNTS[-1], count)
    first = np.concatenate(([0.0], CUMULATIVE_COUNTS))
    mag = np.interp(rank, first, np.concatenate(([11.5], COUNT_MAGNITUDES)))
    chosen = _choose_kinds(mag, rng)
    blocks = [
        make_stars(name, mag[chosen == k], rng) for k, name in enumerate(SKY_KINDS)
    ]  # the kinds stand in blocks, in the order of SKY_KINDS
    return concatenate(blocks)


def draw_spectroscopic_stars(count: int, rng: np.random.Generator) -> Sources:
    """Draw stars in the mix of kinds and magnitudes of the SDSS sample."""
    counts = split_counts(count, tuple(share for _, share, _, _ in SPECTROSCOPIC_MIX), rng)
    blocks = []
    for (name, _, mean, width), n in zip(SPECTROSCOPIC_MIX, counts, strict=True):
        mag = truncated_normal(mean, width, SPECTRUM_LIMITS_R, int(n), rng)
        blocks.append(make_stars(name, mag, rng))
    return concatenate(blocks)


def sky_density(kind: str, mag_r: FloatArray) -> FloatArray:
    """Return natural stars of a kind of ``SKY_KINDS`` per square degree and magnitude."""
    slope = np.gradient(CUMULATIVE_COUNTS, COUNT_MAGNITUDES)
    shares = np.array(SHARES)[:, SKY_KINDS.index(kind)]
    density = np.interp(mag_r, COUNT_MAGNITUDES, slope) * shares[np.digitize(mag_r, SHARE_EDGES)]
    return np.asarray(density, dtype=np.float64)


def make_stars(kind: str, mag_r: FloatArray, rng: np.random.Generator) -> Sources:
    """Give stars of one kind their colours and absolute magnitudes.

    "FGK dwarf" is half metal-poor, and "metal-poor dwarf" 70 %, as quasar targets are.
    """
    colours, absolute, codes = _star_colours(kind, mag_r, rng)
    n = len(mag_r)
    reddening = rng.exponential(MEAN_RESIDUAL_REDDENING, n)
    law = 3.1 * (load_sed_grid().pivot_wavelengths / 5500.0) ** -1.25  # A(band) / E(B-V)
    colours = colours + reddening[:, None] * (law - law[R])
    colours += sed_scatter(np.full(n, SED_SCATTER_MAG), rng)
    colours[:, 0] += rng.normal(0.0, METALLICITY_SCATTER_U, n)
    stars = point_sources(STAR, codes, np.zeros(n), mag_r[:, None] + colours)
    return replace(stars, absolute_mag_r=absolute)


def _choose_kinds(mag: FloatArray, rng: np.random.Generator) -> NDArray[np.intp]:
    cumulative = np.cumsum(np.array(SHARES), axis=1)
    cumulative /= cumulative[:, -1:]
    chance = rng.uniform(size=len(mag))
    return np.asarray((chance[:, None] > cumulative[np.digitize(mag, SHARE_EDGES)]).sum(axis=1))


def _star_colours(
    kind: str, mag: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, NDArray[np.uint8]]:
    grid, n = load_sed_grid(), len(mag)
    codes = np.full(n, kind_index(kind), dtype=np.uint8)
    if kind in ("FGK dwarf", "metal-poor dwarf"):
        return _turn_off_and_disc(kind == "metal-poor dwarf", n, rng)
    if kind == "giant":
        place = rng.uniform(0.0, len(grid.giant_colours) - 1.0, n)
        return interpolate_rows(grid.giant_colours, place), rng.normal(0.5, 0.7, n), codes
    if kind == "white dwarf":
        return _white_dwarfs(n, rng), rng.normal(12.0, 0.8, n), codes
    if kind == "white dwarf + M":
        return _composites(n, rng), rng.normal(11.3, 0.8, n), codes
    if kind == "brown dwarf":
        place = rng.uniform(0.0, 3.0, n)
        return interpolate_rows(BROWN_DWARFS, place), 17.5 + 1.2 * place, codes
    if kind == "A or BHB":
        place = rng.uniform(A0, A7, n)
    else:  # later types at fainter magnitudes, where the disc runs out
        centre = np.interp(mag, [16.0, 18.5, 21.0], [22.0, 23.5, 25.0])
        place = truncated_normal(centre, 2.5, (K5, M6), n, rng)
    absolute = np.interp(place, ABSOLUTE_PLACES, ABSOLUTE_MAGS) + rng.normal(0.0, 0.3, n)
    return interpolate_rows(grid.dwarf_colours, place), absolute, codes


def _turn_off_and_disc(
    quasar_target: bool, n: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, NDArray[np.uint8]]:
    poor = rng.uniform(size=n) < (0.7 if quasar_target else 0.5)
    disc = truncated_normal(13.0, 3.0, (F5, K4), n, rng)
    place = np.where(poor, rng.uniform(F5, G5, n), disc)
    colours = interpolate_rows(load_sed_grid().dwarf_colours, place)
    # Ultraviolet excess of metal-poor F5-G5 dwarfs, as of Pickles' weak-lined types: the metals
    # that are missing absorb mostly below 4000 Angstrom.
    colours[:, 0] -= np.where(poor, rng.normal(0.20, 0.05, n), 0.0)
    colours[:, 1] -= np.where(poor, 0.03, 0.0)
    absolute = np.interp(place, ABSOLUTE_PLACES, ABSOLUTE_MAGS) + np.where(poor, 0.7, 0.0)
    codes = np.where(poor, kind_index("metal-poor dwarf"), kind_index("FGK dwarf"))
    return colours, absolute + rng.normal(0.0, 0.3, n), codes.astype(np.uint8)


def _white_dwarfs(n: int, rng: np.random.Generator) -> FloatArray:
    return white_dwarf_colours(rng.uniform(np.log10(6000.0), np.log10(35_000.0), n))


def _composites(n: int, rng: np.random.Generator) -> FloatArray:
    share = rng.uniform(0.2, 0.8, n)[:, None]
    companion = interpolate_rows(load_sed_grid().dwarf_colours, rng.uniform(M1, M5, n))
    hot = 10 ** (-0.4 * _white_dwarfs(n, rng))
    return -2.5 * np.log10(share * hot + (1.0 - share) * 10 ** (-0.4 * companion))
