"""Draw the r image of a tile: stars, galaxies and quasars through one point spread function."""

from dataclasses import dataclass
from typing import Any, Final

import galsim
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, zoom
from scipy.special import gammaln

from kidsclf.mock.layout import Tile, random_generator
from kidsclf.mock.settings import MockSettings

FloatArray = NDArray[np.float64]
Image = NDArray[np.float32]

SKY_RMS_MAGGIES: Final = 2.5e-12  # per 0.2 arcsec pixel at a 5 sigma depth of r = 25.02
REFERENCE_DEPTH_R, REFERENCE_SCALE = 25.02, 0.2
SEEING_SCATTER: Final = 0.10
MOFFAT_BETAS: Final = (3.5, 4.5, 5.5)
"""Half-integers, whose transforms are elementary: others take three times the drawing time."""
# A 0.5 px Gaussian: neighbouring pixels correlate to 0.26, as in resampled KiDS images.
NOISE_KERNEL: Final = np.array([0.1065, 0.7870, 0.1065])
SKY_RESIDUAL: Final = 0.1  # of the sky rms, smooth over
SKY_MESH_PX: Final = 256
ELECTRONS_PER_MAGGY: Final = 10 ** (0.4 * 25.9) * 1800.0
SATURATION_MAG_R: Final = 16.3
SERSIC_STEP: Final = 0.25  # GalSim tabulates each index once
TRUNCATION: Final = 5.0
"""Half-light radii at which galaxies end: a de Vaucouleurs profile without an end costs five times
the drawing time, for light far below the noise."""
BULGE_SIZE: Final = 0.4  # of the galaxy's half-light radius
FAINT_MAG_R: Final = 18.0  # beyond which drawing errors of a per cent sink in the noise
FINE: Final = galsim.GSParams(folding_threshold=1e-2, maxk_threshold=2e-3)
COARSE: Final = galsim.GSParams(
    folding_threshold=5e-2, maxk_threshold=1e-2, kvalue_accuracy=1e-4, stepk_minimum_hlr=3.0
)
SMALLEST_STAMP_PX, LARGEST_STAMP_PX = 20, 1000


@dataclass(frozen=True)
class PointSpread:
    """A sheared Moffat profile; ``fwhm_arcsec`` before the shear."""

    fwhm_arcsec: float
    beta: float
    shear: tuple[float, float]

    def profile(self, precision: Any) -> Any:
        """Return the GalSim profile of unit flux."""
        moffat = galsim.Moffat(beta=self.beta, fwhm=self.fwhm_arcsec, gsparams=precision)
        return moffat.shear(g1=self.shear[0], g2=self.shear[1])


@dataclass(frozen=True)
class Drawable:
    """What the image needs to know of n sources: pixel positions from 0, r as seen, shapes."""

    x: FloatArray
    y: FloatArray
    mag_r: FloatArray
    half_light_radius_arcsec: FloatArray
    sersic_index: FloatArray
    axis_ratio: FloatArray
    position_angle_deg: FloatArray
    point_fraction: FloatArray
    bulge_fraction: FloatArray


def draw_point_spread(settings: MockSettings, tile: Tile) -> PointSpread:
    """Draw the seeing of a tile: FWHM to 10 %, beta 3.5, 4.5 or 5.5, ellipticity about 0.02."""
    rng = random_generator(settings, tile, "point spread")
    factor = float(np.clip(rng.normal(1.0, SEEING_SCATTER), 0.8, 1.3))
    shear = rng.normal(0.0, 0.01, 2)
    beta = float(rng.choice(MOFFAT_BETAS))
    return PointSpread(
        settings.seeing_fwhm_arcsec * factor, beta, (float(shear[0]), float(shear[1]))
    )


def sky_rms(settings: MockSettings) -> float:
    """Return the rms of the sky in maggies per pixel, for the depth and pixel scale asked for."""
    depth = 10 ** (-0.4 * (settings.depths.r - REFERENCE_DEPTH_R))
    return SKY_RMS_MAGGIES * depth * settings.pixel_scale_arcsec / REFERENCE_SCALE


def draw_image(
    sources: Drawable, side: int, psf: PointSpread, settings: MockSettings
) -> tuple[Image, float]:
    """Draw sources without noise.

    Returns
    -------
    image, saturation
        Maggies, shape (side, side), and the value at which pixels are cut off.
    """
    scale, rms = settings.pixel_scale_arcsec, sky_rms(settings)
    canvas = galsim.ImageF(side, side, scale=scale, xmin=0, ymin=0)
    for row in range(len(sources.x)):
        precision = COARSE if sources.mag_r[row] > FAINT_MAG_R else FINE
        profile = _profile(sources, row, psf, precision)
        reach = _reach_px(sources, row, psf, scale, rms)
        _add_stamp(canvas, profile, sources.x[row], sources.y[row], reach)
    centred = psf.profile(FINE).drawImage(nx=5, ny=5, scale=scale, dtype=np.float32)
    saturation = float(10 ** (-0.4 * SATURATION_MAG_R) * centred.array.max())
    return np.minimum(canvas.array, np.float32(saturation)), saturation


def add_noise(image: Image, settings: MockSettings, tile: Tile) -> Image:
    """Return the image with correlated sky noise, photon noise and a sky residual."""
    rng, rms, side = random_generator(settings, tile, "pixels"), sky_rms(settings), len(image)
    noise = rng.standard_normal((side, side), dtype=np.float32)
    for axis in (0, 1):
        noise = correlate1d(noise, NOISE_KERNEL, axis=axis, mode="reflect")
    noise *= np.float32(rms / (NOISE_KERNEL**2).sum())
    mesh = side // SKY_MESH_PX + 2
    nodes = rng.normal(0.0, SKY_RESIDUAL * rms, (mesh, mesh)).astype(np.float32)
    noise += zoom(nodes, side / mesh + 1.0, order=1)[:side, :side]
    bright = image > 0.5 * rms
    photon = np.sqrt(image[bright] / np.float32(ELECTRONS_PER_MAGGY))
    noise[bright] += photon * rng.standard_normal(len(photon), dtype=np.float32)
    noise += image
    return noise


def _profile(sources: Drawable, row: int, psf: PointSpread, precision: Any) -> Any:
    flux = float(10 ** (-0.4 * sources.mag_r[row]))
    point = float(sources.point_fraction[row])
    star = psf.profile(precision)
    if point > 0.98:
        return star.withFlux(flux)
    index = float(np.round(sources.sersic_index[row] / SERSIC_STEP) * SERSIC_STEP)
    radius, bulge = float(sources.half_light_radius_arcsec[row]), float(sources.bulge_fraction[row])
    body = _sersic(max(index, 0.5), radius, precision)
    if bulge > 0.0:
        core = _sersic(4.0, BULGE_SIZE * radius, precision)
        body = galsim.Add([body * (1.0 - bulge), core * bulge], gsparams=precision)
    angle = (90.0 + float(sources.position_angle_deg[row])) * galsim.degrees
    body = body.shear(q=float(sources.axis_ratio[row]), beta=angle)
    blurred = galsim.Convolve([body, star], gsparams=precision) * ((1.0 - point) * flux)
    return galsim.Add([blurred, star * (point * flux)], gsparams=precision) if point else blurred


def _sersic(index: float, radius: float, precision: Any) -> Any:
    return galsim.Sersic(
        index, half_light_radius=radius, trunc=TRUNCATION * radius, gsparams=precision
    )


def _reach_px(sources: Drawable, row: int, psf: PointSpread, scale: float, rms: float) -> int:
    """Return the half-width at which a source sinks below a fifth of the sky rms."""
    flux = 10 ** (-0.4 * sources.mag_r[row])
    floor = 0.2 * rms / scale**2  # surface brightness, maggies per square arcsec
    alpha = psf.fwhm_arcsec / (2.0 * np.sqrt(2.0 ** (1.0 / psf.beta) - 1.0))
    peak = flux * (psf.beta - 1.0) / (np.pi * alpha**2)
    radius = alpha * np.sqrt(max((peak / floor) ** (1.0 / psf.beta) - 1.0, 0.0))
    if sources.point_fraction[row] <= 0.98:
        n, size = max(sources.sersic_index[row], 0.5), sources.half_light_radius_arcsec[row]
        b = 2.0 * n - 1.0 / 3.0
        norm = 2.0 * np.pi * n * size**2 * np.exp(b - 2.0 * n * np.log(b) + gammaln(2.0 * n))
        steps = np.log(flux / norm / floor) / b
        extent = min(size * max(1.0 + steps, 0.0) ** n, TRUNCATION * size)
        # The shear keeps the area, so that the long axis is longer than the radius.
        extent = extent / np.sqrt(sources.axis_ratio[row]) + 2.0 * psf.fwhm_arcsec
        radius = max(radius, extent)
    return int(np.clip(np.ceil(radius / scale) + 2, SMALLEST_STAMP_PX / 2, LARGEST_STAMP_PX / 2))


def _add_stamp(canvas: Any, profile: Any, x: float, y: float, reach: int) -> None:
    column, row = int(np.rint(x)), int(np.rint(y))
    bounds = galsim.BoundsI(column - reach, column + reach, row - reach, row + reach)
    stamp = profile.drawImage(
        bounds=bounds, scale=canvas.scale, dtype=np.float32, center=galsim.PositionD(x, y)
    )
    overlap = bounds & canvas.bounds
    if overlap.isDefined():
        canvas[overlap] += stamp[overlap]
