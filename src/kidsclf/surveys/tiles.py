"""Image tiles of a survey: what their headers and file names say.

Headers are read once and travel as small picklable records; ``tile_pixels`` reads what is in them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from kidsclf.errors import InputError
from kidsclf.sky.cap import separation_deg
from kidsclf.surveys.damage import named_errors
from kidsclf.surveys.fits_headers import Unit, check_complete, open_fits, walk
from kidsclf.surveys.tile_names import find_companion, is_companion, tile_band

_WCS_CARD = re.compile(
    r"WCSAXES|CTYPE\d|CRPIX\d|CRVAL\d|CUNIT\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|PV\d_\d+|"
    r"LONPOLE|LATPOLE|RADESYS|EQUINOX|[AB]P?_(ORDER|\d_\d)"
)


@dataclass(frozen=True)
class TileHeader:
    """What is known of a tile without its pixels.

    Attributes
    ----------
    path : str
    hdu : int
        Index of the image.
    shape : tuple of int
        (ny, nx), pixels.
    wcs_header : str
        FITS cards of the celestial WCS.
    zero_point : float
        AB magnitude of unit flux.
    pixel_scale_arcsec : float
    ra, dec : float
        Centre, degrees.
    radius_deg : float
        From the centre to the farthest corner.
    band : str
    weight_path, mask_path : str or None
        Images on the same pixels: inverse variance, and bits that are set where pixels are bad.
    """

    path: str
    hdu: int
    shape: tuple[int, int]
    wcs_header: str
    zero_point: float
    pixel_scale_arcsec: float
    ra: float
    dec: float
    radius_deg: float
    band: str
    weight_path: str | None
    mask_path: str | None


def read_tile_headers(paths: Sequence[str], band: str) -> tuple[TileHeader, ...]:
    """Read the headers of the tiles of one band, in the order given.

    The band is taken from a KiDS file name, else from the FILTER keyword. Weights and masks
    (``_wei``, ``_msk``) may be among the paths; they are no tiles of their own.

    Raises
    ------
    InputError
        If there is no tile of this band, or one cannot be read.
    """
    images = [path for path in paths if not is_companion(path)]
    wanted = [path for path in images if tile_band(path) in (band, None)]
    headers = [header for path in wanted if (header := read_tile_header(path)).band == band]
    if not headers:
        found = sorted({tile_band(path) or "unnamed" for path in images})
        raise InputError(
            f"tiles of band {band} were asked for but {len(images)} tiles are of "
            f"{', '.join(found) or 'no band'}; correct survey.tiles or cutouts.bands"
        )
    return tuple(headers)


def read_tile_header(path: str) -> TileHeader:
    """Read what is known of a tile: the first two-dimensional image, in any HDU.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds no image with a celestial WCS and a zero point
        (MAGZERO or PHOTZP).
    """
    with named_errors(path):
        with open_fits(Path(path)) as file:
            unit = _first_image(file)
            check_complete(file, unit)
        header = unit.header
        ny, nx = _shape(unit)
        wcs_header = _wcs_cards(header)
        wcs = celestial_wcs(wcs_header)
        if not wcs.has_celestial:
            raise ValueError("its image has no celestial WCS")
        ra, dec, radius = _extent(wcs, (ny, nx))
        scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600.0
        return TileHeader(
            path=path,
            hdu=unit.index,
            shape=(ny, nx),
            wcs_header=wcs_header,
            zero_point=_zero_point(header),
            pixel_scale_arcsec=scale,
            ra=ra,
            dec=dec,
            radius_deg=radius,
            band=tile_band(path) or _filter_band(header),
            weight_path=find_companion(path, "wei"),
            mask_path=find_companion(path, "msk"),
        )


def celestial_wcs(wcs_header: str) -> WCS:
    """Build the WCS of a tile; a new one a call, because wcslib's are not safe across threads."""
    return WCS(fits.Header.fromstring(wcs_header), fix=False)


def _first_image(file: BinaryIO) -> Unit:
    for unit in walk(file):
        is_image = unit.is_compressed_image or unit.header.get("XTENSION", "IMAGE") == "IMAGE"
        if is_image and len(_shape(unit)) == 2:
            return unit
    raise ValueError("it holds no two-dimensional image")


def _shape(unit: Unit) -> tuple[int, ...]:
    """Give the shape as numpy does; compressed images keep theirs in ZNAXIS."""
    letter = "Z" if unit.is_compressed_image else ""
    axes = int(unit.header[f"{letter}NAXIS"])
    return tuple(int(unit.header[f"{letter}NAXIS{k}"]) for k in range(axes, 0, -1))


def _wcs_cards(header: fits.Header) -> str:
    """Keep the cards of the WCS as they are, so that no digit is lost."""
    cards = [card for card in header.cards if _WCS_CARD.fullmatch(card.keyword)]
    return str(fits.Header(cards).tostring(padding=False))


def _extent(wcs: WCS, shape: tuple[int, int]) -> tuple[float, float, float]:
    """Find the centre of a tile and the distance of its farthest corner, degrees."""
    ny, nx = shape
    x = np.array([(nx - 1) / 2, -0.5, nx - 0.5, -0.5, nx - 0.5])
    y = np.array([(ny - 1) / 2, -0.5, -0.5, ny - 0.5, ny - 0.5])
    ra, dec = wcs.all_pix2world(x, y, 0)
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise ValueError("its WCS does not reach all corners of the image")
    radius = separation_deg(ra[1:], dec[1:], float(ra[0]), float(dec[0])).max()
    return float(ra[0]) % 360.0, float(dec[0]), float(radius)


def _zero_point(header: fits.Header) -> float:
    for keyword in ("MAGZERO", "PHOTZP"):
        if keyword in header:
            return float(header[keyword])
    raise ValueError("its image has neither MAGZERO nor PHOTZP, the AB magnitude of unit flux")


def _filter_band(header: fits.Header) -> str:
    """Read FILTER; OmegaCAM's ``OCAM_r_SDSS`` is r."""
    text = str(header.get("FILTER", "")).strip()
    if not text:
        raise ValueError("neither its name nor a FILTER keyword says its band")
    return text.split("_")[1] if text.startswith("OCAM_") else text
