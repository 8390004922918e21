"""Smoothness (clumpiness): light in structure finer than a quarter of the Petrosian radius."""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_light, compiled_smoothing
from kidsclf.features.morphology.apertures import Shape, aperture_sums
from kidsclf.features.morphology.filters import box_smooths

SCALE = 0.25
"""Side of the smoothing square, and radius of the core left out, over the Petrosian radius."""

EXTENT = 1.5
"""Radius of the aperture over the Petrosian radius (Lotz et al. 2004)."""


def box_width(petrosian: Any) -> Any:
    """Give the side of the smoothing square, whole pixels, int64 array (n,); at least 1."""
    xp = arrays.namespace(petrosian)
    return xp.clip(xp.astype(xp.floor(SCALE * petrosian), xp.int64), 1, None)


def smoothness(images: Any, good: Any, circle: Shape, petrosian: Any, roughness: Any) -> Any:
    """Measure the smoothness of Lotz et al. (2004, eq. 11), without Conselice's (2003) factor 10.

    A square of an even side is laid on the four corners of a pixel in turn, and the mean of the
    four taken, so that the orientation of the stamp does not matter; statmorph takes one of them.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not ``good``.
    good : bool array (n, size, size)
    circle : Shape
        Round the centre of asymmetry.
    petrosian : float64 array (n,)
        Circular Petrosian radius, pixels.
    roughness : float64 array (n,)
        What a pixel of empty sky adds, the unit of the images.

    Returns
    -------
    float64 array (n,)
        NaN where the annulus holds no light or the square has one pixel.
    """
    xp = arrays.namespace(images)
    width = box_width(petrosian)
    left = rises_above_boxes(images, width)
    everyone = xp.arange(images.shape[0], dtype=xp.int64)
    inner, outer = SCALE * petrosian, EXTENT * petrosian
    light, rough = (
        aperture_sums(each, good, everyone, circle, outer)[0]
        - aperture_sums(each, good, everyone, circle, inner)[0]
        for each in (images, left)
    )
    area = xp.pi * (outer**2 - inner**2)
    valid = (light > 0) & (width > 1)
    return xp.where(valid, (rough - area * roughness) / xp.where(valid, light, 1.0), xp.nan)


def sky_roughness(images: Any, sky: Any, petrosian: Any) -> Any:
    """Measure what a pixel of empty sky rises above the average of the square round it.

    Parameters
    ----------
    images : float32 array (n, size, size)
    sky : bool array (n, size, size)
        Usable pixels without sources; others count as 0, which is the sky's level.
    petrosian : float64 array (n,)
        Circular Petrosian radius, pixels.

    Returns
    -------
    float64 array (n,)
        Mean over the sky, negative rises taken as 0; NaN without pixels.
    """
    xp = arrays.namespace(images)
    width = box_width(petrosian)
    weight = xp.astype(sky, images.dtype)
    left = rises_above_boxes(images * weight, width)
    if arrays.is_numpy(images):
        rough = compiled_light.sums_over(left, sky)
    else:
        rough = xp.sum(xp.reshape(left * weight, (images.shape[0], -1)), axis=1, dtype=xp.float64)
    pixels = arrays.count(sky)
    return rough / xp.where(pixels > 0, pixels, xp.nan)


def rises_above_boxes(images: Any, width: Any) -> Any:
    """Average what rises above the four squares of ``filters.box_smooths``, falls being 0.

    Parameters
    ----------
    images : float32 array (n, size, size)
    width : int64 array (n,)
        Side of the square, pixels, 1 to the size.

    Returns
    -------
    float32 array (n, size, size)
    """
    if arrays.is_numpy(images):
        return compiled_smoothing.rises_above_boxes(images, width)
    xp = arrays.namespace(images)
    falls = (images - smooth for smooth in box_smooths(images, width))
    return sum(0.5 * (left + xp.abs(left)) for left in falls) / 4
