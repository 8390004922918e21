"""Gaia-like astrometry: parallaxes and proper motions of stars, noise for everything else."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.fits_tables import Columns
from kidsclf.mock.layout import Tile, random_generator
from kidsclf.mock.settings import BANDS, MockSettings, R
from kidsclf.mock.sources import GALAXY, STAR, Sources

FloatArray = NDArray[np.float64]

LIMIT_G: Final = 21.0
LARGEST_COMPACT_ARCSEC: Final = 0.25  # Gaia's on-board detection loses larger galaxies
SIN_LATITUDE: Final = 0.87  # of a field at |b| = 60 degrees
# Thin disc, thick disc, halo: local density, scale height in kpc, tangential velocity in km/s.
DISC_AND_HALO: Final = ((1.0, 0.3, 40.0), (0.12, 0.9, 60.0), (0.005, 8.0, 220.0))
# Share of sources without parallax and motion, against G (Lindegren et al. 2021, A&A 649, A2).
TWO_PARAMETER_SHARE: Final = ((18.0, 20.0, 20.7, 21.0), (0.005, 0.03, 0.12, 0.5))
KM_S_PER_MAS_YR_KPC: Final = 4.74


def gaia_astrometry(sources: Sources, settings: MockSettings, tile: Tile) -> Columns:
    """Return the Gaia DR3 rows of a tile: sources of G < 21, galaxies only if compact.

    Parallax and motions are NaN for two-parameter solutions. Units are those of the archive:
    deg, mas, mas/yr, mag.
    """
    rng = random_generator(settings, tile, "gaia")
    mag_g = _mag_g(sources)
    compact = sources.half_light_radius_arcsec < LARGEST_COMPACT_ARCSEC
    rows = np.flatnonzero((mag_g < LIMIT_G) & ((sources.sky_class != GALAXY) | compact))
    seen, mag_g = sources.take(rows), mag_g[rows]
    parallax, motion_ra, motion_dec = _true_motions(seen, rng)
    error = parallax_error_mas(mag_g)
    lost = rng.uniform(size=len(rows)) < np.interp(mag_g, *TWO_PARAMETER_SHARE)
    columns: Columns = {
        "source_id": ((tile.index + 1) * 10**9 + np.arange(1, len(rows) + 1, dtype=np.int64), ""),
        "ra": (seen.ra, "deg"),
        "dec": (seen.dec, "deg"),
    }
    for name, true, scale, unit in (
        ("parallax", parallax, 1.0, "mas"),
        ("pmra", motion_ra, 1.03, "mas/yr"),
        ("pmdec", motion_dec, 0.89, "mas/yr"),
    ):
        measured = true + scale * error * rng.standard_normal(len(rows))
        columns[name] = (np.where(lost, np.nan, measured), unit)
        columns[f"{name}_error"] = (np.where(lost, np.nan, scale * error).astype(np.float32), unit)
    columns["phot_g_mean_mag"] = (mag_g.astype(np.float32), "mag")
    return columns


def parallax_error_mas(mag_g: FloatArray) -> FloatArray:
    """Return the DR3 parallax error in mas (Gaia science performance; PyGaia).

    Examples
    --------
    >>> parallax_error_mas(np.array([17.0, 19.0, 20.0, 21.0])).round(2)
    array([0.08, 0.28, 0.62, 1.45])
    """
    y = np.maximum(10 ** (0.4 * (13.0 - 15.0)), 10 ** (0.4 * (mag_g - 15.0)))
    return np.sqrt(40.0 + 800.0 * y + 30.0 * y**2) / 1000.0


def _mag_g(sources: Sources) -> FloatArray:
    """Return G: near r for blue stars, up to 1.2 mag brighter for the reddest."""
    red = sources.gaap_mags[:, R] - sources.gaap_mags[:, BANDS.index("i")]
    return sources.total_mag_r - 0.05 - np.clip(0.55 * (red - 0.2), 0.0, 1.15)


def _true_motions(
    sources: Sources, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw parallax (mas) and motions (mas/yr), 0 for all but stars."""
    star = sources.sky_class == STAR
    absolute = np.where(star, sources.absolute_mag_r, 0.0)
    distance = 10 ** (0.2 * (sources.total_mag_r - absolute) - 2.0)  # kpc
    height = distance * SIN_LATITUDE
    density = np.stack([n * np.exp(-height / scale) for n, scale, _ in DISC_AND_HALO], axis=1)
    cumulative = np.cumsum(density, axis=1) / density.sum(axis=1, keepdims=True)
    member = (rng.uniform(size=(len(height), 1)) > cumulative).sum(axis=1)
    speed = np.array([v for _, _, v in DISC_AND_HALO])[np.minimum(member, 2)]
    # Two normal components whose rms sum is the population's velocity.
    velocity = speed / np.sqrt(2.0) * rng.standard_normal((2, len(height)))
    motion = np.where(star, velocity / (KM_S_PER_MAS_YR_KPC * distance), 0.0)
    return np.where(star, 1.0 / distance, 0.0), motion[0], motion[1]
