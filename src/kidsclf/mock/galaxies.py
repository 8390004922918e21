"""Galaxies: the natural sky from luminosity functions, the spectroscopic mix from its surveys."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.cosmology import distance_modulus, volume_per_deg2
from kidsclf.mock.draws import draw_cells, split_counts, truncated_normal
from kidsclf.mock.seds import galaxy_colours, sed_scatter
from kidsclf.mock.settings import FAINTEST_R
from kidsclf.mock.shapes import aperture_loss, draw_bulges, draw_sersic, half_light_radius
from kidsclf.mock.sources import GALAXY, Sources, concatenate, kind_index, point_sources
from kidsclf.mock.stars import SPECTRUM_LIMITS_R

FloatArray = NDArray[np.float64]

REDSHIFT_EDGES: Final = np.arange(0.005, 2.605, 0.01)
ABSOLUTE_EDGES: Final = np.arange(-25.0, -11.95, 0.05)
LAST_EARLY_TYPE, LAST_SPIRAL, LAST_TEMPLATE = 8.0, 18.0, 30.0
RED_SEQUENCE: Final = (5.2, 1.5)
"""Mean and width of the template of red galaxies: the index is not monotonic in colour, and the
first ellipticals are bluer than an Sa."""
SPIRAL_SHARE: Final = 0.72  # of blue galaxies; fitted to the counts at 21 < r < 23
SED_SCATTER_MAG: Final = 0.06
NEAREST_TARGET: Final = 0.02  # nearer galaxies outgrow the aperture by magnitudes


@dataclass(frozen=True)
class Population:
    """A Schechter function of rest-frame r that evolves: M* - Q z, phi* 10^(0.4 P z), z < 1.2.

    The form is that of Loveday et al. 2012 (MNRAS 420, 1239); Q and P were fitted to counts.
    """

    density_mpc3: float
    absolute_mag: float
    slope: float
    q: float
    p: float
    least_k_at_z1: float

    def expected(self) -> FloatArray:
        """Return galaxies per square degree in cells of redshift and absolute magnitude.

        Cells that are too faint for r = 24 even with the least K-correction are empty.
        """
        z = _middles(REDSHIFT_EDGES)[:, None]
        mag = _middles(ABSOLUTE_EDGES)
        evolved = np.minimum(z, 1.2)
        x = 10 ** (0.4 * (self.absolute_mag - self.q * evolved - mag))
        phi = 0.4 * np.log(10) * self.density_mpc3 * 10 ** (0.4 * self.p * evolved)
        per_mag = phi * x ** (self.slope + 1) * np.exp(-x)
        visible = mag + distance_modulus(z) + np.minimum(self.least_k_at_z1 * z, 0.0) < FAINTEST_R
        counts = per_mag * volume_per_deg2(z) * 0.01 * 0.05 * visible
        return np.asarray(counts, dtype=np.float64)


RED: Final = Population(3.8e-3, -21.3, -0.57, 1.0, -0.5, 0.0)
BLUE: Final = Population(1.3e-3, -21.3, -1.49, 1.0, 1.0, -0.7)


@dataclass(frozen=True)
class Targets:
    """One target class of the SDSS-like sample: redshifts and aperture r magnitudes.

    ``gamma`` picks a gamma distribution (shape, scale) of redshift, ``normal`` a normal one.
    """

    share: float
    redshift_law: str
    redshift: tuple[float, float]
    mag_r: tuple[float, float]
    templates: str
    compactness: float = 1.0


SPECTROSCOPIC_MIX: Final = {
    "main": Targets(0.44, "gamma", (2.6, 0.045), (18.1, 0.8), "mixed"),
    "LOWZ": Targets(0.12, "normal", (0.32, 0.08), (19.3, 0.5), "red"),
    "CMASS": Targets(0.27, "normal", (0.54, 0.08), (20.9, 0.45), "red"),
    "LRG": Targets(0.07, "normal", (0.73, 0.10), (21.8, 0.35), "red"),
    "compact": Targets(0.045, "gamma", (2.0, 0.2), (20.7, 0.8), "starburst", 0.5),
    "ancillary": Targets(0.055, "gamma", (3.0, 0.13), (20.0, 1.0), "any"),
}


def draw_sky_galaxies(area_deg2: float, rng: np.random.Generator) -> Sources:
    """Draw the natural galaxies of an area, total r < 24."""
    return concatenate(
        [_draw_population(RED, area_deg2, rng), _draw_population(BLUE, area_deg2, rng)]
    )


def draw_spectroscopic_galaxies(
    count: int, rng: np.random.Generator, shares: dict[str, float] | None = None
) -> Sources:
    """Draw galaxies in the SDSS target mix, or in another mix of the same target classes."""
    chosen = shares or {name: targets.share for name, targets in SPECTROSCOPIC_MIX.items()}
    counts = split_counts(count, tuple(chosen.values()), rng)
    blocks = [
        _draw_targets(SPECTROSCOPIC_MIX[name], int(n), rng)
        for name, n in zip(chosen, counts, strict=True)
    ]
    return concatenate(blocks)


def draw_templates(family: str, count: int, rng: np.random.Generator) -> FloatArray:
    """Draw template indices: "red", "blue", "starburst", "mixed" (60 % red) or "any"."""
    if family == "any":
        return rng.uniform(0.0, LAST_TEMPLATE, count)
    if family == "starburst":
        return rng.uniform(LAST_SPIRAL, LAST_TEMPLATE, count)
    red = truncated_normal(*RED_SEQUENCE, (2.5, 9.5), count, rng)
    # Bright samples hold no extreme starbursts, which are dwarfs.
    last, spiral_share = (23.0, 0.85) if family == "mixed" else (28.0, SPIRAL_SHARE)
    spirals, bursts = rng.uniform(9.0, LAST_SPIRAL, count), rng.uniform(LAST_SPIRAL, last, count)
    blue = np.where(rng.uniform(size=count) < spiral_share, spirals, bursts)
    share = {"red": 1.0, "blue": 0.0, "mixed": 0.6}[family]
    return np.where(rng.uniform(size=count) < share, red, blue)


def draw_dust(template: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw E(B-V): |N(0, 0.15)| for spirals and starbursts, |N(0, 0.03)| for early types."""
    width = np.where(template > LAST_EARLY_TYPE, 0.15, 0.03)
    return np.abs(rng.normal(0.0, 1.0, len(template))) * width


def _draw_population(population: Population, area: float, rng: np.random.Generator) -> Sources:
    expected = population.expected()
    row, column = draw_cells(expected, int(rng.poisson(expected.sum() * area)), rng)
    z = REDSHIFT_EDGES[0] + 0.01 * row
    absolute = ABSOLUTE_EDGES[0] + 0.05 * column
    template = draw_templates("red" if population is RED else "blue", len(z), rng)
    dust = draw_dust(template, rng)
    colours, k_r = galaxy_colours(template, z, dust)
    total = absolute + distance_modulus(z) + k_r
    seen = total < FAINTEST_R
    deviate, compactness = rng.standard_normal(len(z)), np.ones(len(z))
    radius = half_light_radius(absolute, z, deviate, compactness)
    return _build(
        z[seen], template[seen], colours[seen], absolute[seen], total[seen], radius[seen], rng
    )


def _draw_targets(targets: Targets, count: int, rng: np.random.Generator) -> Sources:
    if targets.redshift_law == "gamma":
        z = np.minimum(rng.gamma(*targets.redshift, count), 1.5)
        z += np.where(z < NEAREST_TARGET, NEAREST_TARGET, 0.0)
    else:
        z = truncated_normal(*targets.redshift, (0.01, 1.5), count, rng)
    aperture_mag = truncated_normal(*targets.mag_r, SPECTRUM_LIMITS_R, count, rng)
    template = draw_templates(targets.templates, count, rng)
    colours, k_r = galaxy_colours(template, z, draw_dust(template, rng))
    deviate, compactness = rng.standard_normal(count), np.full(count, targets.compactness)
    total = aperture_mag
    for _ in range(2):  # the size depends on the total light, and that on the size
        absolute = total - distance_modulus(z) - k_r
        radius = half_light_radius(absolute, z, deviate, compactness)
        total = aperture_mag - aperture_loss(radius)
    return _build(z, template, colours, absolute, total, radius, rng)


def _build(
    z: FloatArray,
    template: FloatArray,
    colours: FloatArray,
    absolute: FloatArray,
    total: FloatArray,
    radius: FloatArray,
    rng: np.random.Generator,
) -> Sources:
    red = template <= LAST_EARLY_TYPE + 1.5
    scatter = sed_scatter(np.where(red, 0.7, 1.0) * SED_SCATTER_MAG, rng)
    mags = (total + aperture_loss(radius))[:, None] + colours + scatter
    kinds = np.array([kind_index(f"{name} galaxy") for name in ("red", "spiral", "starburst")])
    kind = kinds[np.where(red, 0, np.where(template <= LAST_SPIRAL, 1, 2))].astype(np.uint8)
    n = len(z)
    return replace(
        point_sources(GALAXY, kind, z, mags),
        total_mag_r=total,
        absolute_mag_r=absolute,
        half_light_radius_arcsec=radius,
        sersic_index=draw_sersic(red, rng),
        axis_ratio=rng.uniform(0.2, 1.0, n),
        position_angle_deg=rng.uniform(0.0, 180.0, n),
        point_fraction=np.zeros(n),
        bulge_fraction=draw_bulges(n, rng),
    )


def _middles(edges: FloatArray) -> FloatArray:
    return 0.5 * (edges[1:] + edges[:-1])
