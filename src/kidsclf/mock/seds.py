"""Nine-band colours of stars, galaxies and quasars, interpolated in the shipped table.

The table is made by ``tools/make_sed_grid.py``; it holds derived fluxes, no spectra.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.settings import BANDS, R

FloatArray = NDArray[np.float64]
CORRELATED_SHARE: Final = 0.7
CORRELATION_LENGTH: Final = 0.45  # in ln(wavelength)


@dataclass(frozen=True)
class SedGrid:
    """The arrays of ``sed_grid.npz``; colours are m_band - m_r, last axis the nine bands."""

    pivot_wavelengths: FloatArray
    galaxy_colours: FloatArray
    galaxy_k_r: FloatArray
    galaxy_redshifts: FloatArray
    galaxy_dust: FloatArray
    dwarf_colours: FloatArray
    giant_colours: FloatArray
    white_dwarf_colours: FloatArray
    white_dwarf_log_t: FloatArray
    quasar_continuum: FloatArray
    quasar_lines: FloatArray
    quasar_iron: FloatArray
    quasar_hot_dust: FloatArray
    quasar_redshifts: FloatArray
    quasar_slopes: FloatArray
    line_wavelengths: FloatArray
    iron_wavelengths: FloatArray


@cache
def load_sed_grid() -> SedGrid:
    """Read the table that stands beside this module, once per process."""
    path = files("kidsclf.mock") / "sed_grid.npz"
    with path.open("rb") as stream, np.load(stream) as table:
        names = SedGrid.__dataclass_fields__
        return SedGrid(**{name: table[name].astype(np.float64) for name in names})


def galaxy_colours(
    template: FloatArray, z: FloatArray, dust: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Interpolate galaxy colours and K-corrections.

    Parameters
    ----------
    template
        Continuous index 0 to 30 into the 31 templates (0-7 early types, 8-18 spirals,
        19-30 starbursts of falling age).
    z
        Redshift, 0 to 3.
    dust
        E(B-V) of a Calzetti screen, 0 to 0.6.

    Returns
    -------
    colours, k_r
        m_band - m_r, shape (n, 9), and K in ``m_r = M_r + DM + K``, shape (n,).
    """
    grid = load_sed_grid()
    axes = (np.arange(31, dtype=np.float64), grid.galaxy_redshifts, grid.galaxy_dust)
    brackets = [_bracket(axis, at) for axis, at in zip(axes, (template, z, dust), strict=True)]
    colours, k_r = np.zeros((len(z), len(BANDS))), np.zeros(len(z))
    for corner in np.ndindex(2, 2, 2):
        place = tuple(low + side for (low, _), side in zip(brackets, corner, strict=True))
        weight = np.ones(len(z))
        for (_, fraction), side in zip(brackets, corner, strict=True):
            weight *= fraction if side else 1.0 - fraction
        colours += weight[:, None] * grid.galaxy_colours[place]
        k_r += weight * grid.galaxy_k_r[place]
    return colours, k_r


def interpolate_rows(table: FloatArray, index: FloatArray) -> FloatArray:
    """Interpolate the rows of a table of colours at a continuous index, shape (n, 9)."""
    low, fraction = _bracket(np.arange(len(table), dtype=np.float64), index)
    return (1.0 - fraction)[:, None] * table[low] + fraction[:, None] * table[low + 1]


def white_dwarf_colours(log_t: FloatArray) -> FloatArray:
    """Interpolate colours of hot black bodies with a Balmer jump, lg T = 3.78 to 4.54."""
    grid = load_sed_grid()
    low, fraction = _bracket(grid.white_dwarf_log_t, log_t)
    table = grid.white_dwarf_colours
    return (1.0 - fraction)[:, None] * table[low] + fraction[:, None] * table[low + 1]


@dataclass(frozen=True)
class QuasarSpectra:
    """Shapes of n quasar spectra, rest frame; f_nu ~ nu^alpha.

    Attributes
    ----------
    slopes
        alpha below 1100, between, and above 5700 Angstrom, shape (n, 3).
    line_widths, iron_fractions
        Equivalent widths in Angstrom, shape (n, lines); humps as fractions of the continuum.
    hot_dust
        Flux of the 1260 K black body at 2 micron as a fraction of the continuum.
    """

    redshift: FloatArray
    slopes: FloatArray
    line_widths: FloatArray
    iron_fractions: FloatArray
    hot_dust: FloatArray


def quasar_fluxes(spectra: QuasarSpectra) -> FloatArray:
    """Return nine-band f_nu in units of the continuum at 1450 Angstrom (rest), shape (n, 9)."""
    grid = load_sed_grid()
    low, fraction = _bracket(grid.quasar_redshifts, spectra.redshift)
    total = np.zeros((len(low), len(BANDS)))
    levels = (continuum(spectra.slopes, 1100.0), 1.0, continuum(spectra.slopes, 5700.0))
    lines = spectra.line_widths * _continua(spectra.slopes, grid.line_wavelengths)
    iron = spectra.iron_fractions * _continua(spectra.slopes, grid.iron_wavelengths)
    dust = spectra.hot_dust * continuum(spectra.slopes, 20_000.0)
    for side, weight in ((0, 1.0 - fraction), (1, fraction)):
        node = low + side
        flux = dust[:, None] * grid.quasar_hot_dust[node]
        for segment, level in enumerate(levels):
            slope, part = _bracket(grid.quasar_slopes, spectra.slopes[:, segment])
            table = grid.quasar_continuum[segment]
            unit = (1 - part)[:, None] * table[node, slope] + part[:, None] * table[node, slope + 1]
            flux += np.asarray(level).reshape(-1, 1) * unit
        flux += np.einsum("nl,lnb->nb", lines, grid.quasar_lines[:, node])
        flux += np.einsum("nl,lnb->nb", iron, grid.quasar_iron[:, node])
        total += weight[:, None] * flux
    return total


def continuum(slopes: FloatArray, wavelength: float) -> FloatArray:
    """Return the broken power law at a rest wavelength in Angstrom, 1 at 1450 Angstrom."""
    middle = np.clip(wavelength, 1100.0, 5700.0)
    level = (middle / 1450.0) ** -slopes[:, 1]
    outer = slopes[:, 0] if wavelength < 1100.0 else slopes[:, 2]
    return np.asarray(level * (wavelength / middle) ** -outer, dtype=np.float64)


def _continua(slopes: FloatArray, wavelengths: FloatArray) -> FloatArray:
    return np.stack([continuum(slopes, float(each)) for each in wavelengths], axis=1)


def sed_scatter(amplitude: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw departures from the templates in mag, smooth in wavelength for 70 % of the variance.

    ``amplitude`` is the rms per band, shape (n,). The result, shape (n, 9), is zero in r, whose
    magnitude was drawn already.
    """
    log_wavelength = np.log(load_sed_grid().pivot_wavelengths)
    distance = (log_wavelength[:, None] - log_wavelength) / CORRELATION_LENGTH
    covariance = CORRELATED_SHARE * np.exp(-0.5 * distance**2)
    covariance += (1.0 - CORRELATED_SHARE) * np.eye(len(BANDS))
    draws = rng.standard_normal((len(amplitude), len(BANDS))) @ np.linalg.cholesky(covariance).T
    return np.asarray(amplitude[:, None] * (draws - draws[:, R : R + 1]), dtype=np.float64)


def _bracket(axis: FloatArray, at: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    clipped = np.clip(at, axis[0], axis[-1])
    low = np.clip(np.searchsorted(axis, clipped, side="right") - 1, 0, len(axis) - 2)
    return low, (clipped - axis[low]) / (axis[low + 1] - axis[low])
