"""AB magnitudes and their errors, from a survey's magnitudes or fluxes."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.schema import error_column, magnitude_column
from kidsclf.surveys.magnitudes import BandPhotometry
from kidsclf.surveys.table_format import column_numbers

_POGSON = 2.5 / np.log(10.0)
"""Magnitudes per relative error of flux, to first order."""

Floats = NDArray[np.floating[Any]]


def ab_photometry(
    raw: pa.Table, photometry: BandPhotometry, band: str, where: str
) -> dict[str, NDArray[np.float32]]:
    """Make the canonical columns of one band.

    Returns
    -------
    dict of float32 arrays (n,)
        ``mag_X`` in AB mag and ``mag_err_X`` in mag; NaN where the survey gives a sentinel, also
        for the extinction, where a flux is not positive (it has no magnitude), and errors where
        the survey has none.
    """
    values = column_numbers(raw, photometry.column, where)
    in_mag = photometry.unit == "mag"
    beyond = photometry.missing_beyond if in_mag else np.inf
    missing = _missing(values, photometry, beyond)
    if photometry.zero_point is not None:
        missing |= ~(values > 0)
    errors = _errors(raw, photometry, values, where)
    extinction: Floats | None = None
    if photometry.extinction:
        extinction = column_numbers(raw, photometry.extinction, where).astype(np.float64)
        missing |= ~(np.abs(extinction) < photometry.missing_beyond)
    values[missing] = np.nan
    errors[missing] = np.nan
    return {
        magnitude_column(band): _magnitudes(photometry, values, extinction),
        error_column(band): errors,
    }


def _missing(values: Floats, photometry: BandPhotometry, beyond: float) -> NDArray[np.bool_]:
    missing = ~(np.abs(values) < beyond)  # NaN is not below either
    for sentinel in photometry.sentinels:
        if abs(sentinel) < beyond:
            # Catalogues store float32, where -99.9 is not the double -99.9.
            missing |= values.astype(np.float32, copy=False) == np.float32(sentinel)
    return missing


def _errors(
    raw: pa.Table, photometry: BandPhotometry, values: Floats, where: str
) -> NDArray[np.float32]:
    """Give errors in magnitudes, to first order: dm = 2.5 / ln 10 * sigma / flux."""
    if photometry.error is None:
        return np.full(len(values), np.nan, np.float32)
    errors = column_numbers(raw, photometry.error, where)
    kind, in_mag = photometry.error_kind, photometry.unit == "mag"
    beyond = photometry.missing_beyond if in_mag and kind == "sigma" else np.inf
    errors[_missing(errors, photometry, beyond) | (errors < 0)] = np.nan
    if kind != "sigma":
        errors = np.where(errors > 0, errors, np.nan).astype(np.float64)
        errors = _POGSON / errors if kind == "signal_to_noise" else 1.0 / np.sqrt(errors)
    if not in_mag and kind != "signal_to_noise":
        errors = _POGSON * errors.astype(np.float64) / np.where(values > 0, values, np.nan)
    return errors.astype(np.float32, copy=False)


def _magnitudes(
    photometry: BandPhotometry, values: Floats, extinction: Floats | None
) -> NDArray[np.float32]:
    """Convert to AB: m = zero point - 2.5 lg f (Pogson), less extinction, plus the offset."""
    if photometry.zero_point is not None:
        values = photometry.zero_point - 2.5 * np.log10(values.astype(np.float64))
    if extinction is not None:
        values = values - extinction
    if photometry.ab_offset:
        values = values.astype(np.float64) + photometry.ab_offset
    return values.astype(np.float32, copy=False)
