"""Which pixels belong to the central source, which to neighbours, and which to no measurement."""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_segments, compiled_smoothing
from kidsclf.features.morphology.filters import box3_smooth
from kidsclf.features.morphology.gini import region_at

DETECTION_SIGMA = 1.0
"""Standard deviations of a pixel by which the mean of 3 x 3 must exceed the sky, which are three of
that mean for white noise (Pawlik et al. 2016, §3.1)."""

CENTRE_SHARE = 0.05
"""The source is looked for within this share of the stamp's side from its centre, at least 2 px."""

OUTLIER_SIGMA = 10.0
"""Scatter of the eight neighbours by which an outlier differs from their mean (Lotz 2004)."""


def detect(images: Any, sigma: Any) -> tuple[Any, Any]:
    """Find the source at the centre of each stamp and the others around it.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not usable.
    sigma : float64 array (n,)
        Noise of a pixel, the unit of the images.

    Returns
    -------
    segments : bool array (n, size, size)
        The connected region of the brightest smoothed pixel near the centre; empty if that does
        not exceed the threshold.
    neighbours : bool array (n, size, size)
        All other regions.
    """
    xp = arrays.namespace(images)
    n, size = images.shape[0], images.shape[-1]
    smooth = box3_smooth(images)
    threshold = xp.astype(DETECTION_SIGMA * sigma, images.dtype)[:, None, None]
    above = smooth > threshold
    reach = _centre_reach(size)
    start, side = size // 2 - reach, 2 * reach + 1
    middle = smooth[:, start : start + side, start : start + side]
    brightest = xp.argmax(xp.reshape(middle, (n, side * side)), axis=1)
    place = (start + brightest // side) * size + start + brightest % side
    segments = region_at(above, place)
    return segments, above & ~segments


def _centre_reach(size: int) -> int:
    return max(2, int(CENTRE_SHARE * size))


def separate(stamps: Any, usable: Any, level: Any, sigma: Any) -> tuple[Any, Any, Any, Any]:
    """Subtract the sky of NumPy stamps, leave out outliers, and mask neighbours, in one go.

    Returns
    -------
    images, good, segments, holes
        As in ``Galaxies``.
    """
    images, good, segments, holes = compiled_segments.separate(
        stamps,
        usable,
        level.astype(stamps.dtype),
        (DETECTION_SIGMA * sigma).astype(stamps.dtype),
        OUTLIER_SIGMA,
        _centre_reach(stamps.shape[-1]),
    )
    return images, good, segments, holes


def outliers(images: Any) -> Any:
    """Mark pixels that stand out of their eight neighbours, as cosmic rays do.

    Parameters
    ----------
    images : float32 array (n, size, size)

    Returns
    -------
    bool array (n, size, size)
        More than ten times the neighbours' scatter from their mean (Lotz et al. 2004, §3.1).
    """
    if arrays.is_numpy(images):
        return compiled_smoothing.outliers(images, OUTLIER_SIGMA)
    mean = (9 * box3_smooth(images) - images) / 8
    squares = images * images
    variance = (9 * box3_smooth(squares) - squares) / 8 - mean * mean
    away = images - mean
    xp = arrays.namespace(images)
    return away * away > OUTLIER_SIGMA**2 * xp.clip(variance, 0, None)
