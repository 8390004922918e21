"""Searches for a source's radii and centre, as compiled loops for a processor.

They take the steps that the array formulas of ``radii`` and ``simplex`` take for all sources at
once, one source after the other, whose pixels stay in the nearest cache meanwhile.
"""

import numpy as np

from kidsclf.features.morphology.compiled import aperture, compiled, part, workspace
from kidsclf.features.morphology.compiled_turns import soft_rotation
from kidsclf.features.morphology.conventions import (
    ANNULUS_PX,
    ETA,
    FAR_VALUE,
    FIRST_STEP,
    GRID_POINTS,
    MOST_REFINEMENTS,
    MOST_STEPS,
    RADIUS_TOLERANCE_PX,
    SECANT_TOLERANCE,
)

HALF_ANNULUS_PX = 0.5 * ANNULUS_PX


@part
def _excess(image, usable, shape, radius, wanted, work):  # type: ignore[no-untyped-def]
    """Say how far an aperture is from what is sought, which lies where this is 0.

    That is a light ``wanted``, or, where none is (0), a fifth of the mean surface brightness.
    """
    x, y, elongation, angle = shape
    light, area = aperture(image, usable, x, y, radius, elongation, angle, work)
    if wanted > 0.0:
        return (light - wanted) / wanted
    inner, inner_area = aperture(
        image, usable, x, y, radius - HALF_ANNULUS_PX, elongation, angle, work
    )
    outer, outer_area = aperture(
        image, usable, x, y, radius + HALF_ANNULUS_PX, elongation, angle, work
    )
    ring = outer_area - inner_area
    edge = abs((outer - inner) / ring) if ring != 0.0 else 0.0
    mean = abs(light / area) if area != 0.0 else 0.0
    return (edge / mean if mean != 0.0 else 1.0) - ETA


@part
def _refine(image, usable, shape, start, slope, reach, wanted, work):  # type: ignore[no-untyped-def]
    """Follow the excess to its root by secants; see ``radii.refine``."""
    radius, before, f_before = start, start, 0.0
    for k in range(MOST_REFINEMENTS):
        value = _excess(image, usable, shape, radius, wanted, work)
        moved = radius - before
        if k > 0 and moved != 0.0 and (value - f_before) / moved * slope > 0.0:
            slope = (value - f_before) / moved
        onward = -value / slope if slope != 0.0 else -value
        onward = min(reach, max(-reach, onward))
        before, f_before = radius, value
        radius += onward
        if abs(radius - start) > 2.0 * reach or radius <= 0.0:
            return radius, False
        if abs(onward) < RADIUS_TOLERANCE_PX or (k > 0 and abs(onward * moved) < SECANT_TOLERANCE):
            return radius, True
    return radius, False


@part
def _crossing(image, usable, shape, low, high, f_low, f_high, wanted, work):  # type: ignore[no-untyped-def]
    """Refine a bracket by false position with the Illinois rule; see ``radii.crossing``."""
    root = high
    for _ in range(MOST_REFINEMENTS):
        slope = f_high - f_low
        guess = high - f_high * (high - low) / (slope if slope != 0.0 else 1.0)
        value = _excess(image, usable, shape, guess, wanted, work)
        settled = abs(guess - root) < RADIUS_TOLERANCE_PX or value == 0.0
        root = guess
        if (value > 0.0) != (f_high > 0.0):
            low, f_low = high, f_high
        else:
            f_low *= 0.5
        high, f_high = guess, value
        if settled:
            break
    return root


@part
def _search_outwards(image, usable, shape, inner, step, work):  # type: ignore[no-untyped-def]
    """Try radii one by one until the first crossing; see ``radii.petrosian_radius``."""
    low = high = inner
    f_low = f_high = _excess(image, usable, shape, inner, 0.0, work)
    for _ in range(1, GRID_POINTS):
        if not f_high > 0.0:
            break
        low, f_low = high, f_high
        high += step
        f_high = _excess(image, usable, shape, high, 0.0, work)
    if f_high > 0.0 or high <= low:
        return high, False
    slope = (f_high - f_low) / (high - low)
    if slope < 0.0:
        start = high - f_high / slope
        root, settled = _refine(image, usable, shape, start, slope, step, 0.0, work)
        if settled and low <= root <= high:
            return root, True
    return _crossing(image, usable, shape, low, high, f_low, f_high, 0.0, work), True


@compiled
def petrosian_radii(images, good, shape, start, slope, step, clear, inner):  # type: ignore[no-untyped-def]
    """Find Petrosian radii from where growth curves see them; see ``radii.petrosian_radius``."""
    n, work = images.shape[0], workspace(images.shape[1])
    radius, found = np.empty(n), np.zeros(n, dtype=np.bool_)
    x, y, elongation, angle = shape
    for s in range(n):
        image, usable, here = images[s], good[s], (x[s], y[s], elongation[s], angle[s])
        if clear[s]:
            radius[s], found[s] = _refine(
                image, usable, here, start[s], slope[s], step[s], 0.0, work
            )
        if not found[s]:
            radius[s], found[s] = _search_outwards(image, usable, here, inner[s], step[s], work)
    return radius, found


@compiled
def share_radii(images, good, shape, start, slope, reach, clear, most, wanted, share):  # type: ignore[no-untyped-def]
    """Find radii that hold a light ``wanted``, a share of that inside the most; NaN without it."""
    n, work = images.shape[0], workspace(images.shape[1])
    radius = np.full(n, np.nan)
    x, y, elongation, angle = shape
    for s in range(n):
        if not wanted[s] > 0.0:
            continue
        image, usable, here = images[s], good[s], (x[s], y[s], elongation[s], angle[s])
        settled = False
        if clear[s]:
            radius[s], settled = _refine(
                image, usable, here, start[s], slope[s], reach, wanted[s], work
            )
        # where the curve misled: halve from nothing to the total, which brackets the share
        if not settled or radius[s] > most[s]:
            radius[s] = _crossing(
                image, usable, here, 0.0, most[s], -1.0, 1.0 / share - 1.0, wanted[s], work
            )
    return radius


@part
def _left_over(stack, s, x, y, radius, sky, work):  # type: ignore[no-untyped-def]
    """Measure the asymmetry round a point, as ``asymmetry.centre_of_asymmetry`` does."""
    images, flipped, usable, flipped_usable = stack
    columns, weights, sums = work
    size = images.shape[1]
    if not (0.0 <= x < size and 0.0 <= y < size):
        return FAR_VALUE
    soft_rotation(
        images[s], flipped[s], usable[s], flipped_usable[s], x, y, radius, columns, weights, sums
    )
    return (sums[1] - sums[2] * sky) / sums[0] if sums[0] > 0.0 else FAR_VALUE


@part
def _order(xs, ys, values):  # type: ignore[no-untyped-def]
    """Sort three corners by their values; equal ones stay in order."""
    for last in (2, 1, 2):
        if values[last] < values[last - 1]:
            for each in (xs, ys, values):
                each[last - 1], each[last] = each[last], each[last - 1]


@part
def _arrived(xs, ys, values, tolerance_px, tolerance):  # type: ignore[no-untyped-def]
    for k in (1, 2):
        if abs(xs[k] - xs[0]) > tolerance_px or abs(ys[k] - ys[0]) > tolerance_px:
            return False
        if not abs(values[k] - values[0]) <= tolerance:
            return False
    return True


@part
def _step(stack, s, radius, sky, work, xs, ys, values):  # type: ignore[no-untyped-def]
    """Reflect the worst corner, then stretch or contract, or shrink; see ``simplex``."""
    middle_x, middle_y = 0.5 * (xs[0] + xs[1]), 0.5 * (ys[0] + ys[1])
    x, y = 2.0 * middle_x - xs[2], 2.0 * middle_y - ys[2]
    value = _left_over(stack, s, x, y, radius, sky, work)
    best, better, outside = value < values[0], value < values[1], value < values[2]
    keep = better
    if best or not better:
        factor = 2.0 if best else (0.5 if outside else -0.5)
        second_x = middle_x + factor * (middle_x - xs[2])
        second_y = middle_y + factor * (middle_y - ys[2])
        second = _left_over(stack, s, second_x, second_y, radius, sky, work)
        if best:
            closer = second < value
        elif outside:
            closer = second <= value
        else:
            closer = second < values[2]
        if closer:
            x, y, value, keep = second_x, second_y, second, True
    if keep:
        xs[2], ys[2], values[2] = x, y, value
    else:
        for k in (1, 2):
            xs[k], ys[k] = 0.5 * (xs[k] + xs[0]), 0.5 * (ys[k] + ys[0])
            values[k] = _left_over(stack, s, xs[k], ys[k], radius, sky, work)
    _order(xs, ys, values)


@compiled
def least_asymmetry(stack, x, y, wanted, radius, sky, tolerance_px, tolerance):  # type: ignore[no-untyped-def]
    """Minimise the asymmetry by the simplex method from one start; see ``simplex.minimise``."""
    n, size = x.size, stack[0].shape[1]
    work = np.empty(size, dtype=np.float32), np.empty(size), np.empty(5)
    xs, ys, values = np.empty(3), np.empty(3), np.empty(3)
    found_x, found_y, arrived = x.copy(), y.copy(), np.zeros(n, dtype=np.bool_)
    for s in range(n):
        if not wanted[s]:
            continue
        xs[:], ys[:] = x[s], y[s]
        xs[1] *= 1.0 + FIRST_STEP
        ys[2] *= 1.0 + FIRST_STEP
        for k in range(3):
            values[k] = _left_over(stack, s, xs[k], ys[k], radius[s], sky[s], work)
        _order(xs, ys, values)
        for _ in range(MOST_STEPS):
            arrived[s] = _arrived(xs, ys, values, tolerance_px, tolerance)
            if arrived[s]:
                break
            _step(stack, s, radius[s], sky[s], work, xs, ys, values)
        else:
            arrived[s] = _arrived(xs, ys, values, tolerance_px, tolerance)
        found_x[s], found_y[s] = xs[0], ys[0]
    return found_x, found_y, arrived
