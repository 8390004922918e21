"""Centroid and shape from the moments of the light in a segment."""

from dataclasses import dataclass
from typing import Any

from kidsclf.features import arrays

PIXEL_VARIANCE = 1.0 / 12.0
"""Second moment of a square pixel, which thickens thinner sources (SExtractor manual, eq. 43)."""

MOST_THICKENINGS = 3


@dataclass(frozen=True)
class Moments:
    """Sums of light times powers of the position in the stamp, float64 arrays (n,)."""

    light: Any
    x: Any
    y: Any
    xx: Any
    yy: Any
    xy: Any


@dataclass(frozen=True)
class Ellipse:
    """The ellipse with the second moments of the light round a centre, float64 arrays (n,).

    Attributes
    ----------
    major, minor : standard deviations of the light along the axes, pixels
    angle : of the major axis from x towards y, radians, -pi/2 to pi/2
    valid : bool array (n,); False where the moments are not those of an ellipse
    """

    major: Any
    minor: Any
    angle: Any
    valid: Any

    @property
    def elongation(self) -> Any:
        """Major over minor axis."""
        return self.major / self.minor


def moments(light: Any) -> Moments:
    """Sum the light and its first and second moments.

    Parameters
    ----------
    light : float32 array (n, size, size)
        0 beyond the segment.

    Returns
    -------
    Moments
        Round the first pixel of the stamp.
    """
    xp = arrays.namespace(light)
    size = light.shape[-1]
    # round the stamp's centre first: sums in single precision lose least there
    middle = 0.5 * (size - 1)
    place = xp.arange(size, dtype=light.dtype) - middle
    powers = xp.stack([xp.ones_like(place), place, place * place], axis=1)
    table = xp.matmul(xp.matrix_transpose(powers), xp.matmul(light, powers))
    table = xp.astype(table, xp.float64)
    total, y, yy = table[:, 0, 0], table[:, 1, 0], table[:, 2, 0]
    x, xx, xy = table[:, 0, 1], table[:, 0, 2], table[:, 1, 1]
    return Moments(
        total,
        x + middle * total,
        y + middle * total,
        xx + 2 * middle * x + middle**2 * total,
        yy + 2 * middle * y + middle**2 * total,
        xy + middle * (x + y) + middle**2 * total,
    )


def ellipse(sums: Moments, x: Any, y: Any) -> Ellipse:
    """Shape the light round a centre.

    Parameters
    ----------
    sums : Moments
    x, y : float64 array (n,)
        Centre, pixels.

    Returns
    -------
    Ellipse
        Sources thinner than a pixel are thickened as SExtractor does; negative moments, which noise
        can cause, make it invalid.
    """
    xp = arrays.namespace(x)
    light = xp.where(sums.light > 0, sums.light, 1.0)
    mx, my = sums.x / light, sums.y / light
    xx = sums.xx / light - 2 * x * mx + x * x
    yy = sums.yy / light - 2 * y * my + y * y
    xy = sums.xy / light - x * my - y * mx + x * y
    valid = (sums.light > 0) & (xx > 0) & (yy > 0)
    for _ in range(MOST_THICKENINGS):
        thin = xp.astype(xp.abs(xx * yy - xy * xy) < PIXEL_VARIANCE**2, xp.float64) * PIXEL_VARIANCE
        xx, yy = xx + xp.where(xx >= 0, thin, -thin), yy + xp.where(yy >= 0, thin, -thin)
    mean, half = 0.5 * (xx + yy), xp.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
    first, second = xp.abs(mean + half), xp.abs(mean - half)
    swap = second > first
    valid = valid & (mean - half > 0)
    major = xp.sqrt(xp.where(swap, second, first))
    minor = xp.sqrt(xp.where(swap, first, second))
    tiny = PIXEL_VARIANCE
    return Ellipse(
        xp.where(major > 0, major, tiny),
        xp.where(minor > 0, minor, tiny),
        0.5 * xp.atan2(2.0 * xy, xx - yy),
        valid,
    )
