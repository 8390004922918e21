"""Write a tile's image, weight and mask as the survey does."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from kidsclf.mock.coverage import EDGE, EDGE_PX, HALO, SATURATED, halo_radius_arcsec
from kidsclf.mock.fits_tables import publish
from kidsclf.mock.layout import Tile, tile_wcs
from kidsclf.mock.rendering import PointSpread, sky_rms
from kidsclf.mock.settings import MockSettings

FloatArray = NDArray[np.float64]

ZERO_WEIGHT_PX: Final = 2
RICE_QUANTUM: Final = 16.0  # a sixteenth of the noise is the step between stored values


def weight_image(side: int, settings: MockSettings) -> NDArray[np.float32]:
    """Return the inverse variance of the sky in maggy^-2, 0 in the outer 2 px."""
    weight = np.zeros((side, side), dtype=np.float32)
    inner = slice(ZERO_WEIGHT_PX, side - ZERO_WEIGHT_PX)
    weight[inner, inner] = sky_rms(settings) ** -2
    return weight


def mask_image(
    side: int,
    x: FloatArray,
    y: FloatArray,
    mag_r: FloatArray,
    saturated: NDArray[np.bool_],
    scale: float,
) -> NDArray[np.uint8]:
    """Return the mask: 1 in haloes of stars, 2 where saturated, 4 within 20 px of an edge.

    Stars stand at 0-based pixels ``x``, ``y``; ``scale`` is arcsec per pixel.
    """
    mask = np.full((side, side), EDGE, dtype=np.uint8)
    mask[EDGE_PX : side - EDGE_PX, EDGE_PX : side - EDGE_PX] = 0
    for column, row, reach in zip(x, y, halo_radius_arcsec(mag_r) / scale, strict=True):
        if reach > 0:
            _add_disc(mask, column, row, reach)
    mask[saturated] |= SATURATED
    return mask


def write_frames(
    folder: Path,
    images: dict[str, NDArray[Any]],
    settings: MockSettings,
    tile: Tile,
    psf: PointSpread,
) -> tuple[Path, ...]:
    """Write the images named ``sci``, ``wei`` and ``msk``; return their paths."""
    ending = ".fits.fz" if settings.compress else ".fits"
    paths = []
    for kind, image in images.items():
        path = folder / tile.file_name(f"r_{kind}{ending}")
        header = _header(settings, tile, psf, kind)
        publish(_hdus(image, header, kind, settings), path)
        paths.append(path)
    return tuple(paths)


def _hdus(image: NDArray[Any], header: Any, kind: str, settings: MockSettings) -> Any:
    if not settings.compress:
        return fits.HDUList([fits.PrimaryHDU(image, header)])
    compressed = fits.CompImageHDU(
        image,
        header,
        name=kind.upper(),
        compression_type="RICE_1",
        quantize_level=RICE_QUANTUM,
        quantize_method=1,
        dither_seed=tile_seed(header),
    )
    return fits.HDUList([fits.PrimaryHDU(), compressed])


def tile_seed(header: Any) -> int:
    """Return the dither seed of a tile, 1 to 10000, from its name alone."""
    return 1 + sum(str(header["OBJECT"]).encode()) % 10_000


def _header(settings: MockSettings, tile: Tile, psf: PointSpread, kind: str) -> Any:
    header = tile_wcs(settings, tile).to_header()
    units = {"sci": "maggy", "wei": "maggy**-2", "msk": ""}
    cards: tuple[tuple[str, str | float, str], ...] = (
        ("OBJECT", tile.name, "tile of a synthetic survey"),
        ("FILTER", "r", "band"),
        ("PHOTSYS", "AB", ""),
        ("MAGZERO", 0.0, "[mag] m = -2.5 log10(flux) + MAGZERO"),
        ("PHOTZP", 0.0, "[mag] same as MAGZERO"),
        ("BUNIT", units[kind], "flux unit per pixel"),
        ("IMGTYPE", {"sci": "SCIENCE", "wei": "WEIGHT", "msk": "MASK"}[kind], ""),
        ("PSF_FWHM", round(psf.fwhm_arcsec, 4), "[arcsec]"),
        ("PSFBETA", round(psf.beta, 3), "Moffat beta"),
        ("SKYRMS", sky_rms(settings), "sky rms per pixel, maggy"),
        ("PIXSCALE", settings.pixel_scale_arcsec, "[arcsec]"),
    )
    for key, value, comment in cards:
        header[key] = (value, comment)
    header["HISTORY"] = "SYNTHETIC: written by kidsclf.mock, not observed."
    return header


def _add_disc(mask: NDArray[np.uint8], x: float, y: float, radius: float) -> None:
    side = len(mask)
    low_x, high_x = max(int(x - radius), 0), min(int(x + radius) + 2, side)
    low_y, high_y = max(int(y - radius), 0), min(int(y + radius) + 2, side)
    if low_x >= high_x or low_y >= high_y:
        return
    rows, columns = np.ogrid[low_y:high_y, low_x:high_x]
    mask[low_y:high_y, low_x:high_x][(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] |= HALO
