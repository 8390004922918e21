"""Growth of light with radius, roughly: one pass over a stamp instead of one for each radius.

Pixels are counted where their centres lie, and a step of the curve is then spread over a pixel's
width. That tells where to look for a radius; exact apertures then say where it is.
"""

from dataclasses import dataclass
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled
from kidsclf.features.morphology.apertures import Shape

STEP_PX = 0.25
"""Between the radii of a curve."""

WIDTH = 4
"""Steps in a pixel."""


@dataclass(frozen=True)
class GrowthCurve:
    """Light and usable area inside radii of ``STEP_PX`` times 0, 1, 2, ..., float64 (n, steps)."""

    light: Any
    area: Any


def growth_curve(images: Any, good: Any, shape: Shape) -> GrowthCurve:
    """Sum light and usable area inside many radii.

    Parameters
    ----------
    images : float32 array (n, size, size)
        0 where not ``good``.
    good : bool array (n, size, size)
    shape : Shape

    Returns
    -------
    GrowthCurve
        Up to the diagonal of the stamp.
    """
    xp = arrays.namespace(images)
    size = images.shape[-1]
    count = int(2.0**0.5 * size / STEP_PX) + 2
    if arrays.is_numpy(images):
        return GrowthCurve(*compiled.growth(images, good, *shape.fields(), STEP_PX, count, WIDTH))
    light, area = _ring_sums(xp, images, good, shape, count)
    return GrowthCurve(_spread(xp, light), _spread(xp, area))


def _ring_sums(xp: Any, images: Any, good: Any, shape: Shape, count: int) -> tuple[Any, Any]:
    place = xp.arange(images.shape[-1], dtype=xp.float64)[None, :]
    dx, dy = place - shape.x[:, None], place - shape.y[:, None]
    cos, sin = xp.cos(shape.angle)[:, None], xp.sin(shape.angle)[:, None]
    along = (dx * cos)[:, None, :] + (dy * sin)[:, :, None]
    across = ((dy * cos)[:, :, None] - (dx * sin)[:, None, :]) * shape.elongation[:, None, None]
    ring = xp.astype(xp.floor(xp.sqrt(along**2 + across**2) / STEP_PX), xp.int64)
    light, usable = xp.astype(images, xp.float64), xp.astype(good, xp.float64)
    sums = []
    for k in range(count):
        here = xp.astype(ring == k, xp.float64)
        sums.append([xp.sum(here * each, axis=(1, 2)) for each in (light, usable)])
    return xp.stack([each[0] for each in sums], axis=1), xp.stack(
        [each[1] for each in sums], axis=1
    )


def _spread(xp: Any, rings: Any) -> Any:
    """Add rings up and average over a pixel's width, so that pixels enter by and by."""
    n = rings.shape[0]
    inside = xp.cumulative_sum(rings, axis=1)
    half = WIDTH // 2
    start, end = xp.zeros((n, half + 1)), xp.repeat(inside[:, -1:], half, axis=1)
    padded = xp.concat([start, inside, end], axis=1)
    # the mean over half a pixel to both sides; the ends count half
    sums = xp.cumulative_sum(padded, axis=1)
    steps = rings.shape[1]
    whole = sums[:, WIDTH : WIDTH + steps] - sums[:, :steps]
    ends = 0.5 * (padded[:, :steps] - padded[:, WIDTH : WIDTH + steps])
    return (whole + ends) / WIDTH
