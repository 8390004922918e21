"""The sums that are asked for a hundred times a source, as compiled loops for a processor.

They give what the array formulas of ``apertures`` give, but look only at pixels near the aperture
and hold nothing between. Threads of one process can run them side by side.
"""

import math

import numpy as np

from kidsclf.compiling import njit

FULL_TURN = 2.0 * math.pi
TINY_RADIUS = 1e-6
"""Pixels; semi-axes are at least this, as in ``apertures``."""

LOOSE = {"reassoc", "contract", "nsz", "arcp"}
"""Licence to sum a row in any order, so that the processor adds eight pixels at once."""

compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath=LOOSE)
part = njit(nogil=True, error_model="numpy", fastmath=LOOSE, forceinline=True)
"""What kernels are made of. Always inlined: else the process that compiles a kernel would run
another copy of its parts than those that load it, with other last bits."""


@part
def _chords(lines, first, count, centre, squared, shear, ab, normal, sign):  # type: ignore[no-untyped-def]
    """Fill offset, middle, half, cap and end angle of the chords that lines cut."""
    extent = math.sqrt(squared)
    for k in range(count):
        offset = first + k - 0.5 - centre
        share = offset / extent
        inside = min(1.0, max(-1.0, share))
        height = math.sqrt(1.0 - inside * inside)
        lean = math.asin(inside)
        lines[0, k] = offset
        lines[1, k] = offset * shear / squared
        lines[2, k] = ab / extent * height if abs(share) < 1.0 else -1.0
        lines[3, k] = ab * (0.5 * math.pi + lean + inside * height)
        lines[4, k] = normal + sign * (0.5 * math.pi - lean)


@part
def window(size, x, y, radius, elongation, angle, columns, rows):  # type: ignore[no-untyped-def]
    """Prepare the chords of the window that holds an ellipse.

    Gives the window's corners, the product of the semi-axes, and the height of the ellipse's
    rightmost point over the centre.
    """
    a = max(radius, TINY_RADIUS)
    b = a / elongation
    cos, sin = math.cos(angle), math.sin(angle)
    xx, yy = (a * cos) ** 2 + (b * sin) ** 2, (a * sin) ** 2 + (b * cos) ** 2
    shear = (a * a - b * b) * cos * sin
    x0 = min(size, max(0, math.floor(x - math.sqrt(xx) + 0.5)))
    x1 = max(x0, min(size, math.floor(x + math.sqrt(xx) + 0.5) + 1))
    y0 = min(size, max(0, math.floor(y - math.sqrt(yy) + 0.5)))
    y1 = max(y0, min(size, math.floor(y + math.sqrt(yy) + 0.5) + 1))
    _chords(columns, x0, x1 - x0 + 1, x, xx, shear, a * b, math.atan2(-b * sin, a * cos), -1.0)
    _chords(rows, y0, y1 - y0 + 1, y, yy, shear, a * b, math.atan2(b * cos, a * sin), 1.0)
    return x0, x1, y0, y1, a * b, shear / math.sqrt(xx)


@part
def _area_below_left(columns, i, rows, j, ab):  # type: ignore[no-untyped-def]
    """Area of the ellipse below and left of one corner; the derivation stands in ``apertures``."""
    x, y = columns[0, i], rows[0, j]
    rise, across = y - columns[1, i], x - rows[1, j]
    half = columns[2, i]
    if abs(rise) < half:
        turn = columns[4, i] - rows[4, j]
        if turn < -1e-9:
            turn += 2.0 * math.pi
        if turn < -1e-9:
            turn += 2.0 * math.pi
        if turn >= 2.0 * math.pi - 1e-9:
            turn -= 2.0 * math.pi
        return 0.5 * (y * (across + rows[2, j]) + x * (rise + half) + ab * turn)
    if rise > 0.0:
        return columns[3, i] + (rows[3, j] - math.pi * ab if across > 0.0 else 0.0)
    return rows[3, j] if across > 0.0 else 0.0


@part
def reach(rows, k, x, x0, x1, tip):  # type: ignore[no-untyped-def]
    """Say from where to where the pixels of a row are touched, and are wholly inside."""
    left0, left1 = rows[1, k] - rows[2, k], rows[1, k + 1] - rows[2, k + 1]
    right0, right1 = rows[1, k] + rows[2, k], rows[1, k + 1] + rows[2, k + 1]
    out0, out1, in0, in1 = x0, x1, x1, x1
    if rows[2, k] >= 0.0 and rows[2, k + 1] >= 0.0:
        in0 = min(x1, max(x0, math.ceil(max(left0, left1) + x + 0.5)))
        in1 = max(in0, min(x1, math.floor(min(right0, right1) + x + 0.5)))
        if not rows[0, k] <= -tip <= rows[0, k + 1]:
            out0 = max(x0, min(in0, math.floor(min(left0, left1) + x + 0.5)))
        if not rows[0, k] <= tip <= rows[0, k + 1]:
            out1 = min(x1, max(in1, math.ceil(max(right0, right1) + x + 0.5)))
    return out0, in0, in1, out1


@part
def weigh(columns, rows, k, x0, start, stop, ab, weights):  # type: ignore[no-untyped-def]
    """Fill the overlaps of the pixels from start to stop of a row."""
    if start >= stop:
        return
    low = _area_below_left(columns, start - x0, rows, k, ab)
    high = _area_below_left(columns, start - x0, rows, k + 1, ab)
    for i in range(start, stop):
        next_low = _area_below_left(columns, i + 1 - x0, rows, k, ab)
        next_high = _area_below_left(columns, i + 1 - x0, rows, k + 1, ab)
        weights[i] = next_high - high - next_low + low
        low, high = next_low, next_high


@part
def _corners(columns, count, rows, k, ab, areas):  # type: ignore[no-untyped-def]
    """Fill ``_area_below_left`` of the corners along a row line; four of them at once."""
    offset, middle, half, cap, end = columns[0], columns[1], columns[2], columns[3], columns[4]
    y, row_middle, row_half, row_cap, row_end = (
        rows[0, k], rows[1, k], rows[2, k], rows[3, k], rows[4, k],
    )  # fmt: skip
    both = row_cap - math.pi * ab
    for i in range(count):
        rise, across = y - middle[i], offset[i] - row_middle
        turn = end[i] - row_end
        turn = turn + FULL_TURN if turn < -1e-9 else turn
        turn = turn + FULL_TURN if turn < -1e-9 else turn
        turn = turn - FULL_TURN if turn >= FULL_TURN - 1e-9 else turn
        inside = 0.5 * (y * (across + row_half) + offset[i] * (rise + half[i]) + ab * turn)
        above = cap[i] + (both if across > 0.0 else 0.0)
        below = row_cap if across > 0.0 else 0.0
        outside = above if rise > 0.0 else below
        areas[i] = inside if abs(rise) < half[i] else outside


@part
def aperture(image, usable, x, y, radius, elongation, angle, work):  # type: ignore[no-untyped-def]
    """Sum light and usable area inside one ellipse; ``work`` is that of ``workspace``."""
    columns, rows, low, high = work
    x0, x1, y0, y1, ab, _ = window(image.shape[0], x, y, radius, elongation, angle, columns, rows)
    total, pixels = 0.0, 0.0
    _corners(columns, x1 - x0 + 1, rows, 0, ab, low)
    for j in range(y0, y1):
        _corners(columns, x1 - x0 + 1, rows, j - y0 + 1, ab, high)
        line, use = image[j, x0:x1], usable[j, x0:x1]
        light, area = np.float32(0.0), 0.0
        for i in range(x1 - x0):
            weight = (high[i + 1] - high[i]) - (low[i + 1] - low[i])
            light += np.float32(weight) * line[i]
            area += weight * use[i]
        total += float(light)
        pixels += area
        low, high = high, low
    return total, pixels


@part
def workspace(size):  # type: ignore[no-untyped-def]
    """Make room for the chords and corners of an aperture on a stamp."""
    return np.empty((5, size + 1)), np.empty((5, size + 1)), np.empty(size + 1), np.empty(size + 1)


@compiled
def aperture_sums(images, good, stamps, x, y, radius, elongation, angle):  # type: ignore[no-untyped-def]
    """Sum light and usable area inside ellipses; see ``apertures.aperture_sums``."""
    n, size = x.size, images.shape[1]
    light, area = np.zeros(n), np.zeros(n)
    work = workspace(size)
    for s in range(n):
        light[s], area[s] = aperture(
            images[stamps[s]], good[stamps[s]], x[s], y[s], radius[s], elongation[s], angle[s], work
        )
    return light, area


@compiled
def radial_moments(images, x, y, radius, elongation, angle):  # type: ignore[no-untyped-def]
    """Sum the light inside ellipses, and that times the semi-major axis; see ``noise``."""
    n, size = x.size, images.shape[1]
    light, moment = np.zeros(n), np.zeros(n)
    columns, rows, low, high = workspace(size)
    for s in range(n):
        cos, sin = np.float32(math.cos(angle[s])), np.float32(math.sin(angle[s]))
        stretch, x_s, y_s = np.float32(elongation[s]), np.float32(x[s]), np.float32(y[s])
        x0, x1, y0, y1, ab, _ = window(
            size, x[s], y[s], radius[s], elongation[s], angle[s], columns, rows
        )
        _corners(columns, x1 - x0 + 1, rows, 0, ab, low)
        for j in range(y0, y1):
            _corners(columns, x1 - x0 + 1, rows, j - y0 + 1, ab, high)
            line, dy = images[s, j, x0:x1], np.float32(j) - y_s
            first = np.float32(x0) - x_s
            total, weighed = np.float32(0.0), np.float32(0.0)
            for i in range(x1 - x0):
                weight = np.float32((high[i + 1] - high[i]) - (low[i + 1] - low[i]))
                dx = first + np.float32(i)
                along, across = dx * cos + dy * sin, (dy * cos - dx * sin) * stretch
                part_light = weight * line[i]
                total += part_light
                weighed += part_light * np.sqrt(along * along + across * across)
            light[s] += float(total)
            moment[s] += float(weighed)
            low, high = high, low
    return light, moment


@part
def _spread(rings, width):  # type: ignore[no-untyped-def]
    """Add rings up and average over some, the ends counting half; see ``growth``."""
    half, total = width // 2, 0.0
    inside = np.zeros(rings.size + width + 1)
    for k in range(rings.size + half):
        inside[half + 1 + k] = inside[half + k] + (rings[k] if k < rings.size else 0.0)
    for k in range(width):
        total += inside[k]
    for k in range(rings.size):
        total += inside[k + width]
        rings[k] = (total - 0.5 * (inside[k] + inside[k + width])) / width
        total -= inside[k]


@part
def _rings(along_y, across_y, x0, cos, sin, stretch, scale, rings):  # type: ignore[no-untyped-def]
    """Fill the steps of the curve in which the pixels of a row lie; eight pixels at once."""
    for i in range(rings.size):
        dx = np.float32(i) - x0
        along = dx * cos + along_y
        across = (across_y - dx * sin) * stretch
        rings[i] = np.int32(np.sqrt(along * along + across * across) * scale)


@compiled
def growth(images, good, x, y, elongation, angle, step, count, width):  # type: ignore[no-untyped-def]
    """Sum light and usable area inside elliptical radii; see ``growth.growth_curve``."""
    n, size = x.size, images.shape[1]
    light, area = np.zeros((n, count)), np.zeros((n, count))
    rings = np.empty(size, dtype=np.int32)
    for s in range(n):
        cos, sin = np.float32(math.cos(angle[s])), np.float32(math.sin(angle[s]))
        stretch, scale = np.float32(elongation[s]), np.float32(1.0 / step)
        x0, y0 = np.float32(x[s]), np.float32(y[s])
        for j in range(size):
            dy = np.float32(j) - y0
            _rings(dy * sin, dy * cos, x0, cos, sin, stretch, scale, rings)
            for i in range(size):
                k = rings[i]
                if k < count and good[s, j, i]:
                    light[s, k] += images[s, j, i]
                    area[s, k] += 1.0
        _spread(light[s], width)
        _spread(area[s], width)
    return light, area
