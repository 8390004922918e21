"""How many quasars there should be: published luminosity functions, integrated to counts.

A double power law in absolute magnitude,

    Phi(M, z) = phi* / (10^(0.4 (a + 1) (M - M*)) + 10^(0.4 (b + 1) (M - M*))),

per Mpc^3 and magnitude, a bright and b faint, whose phi*, M*, a and b move with redshift as each
paper says. Apparent magnitudes become M1450 by a power-law continuum. Liu et al. 2022, which Feng
et al. use too, has no entry: its parameters could not be had.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from kidsclf.reduce.context import Context

Floats = NDArray[np.float64]

CONTINUUM_SLOPE = -0.5
"""alpha of f_nu ~ nu^alpha. Feng et al. (footnote 5) print +0.5; but -0.5, the slope of composite
quasar spectra (Vanden Berk et al. 2001: -0.44), gives their 226.8 thousand at r < 22, +0.5 gives
162 thousand."""
FAINTEST_M1450 = -19.0
"""Feng et al., footnote 5: active nuclei fainter than this are not counted."""
REFERENCE_WAVELENGTH = 6230.0
"""Of the r band, Angstrom."""
_REST_WAVELENGTH = 1450.0
_SQ_DEG = np.radians(1.0) ** 2
_Z_STEP, _M_STEP = 0.01, 0.02
_BRIGHTEST = 12.0
"""No quasar is brighter in r: 3C 273 has 12.8."""


@dataclass(frozen=True)
class Parameters:
    """Of the double power law at some redshifts; float64 arrays of one shape."""

    log_density: Floats
    knee: Floats
    bright: Floats
    faint: Floats


@dataclass(frozen=True)
class LuminosityFunction:
    """A published luminosity function of quasars.

    Attributes
    ----------
    name, paper : str
    parameters : callable
        Of redshift, ``Parameters`` in the paper's own magnitude.
    to_m1450 : float
        M1450 minus the paper's magnitude.
    hubble, matter : float
        The flat cosmology that it was fitted in, km/s/Mpc and Omega_m.
    z_low, z_high : float
        Redshifts between which it is integrated; some are extrapolated there.
    """

    name: str
    paper: str
    parameters: Callable[[Floats], Parameters]
    to_m1450: float
    hubble: float
    matter: float
    z_low: float = 0.1
    z_high: float = 5.0

    def density(self, m1450: Floats, z: Floats) -> Floats:
        """Give quasars per Mpc^3 and magnitude; shapes broadcast."""
        at = self.parameters(z)
        steps = 0.4 * (m1450 - self.to_m1450 - at.knee)
        falling = 10.0 ** (steps * (at.bright + 1.0)) + 10.0 ** (steps * (at.faint + 1.0))
        return np.asarray(10.0**at.log_density / falling)


def expected_counts(
    model: LuminosityFunction,
    edges: Floats,
    *,
    slope: float = CONTINUUM_SLOPE,
    faintest: float = FAINTEST_M1450,
) -> Floats:
    """Integrate a luminosity function over magnitude bins and redshift.

    Parameters
    ----------
    model : LuminosityFunction
    edges : float64 array (bins + 1,)
        Apparent r, AB mag, ascending; ``-inf`` as the first counts everything brighter.
    slope : float
        alpha of the continuum f_nu ~ nu^alpha.
    faintest : float
        M1450 down to which active nuclei count.

    Returns
    -------
    float64 array (bins,)
        Quasars per square degree of each bin, over ``z_low < z < z_high``.

    Notes
    -----
    M1450 = r - DM + 2.5 lg(1 + z) - 2.5 alpha lg(6230 / (1450 (1 + z))).
    """
    from astropy.cosmology import FlatLambdaCDM  # noqa: PLC0415  (heavy; workers do without)

    cosmology = FlatLambdaCDM(H0=model.hubble, Om0=model.matter)
    z = np.arange(model.z_low + _Z_STEP / 2, model.z_high, _Z_STEP)
    volume = cosmology.differential_comoving_volume(z).value * _SQ_DEG * _Z_STEP
    shift = (
        -cosmology.distmod(z).value
        + 2.5 * np.log10(1.0 + z)
        - 2.5 * slope * np.log10(REFERENCE_WAVELENGTH / (_REST_WAVELENGTH * (1.0 + z)))
    )
    first = edges[0] if np.isfinite(edges[0]) else min(_BRIGHTEST, float(edges[1]) - 1.0)
    steps = int(np.ceil((edges[-1] - first) / _M_STEP))
    inner = np.linspace(first, edges[-1], steps + 1)
    magnitudes = 0.5 * (inner[1:] + inner[:-1])
    m1450 = magnitudes[None, :] + shift[:, None]
    cells = model.density(m1450, z[:, None]) * volume[:, None]
    per_magnitude = np.where(m1450 < faintest, cells, 0.0).sum(axis=0)
    cumulative = np.concatenate([[0.0], np.cumsum(per_magnitude * np.diff(inner))])
    reach = np.where(np.isfinite(edges), edges, first)
    return np.diff(np.interp(reach, inner, cumulative))


def _pd16_ple(z: Floats) -> Parameters:
    """Palanque-Delabrouille et al. 2016, eqs. 5-6 and Table 4, PLE."""
    d, near = z - 2.2, z < 2.2
    k1, k2 = np.where(near, -0.08, -0.25), np.where(near, -0.40, -0.05)
    return Parameters(
        np.full_like(z, -6.01),
        -26.71 - 2.5 * (k1 * d + k2 * d**2),
        np.where(near, -4.31, -3.04),
        np.where(near, -1.54, -1.38),
    )


def _pd16_lede(z: Floats) -> Parameters:
    """Palanque-Delabrouille et al. 2016, eqs. 5-8 and Table 4, PLE + LEDE."""
    beyond, below = np.clip(z - 2.2, 0.0, None), np.minimum(z, 2.2)
    return Parameters(
        -5.93 - 0.46 * beyond - 0.06 * beyond**2,
        -22.25 - 2.5 * (1.59 * below - 0.36 * below**2) - 0.14 * beyond,
        -3.89 + 0.32 * beyond,
        np.full_like(z, -1.47),
    )


def _croom09(z: Floats) -> Parameters:
    """Croom et al. 2009, PLE with a second-order polynomial, z < 2.6."""
    return Parameters(
        np.full_like(z, np.log10(1.84e-6)),
        -22.17 - 2.5 * (1.46 * z - 0.328 * z**2),
        np.full_like(z, -3.33),
        np.full_like(z, -1.41),
    )


def _ross13(z: Floats) -> Parameters:
    """Ross et al. 2013: PLE below z = 2.2, LEDE above."""
    near, d = z < 2.2, z - 2.2
    return Parameters(
        np.where(near, -5.96, -5.93 - 0.689 * d),
        np.where(near, -22.85 - 2.5 * (1.241 * z - 0.249 * z**2), -26.57 - 0.809 * d),
        np.where(near, -3.37, -3.51),
        np.where(near, -1.16, -1.29),
    )


def _chebyshev(z: Floats, coefficients: list[float]) -> Floats:
    return np.asarray(chebyshev.chebval(1.0 + z, coefficients), np.float64)


def _kulkarni19_1(z: Floats) -> Parameters:
    """Kulkarni et al. 2019, model 1; Chebyshev polynomials of 1 + z."""
    turn = np.log10((1.0 + z) / 4.773)
    return Parameters(
        _chebyshev(z, [-7.798, 1.128, -0.120]),
        _chebyshev(z, [-17.163, -5.512, 0.593, -0.024]),
        _chebyshev(z, [-3.223, -0.258]),
        -2.312 + 0.559 / (10.0 ** (141.884 * turn) + 10.0 ** (-0.171 * turn)),
    )


def _kulkarni19_3(z: Floats) -> Parameters:
    """Kulkarni et al. 2019, model 3; Chebyshev polynomials of 1 + z."""
    return Parameters(
        _chebyshev(z, [-6.942, 0.629, -0.086]),
        _chebyshev(z, [-15.038, -7.046, 0.772, -0.030]),
        _chebyshev(z, [-2.888, -0.383]),
        _chebyshev(z, [-1.602, -0.082]),
    )


_PD16 = "Palanque-Delabrouille et al. 2016, A&A 587, A41"
_KULKARNI = "Kulkarni et al. 2019, MNRAS 488, 1035"
_MG = 1.23
"""M1450 - M_g(z=2): 2.5 lg 3, and 1557 to 1450 Angstrom (Ross et al. 2013, eq. B8)."""
_MI = 1.486
"""M1450 - M_i(z=2) (Richards et al. 2006; Ross et al. 2013)."""

LUMINOSITY_FUNCTIONS = (
    LuminosityFunction("PD16 PLE", _PD16, _pd16_ple, _MG, 67.9, 0.3065),
    LuminosityFunction("PD16 PLE+LEDE", _PD16, _pd16_lede, _MG, 67.9, 0.3065),
    LuminosityFunction(
        "Croom09", "Croom et al. 2009, MNRAS 399, 1755", _croom09, _MG, 70.0, 0.3, z_high=2.6
    ),
    LuminosityFunction("Ross13", "Ross et al. 2013, ApJ 773, 14", _ross13, _MI, 70.0, 0.3),
    LuminosityFunction("Kulkarni19 model 1", _KULKARNI, _kulkarni19_1, 0.0, 70.0, 0.3),
    LuminosityFunction("Kulkarni19 model 3", _KULKARNI, _kulkarni19_3, 0.0, 70.0, 0.3),
)

SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("paper", pa.string()),
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("per_sq_deg", pa.float64()),
        ("cumulative_per_sq_deg", pa.float64()),
    ]
)


def quasar_models(context: Context) -> pa.Table:
    """Give what every luminosity function expects in the magnitude bins of a run.

    ``per_sq_deg`` is of the bin, ``cumulative_per_sq_deg`` of all quasars with r <= ``r_high``, as
    in the counts of the survey that they stand beside.
    """
    edges = np.array([-np.inf, *context.magnitude_edges])
    rows = []
    for model in LUMINOSITY_FUNCTIONS:
        expected = expected_counts(model, edges)
        brighter = np.cumsum(expected)
        rows += [
            {
                "model": model.name,
                "paper": model.paper,
                "r_low": low,
                "r_high": high,
                "per_sq_deg": float(expected[slot]),
                "cumulative_per_sq_deg": float(brighter[slot]),
            }
            for slot, low, high in context.bins
        ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
