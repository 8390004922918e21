"""Image tiles of a survey: what their headers say.

Headers are read once and travel as small records; ``tile_pixels`` reads what is in the files.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from kidsclf.config import StoreSettings
from kidsclf.places import Place, place
from kidsclf.sky.cap import separation_deg
from kidsclf.surveys.damage import named_errors
from kidsclf.surveys.fits_headers import Unit, check_complete, open_fits, walk
from kidsclf.surveys.tile_names import TileFiles, default_mask_bits

_WCS_CARD = re.compile(
    r"WCSAXES|CTYPE\d|CRPIX\d|CRVAL\d|CUNIT\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|PV\d_\d+|"
    r"LONPOLE|LATPOLE|RADESYS|EQUINOX|[AB]P?_(ORDER|\d_\d)"
)


@dataclass(frozen=True)
class TileHeader:
    """What is known of a tile without its pixels.

    Attributes
    ----------
    path : Path or UPath
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
    weight_path, mask_path : Path, UPath or None
        Images on the same pixels: inverse variance, and bits that are set where pixels are bad.
    mask_bits : int
        Bits of the mask that count.
    flaw : str
        What is wrong with the file although its header can be read; empty where nothing is known.
    """

    path: Place
    hdu: int
    shape: tuple[int, int]
    wcs_header: str
    zero_point: float
    pixel_scale_arcsec: float
    ra: float
    dec: float
    radius_deg: float
    band: str
    weight_path: Place | None
    mask_path: Place | None
    mask_bits: int
    flaw: str = ""

    @property
    def maggies(self) -> float:
        """Flux of one unit of the image, maggies (AB zero point 0)."""
        return float(10.0 ** (-0.4 * self.zero_point))

    @property
    def files(self) -> tuple[Place, ...]:
        """The tile's files: image, weight, mask."""
        return tuple(path for path in (self.path, self.weight_path, self.mask_path) if path)

    def to_record(self) -> dict[str, Any]:
        """Write it as JSON can hold it."""
        record = asdict(self)
        for key in _PATHS:
            record[key] = None if record[key] is None else str(record[key])
        return record

    @staticmethod
    def from_record(record: Mapping[str, Any], settings: StoreSettings) -> "TileHeader":
        """Read what ``to_record`` wrote."""
        paths = {key: record[key] and place(record[key], settings) for key in _PATHS}
        return TileHeader(**{**record, **paths, "shape": tuple(record["shape"])})


_PATHS = ("path", "weight_path", "mask_path")


def read_tile_header(
    files: TileFiles, hdu: int | str | None = None, mask_bits: int | None = None
) -> TileHeader:
    """Read what is known of a tile.

    Parameters
    ----------
    files : TileFiles
    hdu : int or str, optional
        Index or EXTNAME of the image; by default the first image of two dimensions.
    mask_bits : int, optional
        Bits of the mask that count; by default those that the survey advises.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds no such image with a celestial WCS and a zero
        point (MAGZERO or PHOTZP). That its pixels are cut short is noted as its flaw; of a gzipped
        file it shows only when it is read.
    """
    with named_errors(str(files.path)):
        with open_fits(files.path) as file:
            unit = find_image(file, hdu)
            flaw = "" if files.path.name.lower().endswith(".gz") else _cut_short(file, unit)
        shape, wcs_header = image_shape(unit), _wcs_cards(unit.header)
        wcs = celestial_wcs(wcs_header)
        if not wcs.has_celestial:
            raise ValueError("its image has no celestial WCS")
        ra, dec, radius = _extent(wcs, shape)
        bits = default_mask_bits(files.mask) if files.mask and mask_bits is None else mask_bits
        return TileHeader(
            path=files.path,
            hdu=unit.index,
            shape=shape,
            wcs_header=wcs_header,
            zero_point=_zero_point(unit.header),
            pixel_scale_arcsec=float(np.mean(proj_plane_pixel_scales(wcs))) * 3600.0,
            ra=ra,
            dec=dec,
            radius_deg=radius,
            band=files.band or _filter_band(unit.header),
            weight_path=files.weight,
            mask_path=files.mask,
            mask_bits=bits or 0,
            flaw=flaw,
        )


def check_whole(header: TileHeader) -> None:
    """Refuse a tile that has a flaw.

    Raises
    ------
    InputError
    """
    with named_errors(str(header.path)):
        if header.flaw:
            raise EOFError(header.flaw)


def _cut_short(file: BinaryIO, unit: Unit) -> str:
    try:
        check_complete(file, unit)
    except EOFError as error:
        return str(error)
    return ""


def celestial_wcs(wcs_header: str) -> WCS:
    """Build the WCS of a tile; a new one a call, because wcslib's are not safe across threads."""
    return WCS(fits.Header.fromstring(wcs_header), fix=False)


def find_image(file: BinaryIO, hdu: int | str | None) -> Unit:
    """Find an image of two dimensions: the one asked for, or the first.

    Raises
    ------
    ValueError
        If there is none.
    """
    for unit in walk(file):
        named = hdu in (None, unit.index, str(unit.header.get("EXTNAME", "")).strip())
        if named and _is_image(unit):
            return unit
    asked = "" if hdu is None else f" in HDU {hdu!r}"
    raise ValueError(f"it holds no two-dimensional image{asked}")


def image_shape(unit: Unit) -> tuple[int, int]:
    """Give (ny, nx) of an image; compressed ones keep theirs in ZNAXIS."""
    ny, nx = _axes(unit)
    return ny, nx


def _is_image(unit: Unit) -> bool:
    is_image = unit.is_compressed_image or unit.header.get("XTENSION", "IMAGE") == "IMAGE"
    return bool(is_image) and len(_axes(unit)) == 2


def _axes(unit: Unit) -> tuple[int, ...]:
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
