"""The nine-band catalogue of a tile, in the columns and units of the KiDS multi-band release."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.coverage import mask_bits
from kidsclf.mock.fits_tables import Columns
from kidsclf.mock.layout import Tile, tile_wcs
from kidsclf.mock.photometry import HALF_LIGHT_PER_FWHM, NOT_MEASURED, Photometry
from kidsclf.mock.settings import BANDS, MockSettings
from kidsclf.mock.sources import STAR, Sources

FloatArray = NDArray[np.float64]

SATURATED_MAG: Final = 16.3
DEBLENDED_FLAG, SATURATED_FLAG = 2, 4


@dataclass(frozen=True)
class Listing:
    """What stands in a tile's catalogue: truth and measurement side by side, and the names."""

    sources: Sources
    photometry: Photometry
    names: NDArray[np.str_]
    deblended: NDArray[np.bool_]


def source_names(ra: FloatArray, dec: FloatArray) -> NDArray[np.str_]:
    """Return the survey's identifiers of positions in degrees.

    Examples
    --------
    >>> str(source_names(np.array([0.0514375]), np.array([-0.003427]))[0])
    'KiDSDR4 J000012.345-000012.34'
    """
    milliseconds = np.rint(ra * 240_000.0).astype(np.int64) % 86_400_000
    centiarcsec = np.rint(np.abs(dec) * 360_000.0).astype(np.int64)
    pieces = (
        milliseconds // 3_600_000, milliseconds // 60_000 % 60, milliseconds // 1000 % 60,
        milliseconds % 1000, np.where(dec < 0, "-", "+"),
        centiarcsec // 360_000, centiarcsec // 6000 % 60, centiarcsec // 100 % 60,
        centiarcsec % 100,
    )  # fmt: skip
    form = "KiDSDR4 J%02d%02d%02d.%03d%s%02d%02d%02d.%02d"
    rows = zip(*(piece.tolist() for piece in pieces), strict=True)
    return np.array([form % row for row in rows], dtype="U29")


def catalogue_columns(
    listing: Listing, settings: MockSettings, tile: Tile, seeing_fwhm_arcsec: float
) -> Columns:
    """Return a tile's catalogue, sources in the order of the listing."""
    photometry, n = listing.photometry, len(listing.names)
    pixels = tile_wcs(settings, tile).all_world2pix(photometry.ra, photometry.dec, 1)
    bright_stars = listing.sources.sky_class == STAR
    bits = mask_bits(photometry.ra, photometry.dec, photometry.mag_auto, bright_stars)
    saturated = bright_stars & (photometry.mag_auto < SATURATED_MAG)
    flags = DEBLENDED_FLAG * listing.deblended + SATURATED_FLAG * saturated
    likeness, secure = _star_likeness(photometry, seeing_fwhm_arcsec)
    columns: Columns = {
        "ID": (listing.names, ""),
        "KIDS_TILE": (np.full(n, tile.name), ""),
        "SeqNr": (np.arange(1, n + 1, dtype=np.int32), ""),
        "RAJ2000": (photometry.ra, "deg"),
        "DECJ2000": (photometry.dec, "deg"),
        "Xpos": (_float32(pixels[0]), "pix"),
        "Ypos": (_float32(pixels[1]), "pix"),
        "MAG_AUTO": (_float32(photometry.mag_auto), "mag"),
        "MAGERR_AUTO": (_float32(photometry.mag_auto_error), "mag"),
        "FLUX_RADIUS": (
            _float32(photometry.half_light_radius_arcsec / settings.pixel_scale_arcsec),
            "pix",
        ),
        "CLASS_STAR": (_float32(likeness), ""),
        "SG2DPHOT": (secure, ""),
        "Flag": (flags.astype(np.int16), ""),
        "IMAFLAGS_ISO": (bits, ""),
        "MASK": (bits, ""),
    }
    for number, band in enumerate(BANDS):
        columns |= _band_columns(photometry, number, band)
    for number, (blue, red) in enumerate(pairwise(BANDS)):
        columns[f"COLOUR_GAAP_{blue}_{red}"] = (_colour(photometry.mags, number), "mag")
    return columns


def _band_columns(photometry: Photometry, number: int, band: str) -> Columns:
    unmeasured = ~photometry.measured[:, number]
    return {
        f"FLUX_GAAP_{band}": (_float32(photometry.fluxes[:, number]), ""),
        f"FLUXERR_GAAP_{band}": (_float32(photometry.flux_errors[:, number]), ""),
        f"MAG_GAAP_{band}": (_float32(photometry.mags[:, number]), "mag"),
        f"MAGERR_GAAP_{band}": (_float32(photometry.mag_errors[:, number]), "mag"),
        f"MAG_LIM_{band}": (_float32(photometry.mag_limits[:, number]), "mag"),
        f"FLAG_GAAP_{band}": (unmeasured.astype(np.int16), ""),
        f"EXTINCTION_{band}": (_float32(photometry.extinctions[:, number]), "mag"),
    }


def _colour(mags: FloatArray, number: int) -> NDArray[np.float32]:
    blue, red = mags[:, number], mags[:, number + 1]
    both = (np.abs(blue) < 98.0) & (np.abs(red) < 98.0)
    return _float32(np.where(both, blue - red, NOT_MEASURED))


def _star_likeness(photometry: Photometry, seeing: float) -> tuple[FloatArray, NDArray[np.int16]]:
    """Return CLASS_STAR (a logistic of size, tending to 0.5 beyond r = 22.5) and SG2DPHOT."""
    ratio = photometry.half_light_radius_arcsec / (HALF_LIGHT_PER_FWHM * seeing)
    mag = photometry.mag_auto
    confidence = 1.0 / (1.0 + np.exp((mag - 22.5) / 0.4))
    logistic = 1.0 / (1.0 + np.exp(np.clip((ratio - 1.25) / 0.05, -50.0, 50.0)))
    round_, small = ratio < 1.2, ratio < 0.85
    secure = np.select([small, round_ & (mag < 22), round_ & (mag < 23)], [2, 1, 4], default=0)
    return 0.5 + (logistic - 0.5) * confidence, secure.astype(np.int16)


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(values, dtype=np.float32)
