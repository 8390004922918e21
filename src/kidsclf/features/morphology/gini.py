"""Gini coefficient and M20: how unequally light is spread over pixels, and how far from the centre.

Both are measured on the segment above the surface brightness at the Petrosian ellipse, after
Lotz, Primack & Madau (2004, AJ 128, 163).
"""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_light, graphs
from kidsclf.features.morphology.apertures import Shape, aperture_sums
from kidsclf.features.morphology.conventions import ANNULUS_PX
from kidsclf.features.morphology.filters import gaussian_smooth

SMOOTHING = 0.2
"""Standard deviation of the smoothing over the Petrosian semi-major axis (Lotz 2004, §3.1)."""

BRIGHTEST_SHARE = 0.2


def petrosian_segments(images: Any, shape: Shape, petrosian: Any) -> Any:
    """Keep the pixels brighter than the Petrosian ellipse in the smoothed stamp.

    Only the region of the brightest smoothed pixel stays. Lotz et al. smooth by a fifth of the
    radius; the threshold is the mean of the smoothed stamp over a ring one pixel wide, also where
    pixels are masked, as in statmorph.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not usable.
    shape : Shape
        Ellipses round the centroid.
    petrosian : float64 array (n,)
        Semi-major axis, pixels.

    Returns
    -------
    bool array (n, size, size)
    """
    xp = arrays.namespace(images)
    smooth = gaussian_smooth(images, SMOOTHING * petrosian)
    n, size = images.shape[0], images.shape[-1]
    everyone, every = xp.arange(n, dtype=xp.int64), xp.ones(images.shape, dtype=xp.bool)
    half = 0.5 * ANNULUS_PX
    outer, _ = aperture_sums(smooth, every, everyone, shape, petrosian + half)
    inner, _ = aperture_sums(smooth, every, everyone, shape, petrosian - half)
    ring = 2.0 * xp.pi * ANNULUS_PX * petrosian / shape.elongation
    level = (outer - inner) / ring
    above = smooth >= xp.astype(level, smooth.dtype)[:, None, None]
    brightest = xp.argmax(xp.reshape(smooth, (n, size * size)), axis=1)
    return region_at(above, brightest)


def region_at(masks: Any, places: Any) -> Any:
    """Keep the connected region (of eight neighbours) of one pixel in each mask.

    Parameters
    ----------
    masks : bool array (n, size, size)
    places : int64 array (n,)
        Index of the pixel in the flattened stamp.

    Returns
    -------
    bool array (n, size, size)
    """
    regions = graphs.component_at(arrays.to_host(masks), arrays.to_host(places))
    return arrays.from_host(regions, masks)


def gini(images: Any, segments: Any) -> Any:
    """Measure the Gini coefficient of the absolute pixel values (Lotz et al. 2004, eq. 6).

    Parameters
    ----------
    images : float32 array (n, size, size)
    segments : bool array (n, size, size)

    Returns
    -------
    float64 array (n,)
        0 (all pixels alike) to 1 (all light in one); NaN with fewer than two pixels or no light.
    """
    if arrays.is_numpy(images):
        return compiled_light.gini(images, segments)
    xp = arrays.namespace(images)
    n = images.shape[0]
    values = xp.where(segments, xp.abs(images), xp.asarray(xp.inf, dtype=images.dtype))
    ordered = xp.sort(xp.reshape(values, (n, -1)), axis=1)
    ordered = xp.where(xp.isfinite(ordered), ordered, xp.zeros_like(ordered))
    count = arrays.count(segments)
    rank = xp.arange(1, ordered.shape[1] + 1, dtype=ordered.dtype)
    light, ranked = (xp.sum(each, axis=1, dtype=xp.float64) for each in (ordered, ordered * rank))
    valid = (count > 1) & (light > 0)
    below = xp.where(valid, (count - 1) * light, 1.0)
    return xp.where(valid, (2.0 * ranked - (count + 1) * light) / below, xp.nan)


def m20(images: Any, segments: Any) -> Any:
    """Measure the second moment of the brightest fifth of the light (Lotz et al. 2004, eq. 8).

    The centre is the centroid of the segment, where the total moment is least.

    Parameters
    ----------
    images : float32 array (n, size, size)
    segments : bool array (n, size, size)

    Returns
    -------
    float64 array (n,)
        log10 of the share, negative; NaN without light or with a moment that is not positive.
    """
    if arrays.is_numpy(images):
        return compiled_light.m20(images, segments, BRIGHTEST_SHARE)
    xp = arrays.namespace(images)
    n, size = images.shape[0], images.shape[-1]
    light = xp.reshape(xp.where(segments, images, xp.zeros_like(images)), (n, size * size))
    ordered = xp.sort(light, axis=1, descending=True)
    growth = xp.cumulative_sum(ordered, axis=1, dtype=xp.float64)
    total = xp.sum(light, axis=1, dtype=xp.float64)
    faint = growth <= BRIGHTEST_SHARE * total[:, None]
    last = xp.clip(xp.astype(arrays.count(faint, axis=1), xp.int64), 0, size * size - 1)
    level = xp.take_along_axis(ordered, last[:, None], axis=1)
    moments = _central_moment(xp, light, light)
    brightest = _central_moment(xp, xp.where(light >= level, light, xp.zeros_like(light)), light)
    valid = (total > 0) & (moments > 0) & (brightest > 0)
    share = xp.where(valid, brightest, 1.0) / xp.where(valid, moments, 1.0)
    return xp.where(valid, xp.log10(share), xp.nan)


def _central_moment(xp: Any, light: Any, centred_on: Any) -> Any:
    """Sum light times squared distance from the centroid of another distribution.

    Row by row, not as a product of matrices, whose last bits depend on how many rows there are.
    """
    size = round(light.shape[1] ** 0.5)
    place = xp.arange(size, dtype=light.dtype) - 0.5 * (size - 1)
    x = xp.reshape(xp.broadcast_to(place[None, :], (size, size)), (-1,))
    y = xp.reshape(xp.broadcast_to(place[:, None], (size, size)), (-1,))

    def total(of: Any, weight: Any) -> Any:
        return xp.sum(of * weight, axis=1, dtype=xp.float64)

    known = xp.sum(centred_on, axis=1, dtype=xp.float64)
    some = xp.where(known != 0, known, 1.0)
    x0, y0 = total(centred_on, x) / some, total(centred_on, y) / some
    flux = xp.sum(light, axis=1, dtype=xp.float64)
    first = x0 * total(light, x) + y0 * total(light, y)
    return total(light, x * x + y * y) - 2 * first + (x0**2 + y0**2) * flux
