"""Centre, size and shape by Gaussian-weighted moments: where fits begin, and what a PSF is like."""

from typing import Any, NamedTuple

from kidsclf.features.arrays import namespace

ITERATIONS = 10
"""Doubles a weight's variance at each step while it is small: from 2 to 20 pixels in seven."""

START_SIGMA_PX = 2.0
SMALLEST_VARIANCE = 0.3
"""Squared pixels: a Gaussian any narrower falls between pixels."""

FARTHEST = 80.0
"""Squared distance, in widths of the weight, beyond which it is e^-40: less would be denormal."""


class Moments(NamedTuple):
    """The elliptical Gaussians that match n images best; arrays (n,), pixels and pixels squared.

    ``flux`` is that of the Gaussian, ``x`` and ``y`` are 0-based, x along columns.
    """

    flux: Any
    x: Any
    y: Any
    xx: Any
    xy: Any
    yy: Any


def adaptive_moments(images: Any) -> Moments:
    """Match each image with the Gaussian that is its own weight.

    The fixed point of Bernstein & Jarvis 2002 (AJ 123, 583, section 3.1), where the weighted
    covariance is half of the weight's. Sizes stay between ``SMALLEST_VARIANCE`` and a third of the
    image, centres within a quarter of its middle, so noise gives a harmless answer, never none.

    Parameters
    ----------
    images : float array (n, size, size)
        Without sky; masked pixels 0.

    Returns
    -------
    Moments
    """
    xp = namespace(images)
    size = images.shape[1]
    line = xp.arange(size, dtype=images.dtype)
    x, y = line[None, None, :], line[None, :, None]
    middle = xp.full(images.shape[:1], (size - 1) / 2.0, dtype=images.dtype)
    variance = xp.full_like(middle, START_SIGMA_PX**2)
    at = Moments(variance, middle, middle, variance, xp.zeros_like(middle), variance)
    for _ in range(ITERATIONS):
        at = _closer(images, x, y, at)
    return at


def _closer(images: Any, x: Any, y: Any, at: Moments) -> Moments:
    xp = namespace(images)
    size = images.shape[1]
    determinant = at.xx * at.yy - at.xy**2
    dx, dy = x - at.x[:, None, None], y - at.y[:, None, None]
    distance = (
        (at.yy / determinant)[:, None, None] * dx**2
        - (2.0 * at.xy / determinant)[:, None, None] * dx * dy
        + (at.xx / determinant)[:, None, None] * dy**2
    )
    weighted = images * xp.exp(-0.5 * xp.clip(distance, None, FARTHEST))
    columns, rows = xp.sum(weighted, axis=1), xp.sum(weighted, axis=2)
    total = xp.sum(rows, axis=1)
    ok = total > 0
    scale = xp.where(ok, 1.0 / xp.where(ok, total, 1.0), 0.0)
    dx, dy = dx[:, 0, :], dy[:, :, 0]
    shift_x, shift_y = xp.sum(columns * dx, axis=1) * scale, xp.sum(rows * dy, axis=1) * scale
    xx = xp.sum(columns * dx**2, axis=1) * scale - shift_x**2
    yy = xp.sum(rows * dy**2, axis=1) * scale - shift_y**2
    along = xp.matmul(weighted, dx[:, :, None])[:, :, 0]
    xy = xp.sum(along * dy, axis=1) * scale - shift_x * shift_y
    middle = (size - 1) / 2.0
    x_new = xp.clip(at.x + 2.0 * shift_x, middle - size / 4.0, middle + size / 4.0)
    y_new = xp.clip(at.y + 2.0 * shift_y, middle - size / 4.0, middle + size / 4.0)
    shape = within(2.0 * xx, 2.0 * xy, 2.0 * yy, SMALLEST_VARIANCE, (size / 3.0) ** 2)
    return Moments(2.0 * total, x_new, y_new, *shape)


def within(xx: Any, xy: Any, yy: Any, least: Any, most: Any) -> tuple[Any, Any, Any]:
    """Bring the eigenvalues of symmetric 2 x 2 matrices between bounds; directions stay."""
    xp = namespace(xx)
    mean, half = (xx + yy) / 2.0, (xx - yy) / 2.0
    spread = xp.sqrt(half**2 + xy**2)
    large = xp.clip(mean + spread, least, most)
    small = xp.clip(mean - spread, least, most)
    mean = (large + small) / 2.0
    ratio = xp.where(spread > 0, (large - small) / 2.0 / xp.where(spread > 0, spread, 1.0), 0.0)
    return mean + half * ratio, xy * ratio, mean - half * ratio
