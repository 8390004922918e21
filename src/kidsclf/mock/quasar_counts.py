"""How many quasars: the luminosity function of Palanque-Delabrouille et al. 2016.

A&A 587, A41: the PLE+LEDE form of their eqs. 5-8 with the parameters of Table 4. Outside their
0.68 < z < 4 it is extrapolated.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.cosmology import distance_modulus, volume_per_deg2
from kidsclf.mock.draws import draw_cells

FloatArray = NDArray[np.float64]

REDSHIFT_EDGES: Final = np.arange(0.05, 5.2001, 0.02)
MAG_EDGES: Final = np.arange(14.0, 24.5001, 0.05)
FAINTEST_M1450: Final = -19.0
M1450_LESS_MG: Final = 1.23
"""M1450 - M_g(z=2): 2.5 lg 3 and the step from 1557 to 1450 Angstrom (Ross et al. 2013, eq. B8)."""
COUNT_SLOPE: Final = -0.5
"""alpha of f_nu ~ nu^alpha that turns r into M1450 when quasars are counted."""


def luminosity_function(m1450: FloatArray, z: FloatArray) -> FloatArray:
    """Return quasars per Mpc^3 and magnitude (PLE below z = 2.2, LEDE above)."""
    beyond = np.clip(z - 2.2, 0.0, None)
    below = np.minimum(z, 2.2)
    log_density = -5.93 - 0.46 * beyond - 0.06 * beyond**2
    knee = -22.25 - 2.5 * (1.59 * below - 0.36 * below**2) - 0.14 * beyond + M1450_LESS_MG
    bright, faint = -3.89 + 0.32 * beyond, -1.47
    steps = 0.4 * (m1450 - knee)
    return np.asarray(
        10**log_density / (10 ** (steps * (bright + 1)) + 10 ** (steps * (faint + 1)))
    )


def absolute_from_r(mag_r: FloatArray, z: FloatArray) -> FloatArray:
    """Return M1450 of a power law of slope ``COUNT_SLOPE`` and observed r (AB)."""
    bandwidth = 2.5 * np.log10(1.0 + z)
    slope = 2.5 * COUNT_SLOPE * np.log10(6230.0 / (1450.0 * (1.0 + z)))
    return mag_r - distance_modulus(z) + bandwidth - slope


@cache
def expected_counts() -> FloatArray:
    """Return quasars per square degree in cells of redshift and r of the nucleus."""
    z = 0.5 * (REDSHIFT_EDGES[1:] + REDSHIFT_EDGES[:-1])[:, None]
    mag = 0.5 * (MAG_EDGES[1:] + MAG_EDGES[:-1])[None, :]
    m1450 = absolute_from_r(mag, z)
    counts = luminosity_function(m1450, z) * volume_per_deg2(z) * 0.02 * 0.05
    return np.where(m1450 < FAINTEST_M1450, counts, 0.0)


def draw_redshift_and_mag(
    weights: FloatArray, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw redshifts and nuclear r magnitudes from ``expected_counts`` times ``weights``."""
    row, column = draw_cells(expected_counts() * weights, count, rng)
    return REDSHIFT_EDGES[0] + 0.02 * row, MAG_EDGES[0] + 0.05 * column


def spectroscopic_completeness(z: FloatArray, mag_r: FloatArray) -> FloatArray:
    """Return the relative chance that a quasar has an SDSS spectrum: depth times redshift."""
    depth = 1.0 / (1.0 + np.exp((mag_r - 21.7) / 0.2))
    by_redshift = np.interp(
        z, [0.8, 1.0, 2.0, 2.6, 2.9, 3.2, 5.2], [0.8, 1.0, 1.0, 0.85, 0.7, 0.75, 0.6]
    )
    return np.asarray(depth * by_redshift)


def cell_middles() -> tuple[FloatArray, FloatArray]:
    """Return redshift (a, 1) and magnitude (1, b) at the middle of the cells of the table."""
    z = 0.5 * (REDSHIFT_EDGES[1:] + REDSHIFT_EDGES[:-1])[:, None]
    return z, 0.5 * (MAG_EDGES[1:] + MAG_EDGES[:-1])[None, :]
