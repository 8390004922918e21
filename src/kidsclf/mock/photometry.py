"""What the survey measures of a source: noise on fluxes, blends, sentinels, sizes and positions."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.settings import BANDS, MockSettings, R
from kidsclf.mock.sources import Sources

FloatArray = NDArray[np.float64]

SYSTEMATIC_SHARE: Final = 0.03  # of flux: aperture and zero-point errors
DEPTH_SCATTER_MAG: Final = 0.12  # of one object and band, converted to a factor of noise
BLEND_SHARE: Final = 0.03  # objects whose bands err independently by
BLEND_ERROR_MAG: Final = 0.3
APERTURE_ARCSEC: Final = 0.7  # noise grows with the aperture, sqrt(1 + (theta / 0.7)^2)
UNMEASURED_SHARE: Final = 0.002  # of each band, at random
DETECTION_SIGNAL_TO_NOISE: Final = 5.0  # in r
NOT_DETECTED, NOT_MEASURED = 99.0, -99.0
HALF_LIGHT_PER_FWHM: Final = 0.58  # of a Moffat profile with beta = 4.5
SIZE_SCATTER: Final = 0.05
SIZE_BLEND_SHARE: Final = 0.05
# A(band) / E(B-V): Schlafly & Finkbeiner 2011 (ApJ 737, 103) for ugri, their law beyond.
EXTINCTION_LAW: Final = np.array([4.239, 3.303, 2.285, 1.698, 1.395, 1.017, 0.705, 0.441, 0.308])


@dataclass(frozen=True)
class Photometry:
    """Measurements of n sources; arrays (n, 9) where a band is meant, sentinels as in the survey.

    Fluxes are in maggies and keep the Galactic dust; ``mags`` are corrected for it.
    Radii are in arcsec.
    """

    ra: FloatArray
    dec: FloatArray
    fluxes: FloatArray
    flux_errors: FloatArray
    mags: FloatArray
    mag_errors: FloatArray
    mag_limits: FloatArray
    measured: NDArray[np.bool_]
    extinctions: FloatArray
    mag_auto: FloatArray
    mag_auto_error: FloatArray
    half_light_radius_arcsec: FloatArray
    detected: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ra)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Photometry":
        """Return the chosen rows, by index or by truth."""
        return Photometry(*(getattr(self, field.name)[rows] for field in fields(self)))


def galactic_reddening(ra: FloatArray, dec: FloatArray) -> FloatArray:
    """Return E(B-V) in mag of a made-up smooth map, 0.02 to 0.04 (degrees in)."""
    waves = np.sin(np.radians(18.0 * ra)) * np.cos(np.radians(30.0 * dec))
    return np.asarray(0.03 + 0.01 * waves, dtype=np.float64)


def observed_mag_r(sources: Sources) -> FloatArray:
    """Return total r magnitudes as they reach the telescope, dimmed by Galactic dust."""
    dust: FloatArray = galactic_reddening(sources.ra, sources.dec) * EXTINCTION_LAW[R]
    return sources.total_mag_r + dust


def measure(
    sources: Sources,
    gaps: NDArray[np.bool_],
    seeing_fwhm_arcsec: float,
    settings: MockSettings,
    rng: np.random.Generator,
) -> Photometry:
    """Measure sources in nine bands.

    Parameters
    ----------
    gaps
        Shape (n, 9): True where the survey has no image of a band.
    """
    n = len(sources)
    extinctions = galactic_reddening(sources.ra, sources.dec)[:, None] * EXTINCTION_LAW
    true, noise = _flux_and_noise(sources, settings, rng)
    fluxes = true * (1.0 + SYSTEMATIC_SHARE * rng.standard_normal((n, 9)))
    fluxes += noise * rng.standard_normal((n, 9))
    measured = ~gaps & (rng.uniform(size=(n, 9)) > UNMEASURED_SHARE)
    measured[:, R] = True
    mags, errors = _magnitudes(fluxes, noise, measured)
    signal_to_noise = np.maximum(true[:, R] / noise[:, R], 1.0)
    centring = np.radians(0.01 + seeing_fwhm_arcsec / 2.355 / signal_to_noise) / 3600.0
    shift = np.degrees(centring * rng.standard_normal((2, n)))
    auto_error = 1.0857 / signal_to_noise
    dim = 10 ** (-0.4 * extinctions)
    return Photometry(
        ra=(sources.ra + shift[0] / np.cos(np.radians(sources.dec))) % 360.0,
        dec=sources.dec + shift[1],
        fluxes=np.where(measured, fluxes * dim, 0.0),
        flux_errors=np.where(measured, noise * dim, -1.0),
        mags=mags,
        mag_errors=errors,
        mag_limits=np.where(measured, -2.5 * np.log10(noise), NOT_MEASURED),
        measured=measured,
        extinctions=extinctions,
        mag_auto=observed_mag_r(sources) + auto_error * rng.standard_normal(n),
        mag_auto_error=auto_error,
        half_light_radius_arcsec=_radii(sources, seeing_fwhm_arcsec, auto_error, rng),
        detected=fluxes[:, R] > DETECTION_SIGNAL_TO_NOISE * noise[:, R],
    )


def _flux_and_noise(
    sources: Sources, settings: MockSettings, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    n = len(sources)
    blended = rng.uniform(size=(n, 1)) < BLEND_SHARE
    errors = rng.normal(0.0, BLEND_ERROR_MAG, (n, len(BANDS)))
    true = 10 ** (-0.4 * (sources.gaap_mags + np.where(blended, errors, 0.0)))
    depth = np.array(settings.depths.as_tuple())
    noise = 10 ** (-0.4 * (depth + rng.normal(0.0, DEPTH_SCATTER_MAG, (n, len(BANDS))))) / 5.0
    noise *= np.sqrt(1.0 + (_effective_radius(sources) / APERTURE_ARCSEC) ** 2)[:, None]
    return true, noise


def _effective_radius(sources: Sources) -> FloatArray:
    return sources.half_light_radius_arcsec * (1.0 - np.clip(sources.point_fraction, 0.0, 1.0))


def _magnitudes(
    fluxes: FloatArray, noise: FloatArray, measured: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    seen = fluxes > noise
    safe = np.where(seen, fluxes, 1.0)
    mags = np.where(seen, -2.5 * np.log10(safe), NOT_DETECTED)
    errors = np.where(seen, 1.0857 * noise / safe, NOT_DETECTED)
    return np.where(measured, mags, NOT_MEASURED), np.where(measured, errors, NOT_MEASURED)


def _radii(
    sources: Sources, seeing: float, relative_error: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Measure half-light radii: intrinsic and seeing in quadrature, 5 % spoilt by a neighbour."""
    n, point = len(sources), HALF_LIGHT_PER_FWHM * seeing
    radius = np.hypot(point, _effective_radius(sources))
    blend = rng.uniform(size=n) < SIZE_BLEND_SHARE
    error = np.hypot(SIZE_SCATTER, np.minimum(relative_error, 0.3)) * rng.standard_normal(n)
    error += np.where(blend, np.abs(rng.normal(0.0, 0.3, n)), 0.0)
    return radius * np.exp(error)
