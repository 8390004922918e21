"""The empty sky of a stamp: its level, its noise, and what noise adds to other statistics."""

from dataclasses import dataclass
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_light

BORDER_SHARE = 0.1
"""Width of the border that the level is measured in, over the side of the stamp."""

BORDERS_PX = (2, 4)
"""Least and largest width of the border; 4 pixels round 101 give the level to 3 % of the noise."""

SIGMA_QUANTILE = 0.158655
"""Share of a normal distribution below one standard deviation under the mean."""


@dataclass(frozen=True)
class Sky:
    """Statistics of pixels without sources, float64 arrays (n,); NaN where there are too few.

    Attributes
    ----------
    sigma : standard deviation of a pixel
    asymmetry : mean absolute difference of pixels that a half-turn of the stamp brings together
    roughness : mean of what is above the local average; see ``smoothness.sky_roughness``
    level : what the outline of a source must exceed; see ``shape.outlines``
    """

    sigma: Any
    asymmetry: Any
    roughness: Any
    level: Any


def border_level(stamps: Any, good: Any) -> tuple[Any, Any]:
    """Measure level and noise of the sky in the border of each stamp.

    The median, and its distance from the quantile that lies one standard deviation below in a
    normal distribution: sources on the border brighten pixels and so touch neither much.

    Parameters
    ----------
    stamps : float32 array (n, size, size)
    good : bool array (n, size, size)

    Returns
    -------
    level, sigma : float64 array (n,)
        The unit of the stamps; NaN without a usable pixel.
    """
    xp = arrays.namespace(stamps)
    n, size = stamps.shape[0], stamps.shape[-1]
    width = min(BORDERS_PX[1], max(BORDERS_PX[0], int(BORDER_SHARE * size)))
    strips = []
    for each in (stamps, good):
        inner = slice(width, size - width)
        parts = (
            each[:, :width, :],
            each[:, size - width :, :],
            each[:, inner, :width],
            each[:, inner, size - width :],
        )
        strips.append(xp.concat([xp.reshape(part, (n, -1)) for part in parts], axis=1))
    pixels = xp.where(strips[1], strips[0], xp.asarray(xp.inf, dtype=stamps.dtype))
    ordered = xp.sort(pixels, axis=1, stable=False)
    count = arrays.count(strips[1], axis=1)
    median = _quantile(xp, ordered, count, 0.5)
    return median, median - _quantile(xp, ordered, count, SIGMA_QUANTILE)


def _quantile(xp: Any, ordered: Any, count: Any, share: float) -> Any:
    place = share * xp.clip(count - 1, 0, None)
    low = xp.astype(xp.floor(place), xp.int64)
    high = xp.astype(xp.ceil(place), xp.int64)
    ends = xp.take_along_axis(ordered, xp.stack([low, high], axis=1), axis=1)
    ends = xp.where(count[:, None] > 0, xp.astype(ends, xp.float64), 0.0)
    value = ends[:, 0] + (place - xp.floor(place)) * (ends[:, 1] - ends[:, 0])
    return xp.where(count > 0, value, xp.nan)


def sky_noise(images: Any, sky: Any) -> tuple[Any, Any, Any]:
    """Measure the scatter of sky pixels and their asymmetry under a half-turn of the stamp.

    statmorph takes a square of at most 32 x 32 pixels in the first corner that is empty, turned on
    itself. All empty pixels are more, and the same ones when the stamp is turned or mirrored.

    Parameters
    ----------
    images : float32 array (n, size, size)
    sky : bool array (n, size, size)
        Usable pixels without sources.

    Returns
    -------
    sigma, asymmetry : float64 array (n,)
        The unit of the images; NaN without pixels.
    pixels : float64 array (n,)
        How many there were.
    """
    xp = arrays.namespace(images)
    sums = compiled_light.sky_sums if arrays.is_numpy(images) else _sky_sums
    pixels, light, squares, pairs, change = sums(images, sky)
    some = xp.where(pixels > 0, pixels, xp.nan)
    variance = squares / some - (light / some) ** 2
    sigma = xp.sqrt(xp.clip(variance, 0.0, None))
    return sigma, change / xp.where(pairs > 0, pairs, xp.nan), pixels


def _sky_sums(images: Any, sky: Any) -> tuple[Any, ...]:
    """Sum up empty sky: pixels, light, squares, pairs, and what a half-turn leaves of pairs."""
    xp = arrays.namespace(images)
    weight = xp.astype(sky, images.dtype)
    seen, both = images * weight, weight * xp.flip(weight, axis=(1, 2))
    change = xp.abs(images - xp.flip(images, axis=(1, 2))) * both
    return tuple(
        xp.sum(xp.reshape(each, (images.shape[0], -1)), axis=1, dtype=xp.float64)
        for each in (weight, seen, seen * seen, both, change)
    )
