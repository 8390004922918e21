"""Radii read off the growth of light with aperture: Petrosian radii and radii of a share of light.

Noise makes growth curves wavy, so the first crossing on a grid of radii is taken, as statmorph
does, and refined within its cell for all sources at once.
"""

from collections.abc import Callable
from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_search
from kidsclf.features.morphology.apertures import Shape, aperture_sums
from kidsclf.features.morphology.conventions import (
    ANNULUS_PX,
    ETA,
    GRID_POINTS,
    MOST_REFINEMENTS,
    RADIUS_TOLERANCE_PX,
    SECANT_TOLERANCE,
)
from kidsclf.features.morphology.growth import STEP_PX, GrowthCurve

NEAR_CROSSING = 0.5
"""Of eta: where the rough ratio is so near to it before the crossing, exact ones are searched."""

TINY_AREA = 1e-9
"""Pixels; keeps an empty ring's mean finite."""


def petrosian_ratio(images: Any, good: Any, stamps: Any, shape: Shape, radius: Any) -> Any:
    """Divide the mean light of an annulus by that inside it (Lotz et al. 2004, eq. 4).

    Both means are over usable pixels and made positive, as in statmorph; 1 if there is no light.
    """
    xp = arrays.namespace(images)
    half = 0.5 * ANNULUS_PX
    light, area = aperture_sums(images, good, stamps, shape, radius)
    inner, inner_area = aperture_sums(images, good, stamps, shape, radius - half)
    outer, outer_area = aperture_sums(images, good, stamps, shape, radius + half)
    edge = xp.abs(_ratio(xp, outer - inner, outer_area - inner_area, 0.0))
    mean = xp.abs(_ratio(xp, light, area, 0.0))
    return _ratio(xp, edge, mean, 1.0)


def petrosian_radius(images: Any, good: Any, shape: Shape, curve: GrowthCurve) -> tuple[Any, Any]:
    """Find where the surface brightness falls to a fifth of the mean inside (Petrosian 1976).

    The growth curve shows where the first crossing lies; exact apertures refine it. Where they do
    not settle there, or noise brings the curve near it before, exact apertures are tried one by
    one on statmorph's grid of radii.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not ``good``.
    good : bool array (n, size, size)
    shape : Shape
    curve : GrowthCurve
        Of the same images and shape.

    Returns
    -------
    radius : float64 array (n,)
        Semi-major axis, pixels; 1 where it is smaller, the diagonal of the stamp (times the
        elongation) where it is larger.
    found : bool array (n,)
        False where it is neither.
    """
    xp = arrays.namespace(images)

    def excess(radius: Any, rows: Any) -> Any:
        return petrosian_ratio(images, good, rows, shape.rows(rows), radius) - ETA

    step = _grid_step(images, shape)
    grid = ANNULUS_PX + step[:, None] * xp.arange(GRID_POINTS, dtype=xp.float64)[None, :]
    rough = _rough_ratio(xp, curve) - ETA
    place = xp.astype(xp.round((grid - ANNULUS_PX) / STEP_PX), xp.int64)
    rough = xp.take_along_axis(rough, xp.clip(place, 0, rough.shape[1] - 1), axis=1)
    first = xp.argmax(xp.astype(rough < 0, xp.int8), axis=1)
    low, high = _neighbours(xp, rough, first)
    slope = (high - low) / step
    start = ANNULUS_PX + step * xp.astype(first, xp.float64)
    start = start - high / xp.where(slope < 0, slope, -1.0)
    near = xp.argmax(xp.astype(rough < NEAR_CROSSING * ETA, xp.int8), axis=1)
    clear = (first > 0) & (slope < 0) & (near == first) & (high < -NEAR_CROSSING * ETA)
    inner = ANNULUS_PX + step * xp.astype(xp.clip(near - 2, 0, None), xp.float64)
    if arrays.is_numpy(images):
        radius, found = compiled_search.petrosian_radii(
            images, good, shape.fields(), start, slope, step, clear, inner
        )
        return radius, found
    radius, settled = refine(excess, start, slope, step, clear)
    searched, found = _search_outwards(xp, excess, inner, step, ~settled)
    return xp.where(settled, radius, searched), settled | found


def _rough_ratio(xp: Any, curve: GrowthCurve) -> Any:
    """Read the ratio of ``petrosian_ratio`` off a growth curve, from one annulus width on."""
    half, start = int(0.5 * ANNULUS_PX / STEP_PX), int(ANNULUS_PX / STEP_PX)
    light, area = (
        each[:, start + half :] - each[:, start - half : -2 * half]
        for each in (curve.light, curve.area)
    )
    edge = xp.abs(light) / xp.clip(area, TINY_AREA, None)
    inside = xp.abs(curve.light[:, start:-half]) / xp.clip(
        curve.area[:, start:-half], TINY_AREA, None
    )
    return _ratio(xp, edge, inside, 1.0)


def _neighbours(xp: Any, values: Any, place: Any) -> tuple[Any, Any]:
    """Give the values (n, k) at a place (n,) and at the one before."""
    before = xp.clip(place - 1, 0, None)
    pair = xp.take_along_axis(values, xp.stack([before, place], axis=1), axis=1)
    return pair[:, 0], pair[:, 1]


def _grid_step(images: Any, shape: Shape) -> Any:
    """Space the grid of radii from one annulus width to the diagonal (statmorph)."""
    largest = 2.0**0.5 * images.shape[-1] * shape.elongation
    return (largest - ANNULUS_PX) / (GRID_POINTS - 1)


def _search_outwards(xp: Any, excess: Any, inner: Any, step: Any, wanted: Any) -> tuple[Any, Any]:
    """Try radii one by one from an inner one until the first crossing, and refine that bracket."""
    low = high = inner
    rows = xp.nonzero(wanted)[0]
    if rows.shape[0] == 0:
        return high, wanted
    f_low = f_high = arrays.spread(excess(xp.take(high, rows), rows), wanted, xp.ones_like(step))
    searching = wanted & (f_high > 0)
    for _ in range(1, GRID_POINTS):
        rows = xp.nonzero(searching)[0]
        if rows.shape[0] == 0:
            break
        radius = high + step
        value = arrays.spread(excess(xp.take(radius, rows), rows), searching, f_high)
        low, f_low = xp.where(searching, high, low), xp.where(searching, f_high, f_low)
        high, f_high = xp.where(searching, radius, high), value
        searching = searching & (f_high > 0)
    found = wanted & (high > low) & ~searching
    slope = (f_high - f_low) / xp.where(found, high - low, 1.0)
    start = high - f_high / xp.where(slope < 0, slope, -1.0)
    root, settled = refine(excess, start, slope, step, found & (slope < 0))
    missed = found & ~(settled & (root >= low) & (root <= high))
    bracket = crossing(excess, low, high, f_low, f_high, missed)
    return xp.where(missed, bracket, xp.where(found, root, high)), found


def share_radii(
    images: Any,
    good: Any,
    shape: Shape,
    curve: GrowthCurve,
    total_radius: Any,
    shares: tuple[float, ...],
) -> tuple[Any, ...]:
    """Find the radii that hold given shares of the light inside a total radius.

    Parameters
    ----------
    images, good, shape, curve
        As in ``petrosian_radius``.
    total_radius : float64 array (n,)
        Semi-major axis, pixels.
    shares : tuple of float
        Between 0 and 1.

    Returns
    -------
    tuple of float64 array (n,)
        Semi-major axes, pixels, one a share; NaN where the light is not positive.
    """
    xp = arrays.namespace(images)
    everyone = xp.arange(images.shape[0], dtype=xp.int64)
    total = aperture_sums(images, good, everyone, shape, total_radius)[0]
    return tuple(
        _share_radius(images, good, shape, curve, total, share, total_radius) for share in shares
    )


def _share_radius(
    images: Any, good: Any, shape: Shape, curve: GrowthCurve, total: Any, share: float, most: Any
) -> Any:
    xp = arrays.namespace(images)
    usable = total > 0
    wanted = xp.where(usable, share * total, 1.0)

    def excess(radius: Any, rows: Any) -> Any:
        inside = aperture_sums(images, good, rows, shape.rows(rows), radius)[0]
        return (inside - xp.take(wanted, rows)) / xp.take(wanted, rows)

    rough = curve.light / wanted[:, None] - 1.0
    beyond = xp.argmax(xp.astype(rough > 0, xp.int8), axis=1)
    low, high = _neighbours(xp, rough, beyond)
    slope = (high - low) / STEP_PX
    start = STEP_PX * xp.astype(beyond, xp.float64) - high / xp.where(slope != 0, slope, 1.0)
    step = xp.full_like(start, 4 * STEP_PX)
    clear = usable & (beyond > 0) & (slope > 0)
    if arrays.is_numpy(images):
        return compiled_search.share_radii(
            images, good, shape.fields(), start, slope, 4 * STEP_PX, clear, most, share * total,
            share,
        )  # fmt: skip
    radius, settled = refine(excess, start, slope, step, clear)
    # where the curve misled: halve from nothing to the total, which brackets the share
    missed = usable & ~(settled & (radius <= most))
    zero = xp.zeros_like(most)
    bracket = crossing(excess, zero, most, zero - 1.0, zero + (1.0 / share - 1.0), missed)
    return xp.where(usable, xp.where(missed, bracket, radius), xp.nan)


def refine(
    function: Callable[[Any, Any], Any], start: Any, slope: Any, reach: Any, wanted: Any
) -> tuple[Any, Any]:
    """Follow a function to its root by secants from a good start, one a source.

    Parameters
    ----------
    function : callable of (radius (m,), rows (m,))
    start, slope : float64 array (n,)
        Where the root should be, and how steep the function is there.
    reach : float64 array (n,)
        How far from the start the root may lie, pixels.
    wanted : bool array (n,)

    Returns
    -------
    root : float64 array (n,)
        To ``RADIUS_TOLERANCE_PX``.
    settled : bool array (n,)
        Whether it was reached, within reach.
    """
    xp = arrays.namespace(start)
    radius, searching, settled = start, wanted, ~wanted
    before, f_before = start, xp.zeros_like(start)
    for k in range(MOST_REFINEMENTS):
        rows = xp.nonzero(searching)[0]
        if rows.shape[0] == 0:
            break
        value = arrays.spread(function(xp.take(radius, rows), rows), searching, f_before)
        moved = radius - before
        if k > 0:
            fresh = xp.where(
                moved != 0, (value - f_before) / xp.where(moved != 0, moved, 1.0), slope
            )
            slope = xp.where(fresh * slope > 0, fresh, slope)
        onward = -value / xp.where(slope != 0, slope, 1.0)
        onward = xp.clip(onward, -reach, reach)
        before, f_before = xp.where(searching, radius, before), xp.where(searching, value, f_before)
        radius = xp.where(searching, radius + onward, radius)
        near = xp.abs(onward) < RADIUS_TOLERANCE_PX
        if k > 0:
            near = near | (xp.abs(onward * moved) < SECANT_TOLERANCE)
        lost = (xp.abs(radius - start) > 2 * reach) | (radius <= 0)
        settled = settled | (searching & near & ~lost)
        searching = searching & ~near & ~lost
    return radius, settled & wanted


def crossing(
    function: Callable[[Any, Any], Any], low: Any, high: Any, f_low: Any, f_high: Any, wanted: Any
) -> Any:
    """Refine brackets of a root by false position with the Illinois rule, one a source.

    Parameters
    ----------
    function : callable of (radius (m,), rows (m,))
    low, high : float64 array (n,)
        Radii that bracket the root.
    f_low, f_high : float64 array (n,)
        The function there, of opposite signs.
    wanted : bool array (n,)
        Sources that have a bracket.

    Returns
    -------
    float64 array (n,)
        To ``RADIUS_TOLERANCE_PX``; ``high`` where not wanted.
    """
    xp = arrays.namespace(low)
    root, searching = high, wanted
    for _ in range(MOST_REFINEMENTS):
        rows = xp.nonzero(searching)[0]
        if rows.shape[0] == 0:
            break
        slope = f_high - f_low
        guess = high - f_high * (high - low) / xp.where(slope == 0, xp.ones_like(slope), slope)
        value = arrays.spread(function(xp.take(guess, rows), rows), searching, f_high)
        settled = (xp.abs(guess - root) < RADIUS_TOLERANCE_PX) | (value == 0)
        root = xp.where(searching, guess, root)
        # high is always the latest point; the end that stays halves its weight
        crossed = searching & ((value > 0) != (f_high > 0))
        low = xp.where(crossed, high, low)
        f_low = xp.where(crossed, f_high, xp.where(searching, 0.5 * f_low, f_low))
        high, f_high = xp.where(searching, guess, high), xp.where(searching, value, f_high)
        searching = searching & ~settled
    return root


def _ratio(xp: Any, above: Any, below: Any, otherwise: float) -> Any:
    some = below != 0
    return xp.where(some, above / xp.where(some, below, xp.ones_like(below)), otherwise)
