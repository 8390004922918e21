"""Point-spread functions as the fits use them: two Gaussians, and an image of what they leave.

The Gaussians make the convolution of the model and of its derivatives analytic. What they leave of
the PSF's image is small, sums to zero and is added by Fourier transform, so that the model is
convolved with the image itself (the division of labour of Lang 2020, arXiv:2012.15797).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from kidsclf.errors import InputError
from kidsclf.features.arrays import namespace
from kidsclf.features.sersic.moments import adaptive_moments

WIDTHS = (0.9, 1.8)
"""Widths of the two Gaussians over that of the one that matches best. Moffat profiles of exponents
2.5 to 4.5 and Kolmogorov's are met to 1.5-5 % (rms), PSFs of KiDS and HSC to 7-14 %."""

SUBPIXELS = 5
"""Gauss-Legendre points along a pixel's side over which a Moffat profile is integrated."""


class Psf(NamedTuple):
    """Effective PSFs of n sources, or one of all (n = 1): pixel response included.

    Attributes
    ----------
    share : float64 array (n, 2)
        Flux of each Gaussian; they add up to 1.
    xx, xy, yy : float64 arrays (n, 2)
        Covariances, pixels squared.
    x_offset, y_offset : float64 arrays (n,)
        Place of the Gaussians' centre from the middle of the image, pixels.
    image : float64 array (n, p, p)
        The whole PSF, of unit sum.
    usable : bool array (n,)
        False where the image holds NaN or no light; the rest is that of a harmless PSF.
    """

    share: Any
    xx: Any
    xy: Any
    yy: Any
    x_offset: Any
    y_offset: Any
    image: Any
    usable: Any

    def take(self, rows: Any) -> "Psf":
        """Pick rows; of a PSF for all sources, itself."""
        if self.share.shape[0] == 1:
            return self
        xp = namespace(self.share)
        return Psf(*(xp.take(each, rows, axis=0) for each in self))


def describe_psf(images: Any) -> Psf:
    """Split images of PSFs into Gaussians and the rest.

    Parameters
    ----------
    images : float array (n or 1, p, p)
        Effective PSFs, as stars appear in the pixels of the stamps, around the middle of the image
        (``(p - 1) / 2``). Any scale: they are divided by their sum.

    Returns
    -------
    Psf
    """
    xp = namespace(images)
    images = xp.astype(images, xp.float64)
    total = xp.sum(images, axis=(1, 2))
    usable = xp.isfinite(total) & (total > 0)
    size = images.shape[1]
    line = xp.arange(size, dtype=images.dtype) - (size - 1) / 2.0
    distance = line[:, None] ** 2 + line[None, :] ** 2
    harmless = xp.exp(-0.5 * distance) / (2.0 * np.pi)
    good = usable[:, None, None]
    images = xp.where(good, images / xp.where(usable, total, 1.0)[:, None, None], harmless)
    at = adaptive_moments(images)
    scale = xp.asarray(WIDTHS, dtype=images.dtype) ** 2
    xx, xy, yy = (each[:, None] * scale for each in (at.xx, at.xy, at.yy))
    x_offset, y_offset = at.x - (size - 1) / 2.0, at.y - (size - 1) / 2.0
    profile = _unit_gaussians(line, x_offset, y_offset, xx, xy, yy)
    share = _shares(profile, images)
    return Psf(share, xx, xy, yy, x_offset, y_offset, images, usable)


def _unit_gaussians(line: Any, x: Any, y: Any, xx: Any, xy: Any, yy: Any) -> Any:
    """Draw Gaussians of unit flux (n, 2, p, p) round (x, y) on pixels at the offsets ``line``."""
    xp = namespace(line)
    determinant = (xx * yy - xy**2)[:, :, None, None]
    dx = line[None, None, None, :] - x[:, None, None, None]
    dy = line[None, None, :, None] - y[:, None, None, None]
    distance = (
        yy[:, :, None, None] * dx**2
        - 2.0 * xy[:, :, None, None] * dx * dy
        + xx[:, :, None, None] * dy**2
    ) / determinant
    return xp.exp(-0.5 * distance) / (2.0 * np.pi * xp.sqrt(determinant))


def _shares(profile: Any, images: Any) -> Any:
    """Divide unit flux between two Gaussians by least squares."""
    xp = namespace(images)
    narrow, wide = profile[:, 0, ...], profile[:, 1, ...]
    contrast = narrow - wide
    overlap = xp.sum(contrast * (images - wide), axis=(1, 2))
    share = overlap / xp.sum(contrast**2, axis=(1, 2))
    return xp.stack([share, 1.0 - share], axis=1)


def residual_transform(psf: Psf, length: int) -> Any:
    """Transform what the Gaussians leave of the image.

    Parameters
    ----------
    psf : Psf
    length : int
        Pixels on a side of the periodic grid; even, at least the image's own side.

    Returns
    -------
    complex128 array (n, length, length // 2 + 1)
        As ``rfftn`` gives it, with the middle of the image at pixel (0, 0).
    """
    xp = namespace(psf.image)
    size = psf.image.shape[1]
    corner = (length - size) // 2
    grid = xp.zeros((psf.image.shape[0], length, length), dtype=psf.image.dtype)
    grid[:, corner : corner + size, corner : corner + size] = psf.image
    line = xp.arange(length, dtype=psf.image.dtype) - (corner + (size - 1) / 2.0)
    gaussians = _unit_gaussians(line, psf.x_offset, psf.y_offset, psf.xx, psf.xy, psf.yy)
    grid = grid - xp.sum(gaussians * psf.share[:, :, None, None], axis=1)
    along_y, along_x = frequencies(length, grid)
    middle = corner + (size - 1) / 2.0
    to_corner = xp.exp(1j * middle * along_y)[:, None] * xp.exp(1j * middle * along_x)[None, :]
    return xp.fft.rfftn(grid, axes=(1, 2)) * to_corner


def frequencies(length: int, like: Any) -> tuple[Any, Any]:
    """Give the angular frequencies, radians per pixel, of the rows and columns of ``rfftn``."""
    xp = namespace(like)
    step = 2.0 * np.pi / length
    rows = xp.arange(length, dtype=xp.float64)
    rows = xp.where(rows > (length - 1) // 2, rows - length, rows) * step
    return rows, xp.arange(length // 2 + 1, dtype=xp.float64) * step


def gaussian_psf(fwhm_px: NDArray[np.float64], size: int = 25) -> NDArray[np.float64]:
    """Draw round Gaussian PSFs, integrated over pixels.

    Parameters
    ----------
    fwhm_px : float64 array (n,)
        Full width at half maximum before the pixels, pixels; NaN gives a PSF that is refused.
    size : int
        Odd side of the images.

    Returns
    -------
    float64 array (n, size, size)
        Unit sum.

    Raises
    ------
    InputError
        If ``size`` is even or below 3.
    """
    _check_size(size)
    sigma = np.asarray(fwhm_px, dtype=np.float64)[:, None] / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    edges = np.arange(size + 1) - size / 2.0
    line = np.diff(erf(edges / (np.sqrt(2.0) * sigma)), axis=1)
    return _unit_sum(line[:, :, None] * line[:, None, :])


def moffat_psf(
    fwhm_px: NDArray[np.float64], beta: float = 3.5, size: int = 25
) -> NDArray[np.float64]:
    """Draw round Moffat PSFs (Moffat 1969, A&A 3, 455), integrated over pixels.

    Parameters
    ----------
    fwhm_px : float64 array (n,)
        Full width at half maximum before the pixels, pixels; NaN gives a PSF that is refused.
    beta : float
        Exponent, above 1.
    size : int
        Odd side of the images.

    Returns
    -------
    float64 array (n, size, size)
        Unit sum.

    Raises
    ------
    InputError
        If ``beta`` is not above 1, or ``size`` is even or below 3.
    """
    _check_size(size)
    if not beta > 1.0:
        raise InputError(
            f"a Moffat PSF of beta {beta:g} was asked for, but its flux is infinite; give a beta "
            "above 1 (2.5 to 4.5 for seeing)"
        )
    node, weight = np.polynomial.legendre.leggauss(SUBPIXELS)
    line = (np.arange(size)[:, None] - (size - 1) / 2.0 + node / 2.0).ravel()
    core = np.asarray(fwhm_px, dtype=np.float64) / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0))
    distance = (line[:, None] ** 2 + line**2) / core[:, None, None] ** 2
    fine = ((1.0 + distance) ** -beta).reshape(-1, size, SUBPIXELS, size, SUBPIXELS)
    return _unit_sum(np.einsum("nyjxi,j,i->nyx", fine, weight, weight))


def _check_size(size: int) -> None:
    if size < 3 or size % 2 == 0:
        raise InputError(
            f"an image of a PSF of {size} x {size} pixels was asked for, but it needs a middle "
            "pixel; give an odd size of at least 3"
        )


def _unit_sum(images: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(images / images.sum(axis=(1, 2), keepdims=True))
