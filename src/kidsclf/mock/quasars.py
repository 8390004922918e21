"""Quasars and the galaxies that host them: spectra, and the three kinds that surveys find."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock import quasar_counts
from kidsclf.mock.cosmology import distance_modulus
from kidsclf.mock.draws import split_counts
from kidsclf.mock.galaxies import draw_spectroscopic_galaxies
from kidsclf.mock.seds import (
    QuasarSpectra,
    galaxy_colours,
    load_sed_grid,
    quasar_fluxes,
    sed_scatter,
)
from kidsclf.mock.settings import BANDS, R
from kidsclf.mock.shapes import half_light_radius
from kidsclf.mock.sources import QSO, Sources, concatenate, kind_index, point_sources

FloatArray = NDArray[np.float64]

# lg EW = s M_i + c, in the order of the lines of the shipped table: trends of simqso
# (McGreer et al. 2013, ApJ 768, 105), some components merged.
LINE_TRENDS: Final = np.array(
    [
        (0.0985, 4.309), (0.0756, 3.102), (0.0, 1.127), (0.0175, 1.566), (0.103, 4.03),
        (0.0714, 2.62), (0.0404, 1.87), (0.0206, 1.866), (0.069, 3.32), (0.0, 0.70),
        (0.0, 1.10), (0.0, 1.66), (0.0, 0.54), (0.0, 1.12), (0.0, 0.69), (0.0, 2.54),
        (0.0, 1.45), (0.0, 1.26),
    ]
)  # fmt: skip
LINE_SCATTER_DEX: Final = 0.12  # common to all lines, and again of each line
IRON_FRACTIONS: Final = np.array([0.18, 0.16, 0.06, 0.06])
HOT_DUST_FRACTION: Final = 0.8  # of the continuum at 2 micron
LOG_SCATTER: Final = 0.4  # of iron and hot dust, lognormal
SLOPES: Final = ((-1.5, 0.3), (-0.5, 0.3), (-0.37, 0.36))
"""Mean and width of f_nu ~ nu^alpha below 1100, between, and above 5700 Angstrom."""
SLOPE_CORRELATION: Final = 0.7  # between the middle and the red slope
VARIABILITY_MAG: Final = 0.07
SED_SCATTER_MAG: Final = 0.03
HOST_SHARE_IN_APERTURE: Final = 0.8
LEAST_NUCLEAR_FRACTION: Final = 0.05
"""A nucleus fainter than this share of the light is a galaxy in every catalogue."""
SHARES: Final = (0.835, 0.12, 0.045)
"""Of the SDSS-like sample: z > 0.7; z < 0.7 with a bright host; nucleus drowned by its host."""
HOST_DOMINATED_MIX: Final = {
    "main": 0.6, "LOWZ": 0.08, "CMASS": 0.07, "compact": 0.05, "ancillary": 0.2,
}  # fmt: skip
NEARBY: Final = 0.7


@dataclass(frozen=True)
class Hosts:
    """Host galaxies of n quasars: total r, nine-band colours m - m_r, radius in arcsec."""

    mag_r: FloatArray
    colours: FloatArray
    radius: FloatArray
    early_type: NDArray[np.bool_]


def draw_sky_quasars(area_deg2: float, rng: np.random.Generator) -> Sources:
    """Draw the natural quasars of an area, nuclei of r < 24.5 that outshine 5 % of their host."""
    everywhere = quasar_counts.expected_counts()
    count = int(rng.poisson(everywhere.sum() * area_deg2))
    z, mag = quasar_counts.draw_redshift_and_mag(np.ones_like(everywhere), count, rng)
    quasars = _with_hosts(z, mag, rng)
    return quasars.take(quasars.point_fraction > LEAST_NUCLEAR_FRACTION)


def draw_spectroscopic_quasars(count: int, rng: np.random.Generator) -> Sources:
    """Draw quasars as SDSS finds them: distant, nearby with hosts, and host-dominated."""
    distant, nearby, drowned = (int(n) for n in split_counts(count, SHARES, rng))
    cell_z, cell_mag = quasar_counts.cell_middles()
    weights = quasar_counts.spectroscopic_completeness(cell_z, cell_mag) * (cell_z > NEARBY)
    z, mag = quasar_counts.draw_redshift_and_mag(weights, distant, rng)
    return concatenate(
        [_with_hosts(z, mag, rng), _draw_nearby(nearby, rng), _draw_host_dominated(drowned, rng)]
    )


def nuclear_colours(
    z: FloatArray, mag_r: FloatArray, reddening: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw nine-band colours m - m_r of active nuclei of redshift z, r and E(B-V)."""
    fluxes = quasar_fluxes(_draw_spectra(z, quasar_counts.absolute_from_r(mag_r, z), rng))
    rest_micron = load_sed_grid().pivot_wavelengths / (1.0 + z[:, None]) / 1e4
    # Small Magellanic Cloud law of Prevot et al. 1984 (A&A 132, 389).
    extinction = 1.39 * rest_micron**-1.2 * reddening[:, None]
    mags = -2.5 * np.log10(np.maximum(fluxes, 1e-9)) + extinction
    mags += sed_scatter(np.full(len(z), SED_SCATTER_MAG), rng)
    return mags - mags[:, R : R + 1]


def _draw_spectra(z: FloatArray, m1450: FloatArray, rng: np.random.Generator) -> QuasarSpectra:
    n, lines = len(z), len(LINE_TRENDS)
    deviates = rng.standard_normal((n, 3))
    deviates[:, 2] = (
        SLOPE_CORRELATION * deviates[:, 1]
        + np.sqrt(1.0 - SLOPE_CORRELATION**2) * deviates[:, 2]
    )  # fmt: skip
    slopes = np.array([mean for mean, _ in SLOPES]) + deviates * [width for _, width in SLOPES]
    infrared = np.maximum(m1450 - 1.3, -29.0)
    log_width = infrared[:, None] * LINE_TRENDS[:, 0] + LINE_TRENDS[:, 1]
    log_width += LINE_SCATTER_DEX * rng.standard_normal((n, 1))
    log_width += LINE_SCATTER_DEX * rng.standard_normal((n, lines))
    iron = IRON_FRACTIONS * np.exp(LOG_SCATTER * rng.standard_normal((n, 1)))
    dust = HOT_DUST_FRACTION * np.exp(LOG_SCATTER * rng.standard_normal(n))
    return QuasarSpectra(z, slopes, 10**log_width, iron, dust)


def _draw_reddening(count: int, rng: np.random.Generator) -> FloatArray:
    dusty = rng.uniform(size=count) < 0.06
    return rng.exponential(0.033, count) + np.where(dusty, rng.exponential(0.15, count), 0.0)


def _draw_hosts(z: FloatArray, m1450: FloatArray, rng: np.random.Generator) -> Hosts:
    n = len(z)
    early = rng.uniform(size=n) < 0.5
    template = np.where(early, rng.uniform(0.0, 9.0, n), rng.uniform(9.0, 20.0, n))
    absolute = -22.4 + 0.25 * (m1450 + 23.0) - 0.8 * np.minimum(z, 2.0) + rng.normal(0.0, 0.7, n)
    colours, k_r = galaxy_colours(template, z, np.zeros(n))
    radius = half_light_radius(absolute, z, rng.standard_normal(n), np.ones(n))
    return Hosts(absolute + distance_modulus(z) + k_r, colours, radius, early)


def _with_hosts(z: FloatArray, nucleus: FloatArray, rng: np.random.Generator) -> Sources:
    hosts = _draw_hosts(z, quasar_counts.absolute_from_r(nucleus, z), rng)
    colours = nuclear_colours(z, nucleus, _draw_reddening(len(z), rng), rng)
    point = 10 ** (-0.4 * (nucleus[:, None] + colours))
    extended = 10 ** (-0.4 * (hosts.mag_r[:, None] + hosts.colours))
    mags = -2.5 * np.log10(point + HOST_SHARE_IN_APERTURE * extended)
    total = point[:, R] + extended[:, R]
    kind = np.full(len(z), kind_index("quasar"), dtype=np.uint8)
    kind[z < NEARBY] = kind_index("AGN in host")
    quasars = point_sources(QSO, kind, z, mags + _variability(len(z), rng))
    return replace(
        quasars,
        total_mag_r=-2.5 * np.log10(total),
        nucleus_mag_r=nucleus,
        half_light_radius_arcsec=hosts.radius,
        sersic_index=np.where(hosts.early_type, 4.0, 1.0),
        axis_ratio=rng.uniform(0.4, 1.0, len(z)),
        position_angle_deg=rng.uniform(0.0, 180.0, len(z)),
        point_fraction=point[:, R] / total,
    )


def _variability(count: int, rng: np.random.Generator) -> FloatArray:
    """Change between epochs: u, g, i each on their own night, ZYJHKs together, r the reference."""
    change = np.zeros((count, len(BANDS)))
    change[:, [0, 1, 3]] = rng.normal(0.0, VARIABILITY_MAG, (count, 3))
    change[:, 4:] = rng.normal(0.0, VARIABILITY_MAG, (count, 1))
    return change


def _draw_nearby(count: int, rng: np.random.Generator) -> Sources:
    """Draw quasars of z < 0.7 whose total light passes a spectroscopic limit of r about 20.2."""
    cell_z, _ = quasar_counts.cell_middles()
    weights = (cell_z < NEARBY).astype(np.float64)
    accepted: list[Sources] = []
    missing = count
    while missing > 0 or not accepted:
        z, mag = quasar_counts.draw_redshift_and_mag(weights, 8 * count + 50, rng)
        trial = _with_hosts(z, mag, rng)
        chance = 1.0 / (1.0 + np.exp((trial.total_mag_r - 20.2) / 0.5))
        chance *= trial.point_fraction > LEAST_NUCLEAR_FRACTION
        kept = trial.take(rng.uniform(size=len(trial)) < chance)
        accepted.append(kept.take(np.arange(min(len(kept), missing))))
        missing -= len(accepted[-1])
    return concatenate(accepted)


def _draw_host_dominated(count: int, rng: np.random.Generator) -> Sources:
    """Draw reddened nuclei of type 1.5-1.9, a median eighth of the light of an SDSS galaxy."""
    galaxies = draw_spectroscopic_galaxies(count, rng, HOST_DOMINATED_MIX)
    share = rng.beta(1.2, 8.0, count)
    aperture_r = galaxies.gaap_mags[:, R]
    nucleus = aperture_r - 2.5 * np.log10(share)
    colours = nuclear_colours(galaxies.redshift, nucleus, rng.exponential(0.15, count), rng)
    galaxy = (1.0 - share)[:, None] * 10 ** (-0.4 * galaxies.gaap_mags)
    mags = -2.5 * np.log10(galaxy + 10 ** (-0.4 * (nucleus[:, None] + colours)))
    return replace(
        galaxies,
        sky_class=np.full(count, QSO, dtype=np.uint8),
        kind=np.full(count, kind_index("host-dominated AGN"), dtype=np.uint8),
        gaap_mags=mags,
        nucleus_mag_r=nucleus,
        point_fraction=10 ** (-0.4 * (nucleus - galaxies.total_mag_r)),
    )
