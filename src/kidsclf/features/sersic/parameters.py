"""From parameters of the model to unknowns without bounds, and to the numbers that people read."""

import math
from typing import Any, NamedTuple

from kidsclf.features.arrays import namespace
from kidsclf.features.sersic.levenberg import Equations
from kidsclf.features.sersic.mixture import (
    HIGHEST_INDEX,
    LOWEST_INDEX,
    index_at,
    place_of,
)
from kidsclf.features.sersic.moments import Moments, within
from kidsclf.features.sersic.psf import Psf

BOUNDED = 6
"""Parameters with bounds: all but flux and sky, in which the model is linear."""

SMALLEST_SHARE = 0.025
"""Of the PSF's width (standard deviation), the smallest radius: nothing tells it from a star's."""

SMALLEST_SEEING = 0.01
"""Squared pixels: less, or a negative variance, is no PSF's, but must not stop the others."""

FLATTEST = 3.0
"""Largest component of the ellipticity: an axis ratio of 1/20, thinner than any edge-on disc."""

CENTRE_SHARE = 8.0
"""Share of the stamp's side by which the centre may leave that of the moments, either way."""

START_INDEX = 1.5
RADIUS_OVER_SIGMA = 1.3
"""Half-light radius over the width of the matching Gaussian at that index."""

LEAST_SHARE_OF_PSF = 0.1
"""Of the PSF's variance, what is left of a source that looks no larger than it."""

AT_BOUND = 0.01
"""Share of the range next to a bound that counts as the bound."""


class Bounds(NamedTuple):
    """Least and greatest value of the bounded parameters; float64 arrays (n, 6)."""

    low: Any
    high: Any


def start_values(at: Moments, sky: Any, psf: Psf, size: int, unknowns: int) -> tuple[Any, Bounds]:
    """Guess the parameters from moments, less those of the PSF's Gaussians.

    Returns
    -------
    float64 array (n, unknowns)
    Bounds
    """
    xp = namespace(at.x)
    star = [xp.sum(psf.share * each, axis=1) for each in (psf.xx, psf.xy, psf.yy)]
    seeing = xp.clip((star[0] + star[2]) / 2.0, SMALLEST_SEEING, None)
    least = LEAST_SHARE_OF_PSF * seeing
    own = (each - less for each, less in zip((at.xx, at.xy, at.yy), star, strict=True))
    own_xx, own_xy, own_yy = own
    xx, xy, yy = within(own_xx, own_xy, own_yy, least, (size / 3.0) ** 2)
    root = xp.sqrt(xx * yy - xy**2)
    spread = xp.sqrt(((xx - yy) / 2.0) ** 2 + xy**2)
    large, small = (xx + yy) / 2.0 + spread, (xx + yy) / 2.0 - spread
    eta = 0.5 * xp.log(large / small)
    turn = eta / xp.where(spread > 0, spread, 1.0)
    radius = xp.log(RADIUS_OVER_SIGMA * xp.sqrt(root))
    place = xp.full_like(radius, place_of(START_INDEX))
    columns = [radius, place, turn * (xx - yy) / 2.0, turn * xy, at.x, at.y, at.flux, sky]
    ones, reach = xp.ones_like(radius), size / CENTRE_SHARE
    smallest = xp.log(SMALLEST_SHARE * xp.sqrt(seeing)) * ones
    low = [-1.0, -FLATTEST, -FLATTEST]
    high = [math.log(size), 1.0, FLATTEST, FLATTEST]
    bounds = Bounds(
        xp.stack([smallest, *(value * ones for value in low), at.x - reach, at.y - reach], axis=1),
        xp.stack([*(value * ones for value in high), at.x + reach, at.y + reach], axis=1),
    )
    return xp.stack(columns[:unknowns], axis=1), bounds


def to_unknowns(parameters: Any, bounds: Bounds) -> Any:
    """Map bounded parameters to the whole line, by the logistic function turned round."""
    xp = namespace(parameters)
    share = (parameters[:, :BOUNDED] - bounds.low) / (bounds.high - bounds.low)
    share = xp.clip(share, 2.0 * AT_BOUND, 1.0 - 2.0 * AT_BOUND)
    return xp.concat([xp.log(share / (1.0 - share)), parameters[:, BOUNDED:]], axis=1)


def to_parameters(unknowns: Any, bounds: Bounds) -> tuple[Any, Any]:
    """Map unknowns back; also give the derivative of each parameter by its unknown."""
    xp = namespace(unknowns)
    share = 1.0 / (1.0 + xp.exp(-unknowns[:, :BOUNDED]))
    width, linear = bounds.high - bounds.low, unknowns[:, BOUNDED:]
    parameters = xp.concat([bounds.low + width * share, linear], axis=1)
    return parameters, xp.concat([width * share * (1.0 - share), xp.ones_like(linear)], axis=1)


def by_unknowns(equations: Equations, slope: Any) -> Equations:
    """Turn equations by the parameters into equations by the unknowns."""
    curvature = slope[:, :, None] * equations.curvature * slope[:, None, :]
    return Equations(equations.chi2, equations.gradient * slope, curvature)


def at_bounds(parameters: Any, bounds: Bounds) -> tuple[Any, Any]:
    """Say which of the bounded parameters lie at their lower and at their upper bound (n, 6)."""
    share = (parameters[:, :BOUNDED] - bounds.low) / (bounds.high - bounds.low)
    return share < AT_BOUND, share > 1.0 - AT_BOUND


def covariance(curvature: Any, fixed: Any) -> Any:
    """Invert the curvature by the parameters (n, m, m), holding those ``fixed`` (n, 6)."""
    xp = namespace(curvature)
    free = xp.ones(curvature.shape[:2], dtype=xp.bool)
    free = xp.concat([~fixed, free[:, BOUNDED:]], axis=1)
    diagonal = xp.linalg.diagonal(curvature)
    ok = free & xp.isfinite(diagonal) & (diagonal > 0)
    scale = xp.where(ok, 1.0 / xp.sqrt(xp.where(ok, diagonal, 1.0)), 0.0)
    scaled = scale[:, :, None] * curvature * scale[:, None, :]
    eye = xp.eye(scale.shape[1], dtype=scale.dtype)
    scaled = xp.where(xp.isfinite(scaled), scaled, 0.0)
    scaled = scaled * (1.0 - eye) + eye * 1.0000001
    return xp.linalg.inv(scaled) * scale[:, :, None] * scale[:, None, :]


def readable(parameters: Any, spread: Any) -> dict[str, tuple[Any, Any]]:
    """Turn parameters and their covariance into named values and standard deviations.

    Returns
    -------
    dict of name to (float64 array (n,), float64 array (n,))
        ``x_px, y_px, flux, half_light_radius_px, sersic_index, axis_ratio, position_angle_deg``
        and, if it was fitted, ``sky``.
    """
    xp = namespace(parameters)
    first, second = parameters[:, 2], parameters[:, 3]
    eta = xp.sqrt(first**2 + second**2)
    round_ = eta == 0
    safe = xp.where(round_, 1.0, eta)
    cos, sin = xp.where(round_, 1.0, first / safe), second / safe
    along = cos**2 * spread[:, 2, 2] + 2.0 * cos * sin * spread[:, 2, 3] + sin**2 * spread[:, 3, 3]
    across = sin**2 * spread[:, 2, 2] - 2.0 * cos * sin * spread[:, 2, 3] + cos**2 * spread[:, 3, 3]
    with_radius = cos * spread[:, 0, 2] + sin * spread[:, 0, 3]
    radius, index = xp.exp(parameters[:, 0] + eta / 2.0), index_at(parameters[:, 1])
    by_radius = xp.sqrt(xp.abs(spread[:, 0, 0] + with_radius + along / 4.0))
    by_place = math.log(HIGHEST_INDEX / LOWEST_INDEX) / 2.0
    angle = xp.atan2(second, first) / 2.0
    angle = xp.where(angle < 0, angle + math.pi, angle)
    turn = xp.clip(xp.sqrt(xp.abs(across)) / (2.0 * safe), 0.0, math.pi / 2.0)
    sigma = xp.sqrt(xp.abs(xp.linalg.diagonal(spread)))
    table = {
        "x_px": (parameters[:, 4], sigma[:, 4]),
        "y_px": (parameters[:, 5], sigma[:, 5]),
        "flux": (parameters[:, 6], sigma[:, 6]),
        "half_light_radius_px": (radius, radius * by_radius),
        "sersic_index": (index, index * by_place * sigma[:, 1]),
        "axis_ratio": (xp.exp(-eta), xp.exp(-eta) * xp.sqrt(xp.abs(along))),
        "position_angle_deg": (angle * (180.0 / math.pi), turn * (180.0 / math.pi)),
    }
    if parameters.shape[1] > 7:
        table["sky"] = (parameters[:, 7], sigma[:, 7])
    return table
