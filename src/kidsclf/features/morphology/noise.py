"""Signal to noise, and the radius that weighs light by distance."""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled, compiled_light
from kidsclf.features.morphology.apertures import Shape, aperture_sums
from kidsclf.features.morphology.shape import radii_squared

KRON_EXTENT = 2.0
"""Aperture of the Kron radius over the Petrosian semi-major axis."""


def signal_to_noise(images: Any, segments: Any, sigma: Any) -> Any:
    """Average signal over noise of the pixels of a segment (Lotz et al. 2004, eq. 5).

    Negative pixels are left out, as in statmorph, so pure noise comes to 0.8.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted.
    segments : bool array (n, size, size)
        Usable pixels.
    sigma : float array (n, size, size) or (n, 1, 1)
        Noise, the unit of the images; pixels where it is not positive are left out.

    Returns
    -------
    float64 array (n,)
        NaN without a pixel.
    """
    xp = arrays.namespace(images)
    n = images.shape[0]
    if arrays.is_numpy(images):
        return compiled_light.signal_to_noise(
            images, segments, xp.broadcast_to(xp.astype(sigma, images.dtype), images.shape)
        )
    sigma = xp.astype(sigma, images.dtype)
    known = sigma > 0
    inverse = xp.astype(known, images.dtype) / xp.where(known, sigma, xp.ones_like(sigma))
    weight = xp.astype(segments & (images >= 0) & known, images.dtype)
    total, pixels = (
        xp.sum(xp.reshape(each, (n, -1)), axis=1, dtype=xp.float64)
        for each in (images * weight * inverse, weight)
    )
    return total / xp.where(pixels > 0, pixels, xp.nan)


def kron_radius(images: Any, good: Any, shape: Shape, petrosian: Any) -> Any:
    """Average the semi-major axis over the light, within two Petrosian ones (Kron 1980).

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not ``good``.
    good : bool array (n, size, size)
    shape : Shape
    petrosian : float64 array (n,)
        Petrosian semi-major axis, pixels.

    Returns
    -------
    float64 array (n,)
        Pixels; NaN where the light is not positive.
    """
    xp = arrays.namespace(images)
    radius = KRON_EXTENT * petrosian
    if arrays.is_numpy(images):
        x, y, elongation, angle = shape.fields()
        light, moment = compiled.radial_moments(images, x, y, radius, elongation, angle)
    else:
        everyone = xp.arange(images.shape[0], dtype=xp.int64)
        weighed = images * xp.sqrt(radii_squared(images.shape[-1], shape))
        light, moment = (
            aperture_sums(each, good, everyone, shape, radius)[0] for each in (images, weighed)
        )
    valid = (light > 0) & (moment > 0)
    return xp.where(valid, moment / xp.where(valid, light, 1.0), xp.nan)
