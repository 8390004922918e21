"""Measure the shapes of a block of sources: the columns asked for, in units of the sky."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import InputError
from kidsclf.features import arrays
from kidsclf.features.morphology.measure import (
    BYTES_PREPARED,
    FLOATS_PER_PIXEL,
    MOST_ROWS,
    measure,
    prepare,
)
from kidsclf.features.sersic import fit_sersic, moffat_psf
from kidsclf.features.sersic.fit import ARRAYS_PER_PIXEL, CACHE_ROWS
from kidsclf.features.table import (
    NEEDS_PSF,
    SERSIC_FLAGS,
    SersicColumn,
    columns_written,
    morphology_asked,
    sersic_asked,
)

MOFFAT_BETA = 4.765
"""Exponent of the PSF: the Moffat profile nearest to that of Kolmogorov turbulence (Trujillo et al.
2001, MNRAS 328, 977)."""

PSF_EXTENT = 3.5
"""Half of the side of the PSF's image over its full width at half maximum."""


def measure_shapes(
    stamps: NDArray[np.float32],
    masks: NDArray[np.bool_],
    names: Sequence[str],
    pixel_scale_arcsec: float,
    psf_fwhm_arcsec: float | None,
) -> dict[str, NDArray[Any]]:
    """Measure the source at the centre of each stamp.

    Parameters
    ----------
    stamps : float32 array (n, size, size)
        Maggies; NaN where there is no image.
    masks : bool array (n, size, size)
        True for pixels that must not be used.
    names : sequence of str
        Of ``features.table.COLUMNS``.
    pixel_scale_arcsec : float
    psf_fwhm_arcsec : float or None
        Seeing; ``NEEDS_PSF`` names the columns that are nothing without it.

    Returns
    -------
    dict of str to array (n,)
        Those of ``columns_written``, in that order: float32, and int32 flags. NaN where a flag says
        why.

    Raises
    ------
    InputError
        When a column needs a PSF, and there is none.
    """
    lacking = sorted(NEEDS_PSF.intersection(names)) if psf_fwhm_arcsec is None else []
    if lacking:
        raise InputError(
            f"{', '.join(lacking)} were asked for, which compare with the PSF, but none was given; "
            f"set features.psf_fwhm_arcsec to the seeing of the tiles"
        )
    psf = None if psf_fwhm_arcsec is None else seeing_psf(psf_fwhm_arcsec / pixel_scale_arcsec)
    found = measure(stamps, psf=psf, masks=masks, features=morphology_asked(names))
    fitted = sersic_asked(names)
    if fitted and psf is not None:
        found |= _fitted(stamps, masks, psf, fitted)
    scale = np.float32(pixel_scale_arcsec)
    return {
        column.name: found[column.name] * scale if column.is_length else found[column.name]
        for column in columns_written(names)
    }


def seeing_psf(fwhm_px: float) -> NDArray[np.float64]:
    """Draw the PSF of a seeing, float64 array (m, m) of unit sum; m is odd."""
    side = 2 * math.ceil(PSF_EXTENT * fwhm_px) + 1
    return np.asarray(moffat_psf(np.array([fwhm_px]), MOFFAT_BETA, side)[0])


def _fitted(
    stamps: NDArray[np.float32],
    masks: NDArray[np.bool_],
    psf: NDArray[np.float64],
    columns: Sequence[SersicColumn],
) -> dict[str, NDArray[Any]]:
    """Fit Sersic profiles, neighbours masked, weighted by the noise of the sky.

    The gain of the tiles is not known, so the noise of bright pixels is not told from the sky's.
    """
    parts = []
    for rows in arrays.row_slices(len(stamps), CACHE_ROWS):
        found = prepare(stamps[rows], None, masks[rows], None)
        variance = np.square(found.sky_noise[0])[:, None, None]
        fits = fit_sersic(found.images, variance, psf[None], ~found.good)
        values = {
            each.name: (fits.errors if each.is_error else fits.values)[each.parameter]
            for each in columns
        }
        parts.append({name: each.astype(np.float32) for name, each in values.items()})
        parts[-1][SERSIC_FLAGS] = fits.flags
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def peak_bytes(rows: int, size_px: int, names: Sequence[str]) -> float:
    """Estimate what the kernels hold at their peak beside stamps and columns of a block, bytes."""
    pixels = size_px**2
    chunk = min(rows, max(arrays.FEWEST_ROWS, arrays.CACHE_BYTES // (4 * pixels)))
    prepared = BYTES_PREPARED * pixels * min(rows, MOST_ROWS)
    work = prepared + 4.0 * FLOATS_PER_PIXEL * pixels * chunk
    if not sersic_asked(names):
        return work
    # A stamp and its PSF, which is the smaller in any seeing, side by side.
    return max(work, 4.0 * ARRAYS_PER_PIXEL * (2 * size_px) ** 2 * min(rows, CACHE_ROWS))
