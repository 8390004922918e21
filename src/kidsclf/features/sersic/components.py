"""A galaxy as the telescope shows it: the Gaussians of profile and PSF, convolved pair by pair.

Parameters of a source, in this order: logarithm of the circularised half-light radius in pixels;
place of the index between its bounds (``mixture``); two components of the ellipticity
eta = -ln q (cos 2 phi, sin 2 phi) for axis ratio q and angle phi (the conformal shear of Bernstein
& Jarvis 2002, AJ 123, 583, which is smooth at the circle); centre x, y in pixels; flux; and, if
asked for, the sky.
"""

from typing import Any, NamedTuple

from kidsclf.features.arrays import namespace
from kidsclf.features.sersic.mixture import GAUSSIANS, gaussians
from kidsclf.features.sersic.psf import WIDTHS, Psf

COMPONENTS = GAUSSIANS * len(WIDTHS)
SUMS = 20
"""Weighted sums of exponentials per pixel: image, 3 for the centre, 4 for each of 4 shapes."""


class Components(NamedTuple):
    """Gaussians of the image, and the sums over them that it and its derivatives are made of.

    Attributes
    ----------
    exponents : float32 array (n, COMPONENTS, 3)
        Factors of dx^2, 2 dx dy, dy^2.
    weights : float32 array (n, SUMS, COMPONENTS)
    x, y : float64 arrays (n,)
        Common centre.
    """

    exponents: Any
    weights: Any
    x: Any
    y: Any


def sheared_gaussians(parameters: Any, psf: Psf) -> Components:
    """Shear the profile's Gaussians, convolve them with the PSF's, and differentiate them.

    Parameters
    ----------
    parameters : float64 array (n, 7 or 8)
    psf : Psf

    Returns
    -------
    Components
    """
    xp = namespace(parameters)
    profile = gaussians(parameters[:, 1])
    ellipse, by_eta_1, by_eta_2 = ellipse_matrix(parameters)
    scale = profile.variance[:, :, None]
    broad = [scale * each[:, None, None] for each in ellipse]
    seen = zip(broad, (psf.xx, psf.xy, psf.yy), strict=True)
    xx, xy, yy = (galaxy + star[:, None, :] for galaxy, star in seen)
    determinant = xx * yy - xy**2
    precision = (yy / determinant, -xy / determinant, xx / determinant)
    amplitude = profile.flux[:, :, None] * psf.share[:, None, :] / (2.0 * xp.pi)
    amplitude = amplitude / xp.sqrt(determinant)
    slope = profile.log_variance_slope[:, :, None]
    sums = [xp.ones_like(amplitude), *precision]
    sums += _shape_sums(precision, [2.0 * each for each in broad])
    sums += _shape_sums(precision, [slope * each for each in broad])
    sums[8] = sums[8] + profile.log_flux_slope[:, :, None]
    for by_eta in (by_eta_1, by_eta_2):
        sums += _shape_sums(precision, [scale * each[:, None, None] for each in by_eta])
    weights = xp.stack([amplitude * each for each in sums], axis=1)
    count = parameters.shape[0]
    exponents = xp.stack([-0.5 * each for each in precision], axis=3)
    exponents = xp.reshape(exponents, (count, COMPONENTS, 3))
    weights = xp.reshape(weights, (count, SUMS, COMPONENTS))
    return Components(
        xp.astype(exponents, xp.float32),
        xp.astype(weights, xp.float32),
        parameters[:, 4] + psf.x_offset,
        parameters[:, 5] + psf.y_offset,
    )


def ellipse_matrix(parameters: Any) -> tuple[tuple[Any, Any, Any], ...]:
    """Give the matrix r^2 exp(eta), as (xx, xy, yy), and its derivatives by both components."""
    xp = namespace(parameters)
    first, second = parameters[:, 2], parameters[:, 3]
    square = first**2 + second**2
    small = square < 1e-4
    length = xp.sqrt(xp.where(small, 1.0, square))
    cosh = xp.where(small, 1.0 + square / 2.0, xp.cosh(length))
    ratio = xp.where(small, 1.0 + square / 6.0, xp.sinh(length) / length)
    bend = xp.where(small, 1.0 / 3.0 + square / 30.0, (cosh - ratio) / length**2)
    area = xp.exp(2.0 * parameters[:, 0])
    matrix = (cosh + ratio * first, ratio * second, cosh - ratio * first)
    by_first = (
        ratio * first + bend * first**2 + ratio,
        bend * first * second,
        ratio * first - bend * first**2 - ratio,
    )
    by_second = (
        ratio * second + bend * first * second,
        bend * second**2 + ratio,
        ratio * second - bend * first * second,
    )
    scaled = [tuple(area * each for each in part) for part in (matrix, by_first, by_second)]
    return scaled[0], scaled[1], scaled[2]


def _shape_sums(precision: tuple[Any, Any, Any], change: list[Any]) -> list[Any]:
    """Expand the derivative of a Gaussian by its covariance in (1, dx^2, 2 dx dy, dy^2).

    With L the inverse covariance and D the change, it is (d' L D L d - trace(L D)) / 2 times the
    Gaussian.
    """
    xx, xy, yy = precision
    dxx, dxy, dyy = change
    one, two = xx * dxx + xy * dxy, xx * dxy + xy * dyy
    three, four = xy * dxx + yy * dxy, xy * dxy + yy * dyy
    return [
        -0.5 * (one + four),
        0.5 * (one * xx + two * xy),
        0.5 * (one * xy + two * yy),
        0.5 * (three * xy + four * yy),
    ]
