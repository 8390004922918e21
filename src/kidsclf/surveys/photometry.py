"""AB magnitudes and their errors, from a survey's magnitudes or fluxes."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.schema import error_column, magnitude_column
from kidsclf.surveys.column_map import Magnitudes
from kidsclf.surveys.table_format import column_numbers

_ZERO_POINT = {"maggy": 0.0, "nanomaggy": 22.5}
"""AB magnitude of unit flux."""
_POGSON = 2.5 / np.log(10.0)
"""Magnitudes per relative error of flux, to first order."""

Floats = NDArray[np.float64]


def ab_photometry(
    raw: pa.Table, magnitudes: Magnitudes, band: str, where: str
) -> dict[str, NDArray[np.float32]]:
    """Make the canonical columns of one band.

    Returns
    -------
    dict of float32 arrays (n,)
        ``mag_X`` in AB mag and ``mag_err_X`` in mag; NaN where the survey gives a sentinel, where
        a flux is not positive (it has no magnitude), and errors where the survey has none.
    """
    values = column_numbers(raw, magnitudes.value_column(band), where)
    name = magnitudes.error_column(band)
    errors = column_numbers(raw, name, where) if name else np.full(len(values), np.nan)
    values[_missing(values, magnitudes)] = np.nan
    errors[_missing(errors, magnitudes) | (errors < 0)] = np.nan
    if name and magnitudes.error_kind == "inverse_variance":
        errors = 1.0 / np.sqrt(np.where(errors > 0, errors, np.nan))
    if magnitudes.unit != "mag":
        values, errors = _from_fluxes(values, errors, _ZERO_POINT[magnitudes.unit])
    extinction = magnitudes.extinction_column(band)
    if extinction:
        values -= column_numbers(raw, extinction, where)
    values += magnitudes.ab_offsets.get(band, 0.0)
    errors[np.isnan(values)] = np.nan
    return {
        magnitude_column(band): values.astype(np.float32),
        error_column(band): errors.astype(np.float32),
    }


def _missing(values: Floats, magnitudes: Magnitudes) -> NDArray[np.bool_]:
    # Catalogues store float32, where -99.9 is not the double -99.9.
    sentinels = np.array(magnitudes.sentinels, dtype=np.float32)
    missing = ~np.isfinite(values) | np.isin(values.astype(np.float32), sentinels)
    if magnitudes.unit == "mag" and magnitudes.error_kind == "sigma":
        missing |= np.abs(values) >= magnitudes.missing_beyond
    return missing


def _from_fluxes(fluxes: Floats, sigmas: Floats, zero_point: float) -> tuple[Floats, Floats]:
    """Convert fluxes: m = zero point - 2.5 lg f (Pogson), dm = 2.5 / ln 10 * sigma / f."""
    positive = np.where(fluxes > 0, fluxes, np.nan)
    return zero_point - 2.5 * np.log10(positive), _POGSON * sigmas / positive
