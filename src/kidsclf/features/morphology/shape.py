"""The outline of a source at the faintest level: its reach, and how asymmetric the outline is.

After the binary detection mask of Pawlik et al. (2016, MNRAS 456, 3032, §3.1).
"""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_light
from kidsclf.features.morphology.apertures import Shape
from kidsclf.features.morphology.filters import box3_smooth
from kidsclf.features.morphology.gini import region_at


def outlines(images: Any, threshold: Any) -> Any:
    """Keep the pixels that exceed the noise of the sky in the 3 x 3 average.

    statmorph estimates level and noise anew in a ring of 2 to 4 Petrosian radii; here the level is
    that already subtracted and the noise that of all empty pixels.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not usable.
    threshold : float64 array (n,)
        Noise of a pixel.

    Returns
    -------
    bool array (n, size, size)
        The region of the brightest smoothed pixel.
    """
    xp = arrays.namespace(images)
    smooth = box3_smooth(images)
    flat = xp.reshape(smooth, (images.shape[0], -1))
    brightest = xp.argmax(flat, axis=1)
    top = xp.take_along_axis(flat, brightest[:, None], axis=1)[:, 0]
    level = xp.astype(threshold, images.dtype)
    level = xp.where(level < top, level, top)
    return region_at(smooth >= level[:, None, None], brightest)


def largest_radius(segments: Any, shape: Shape) -> Any:
    """Give the semi-major axis of the smallest ellipse that holds the centres of all pixels.

    Parameters
    ----------
    segments : bool array (n, size, size)
    shape : Shape

    Returns
    -------
    float64 array (n,)
        Pixels; 0 for an empty segment.
    """
    if arrays.is_numpy(segments):
        return compiled_light.largest_radius(segments, *shape.fields())
    xp = arrays.namespace(segments)
    squared = radii_squared(segments.shape[-1], shape)
    flat = xp.reshape(squared * xp.astype(segments, squared.dtype), (segments.shape[0], -1))
    return xp.sqrt(xp.astype(xp.max(flat, axis=1), xp.float64))


def radii_squared(size: int, shape: Shape) -> Any:
    """Square the semi-major axes of the ellipses on which the pixels' centres lie.

    Returns
    -------
    float32 array (n, size, size)
        Square pixels.
    """
    xp = arrays.namespace(shape.x)
    place = xp.arange(size, dtype=xp.float32)[None, :]
    dx = place - xp.astype(shape.x, xp.float32)[:, None]
    dy = place - xp.astype(shape.y, xp.float32)[:, None]
    cos, sin = (xp.astype(f(shape.angle), xp.float32)[:, None] for f in (xp.cos, xp.sin))
    stretch = xp.astype(shape.elongation, xp.float32)[:, None]
    along = (dx * cos)[:, None, :] + (dy * sin)[:, :, None]
    across = (dy * cos * stretch)[:, :, None] - (dx * sin * stretch)[:, None, :]
    return along * along + across * across
