"""What a half-turn leaves of a source, as compiled loops for a processor.

They give what the array formulas of ``asymmetry`` give, but look only at pixels near the aperture
and hold nothing between.
"""

import math

import numpy as np

from kidsclf.features.morphology.compiled import compiled, part, reach, weigh, window


@part
def _turned(image, v, u, fy, fx):  # type: ignore[no-untyped-def]
    """Read an image between four pixels; beyond it there is 0."""
    size = image.shape[0]
    value = 0.0
    for dv in range(2):
        for du in range(2):
            if 0 <= v + dv < size and 0 <= u + du < size:
                share = (fy if dv else 1.0 - fy) * (fx if du else 1.0 - fx)
                value += share * image[v + dv, u + du]
    return value


@part
def _add_edge(sums, image, usable, j, start, stop, weights, mx, my, fx, fy):  # type: ignore[no-untyped-def]
    """Add pixels one by one, with their overlaps, masks and mirror places off the stamp."""
    size = image.shape[0]
    v = my - j
    q = v + int(fy >= 0.5)
    for i in range(start, stop):
        u = mx - i
        p = u + int(fx >= 0.5)
        if not usable[j, i] or (0 <= p < size and 0 <= q < size and not usable[q, p]):
            continue
        value = image[j, i]
        change = _turned(image, v, u, fy, fx) - value
        sums[0] += weights[i] * abs(value)
        sums[1] += weights[i] * abs(change)
        sums[2] += weights[i]
        sums[3] += weights[i] * value * value
        sums[4] += weights[i] * change * change


@part
def _add_inner(sums, image, usable, j, start, stop, mx, my, fx, fy):  # type: ignore[no-untyped-def]
    """Add pixels that lie wholly inside and have their mirror places on the stamp."""
    v = my - j
    here, near, far = image[j], image[v], image[v + 1]
    use_here, use_there = usable[j], usable[v + int(fy >= 0.5)]
    shift = int(fx >= 0.5)
    w00, w01 = np.float32((1.0 - fy) * (1.0 - fx)), np.float32((1.0 - fy) * fx)
    w10, w11 = np.float32(fy * (1.0 - fx)), np.float32(fy * fx)
    light, change, area = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    light2, change2 = np.float32(0.0), np.float32(0.0)
    for i in range(start, stop):
        u = mx - i
        counts = np.float32(use_here[i] & use_there[u + shift])
        value = here[i]
        left = w00 * near[u] + w01 * near[u + 1] + w10 * far[u] + w11 * far[u + 1] - value
        light += counts * abs(value)
        change += counts * abs(left)
        area += counts
        light2 += counts * value * value
        change2 += counts * left * left
    sums[0] += light
    sums[1] += change
    sums[2] += area
    sums[3] += light2
    sums[4] += change2


@compiled
def rotation_sums(images, good, stamps, x, y, radius, elongation, angle):  # type: ignore[no-untyped-def]
    """Sum what a half-turn leaves inside ellipses; see ``asymmetry.rotation_sums``."""
    n, size = x.size, images.shape[1]
    result = np.zeros((5, n))
    columns, rows = np.empty((5, size + 1)), np.empty((5, size + 1))
    weights, ones, sums = np.empty(size), np.ones(size), np.empty(5)
    for s in range(n):
        image, usable = images[stamps[s]], good[stamps[s]]
        x0, x1, y0, y1, ab, tip = window(
            size, x[s], y[s], radius[s], elongation[s], angle[s], columns, rows
        )
        mx, my = math.floor(2.0 * x[s]), math.floor(2.0 * y[s])
        fx, fy = 2.0 * x[s] - mx, 2.0 * y[s] - my
        sums[:] = 0.0
        for j in range(y0, y1):
            out0, in0, in1, out1 = reach(rows, j - y0, x[s], x0, x1, tip)
            weigh(columns, rows, j - y0, x0, out0, in0, ab, weights)
            weigh(columns, rows, j - y0, x0, in1, out1, ab, weights)
            _add_edge(sums, image, usable, j, out0, in0, weights, mx, my, fx, fy)
            _add_edge(sums, image, usable, j, in1, out1, weights, mx, my, fx, fy)
            # the mirror places mx - i and mx - i + 1 both lie on the stamp
            first, last = in0, in0
            if 0 <= my - j < size - 1:
                first = min(in1, max(in0, mx - size + 2))
                last = max(first, min(in1, mx + 1))
            _add_edge(sums, image, usable, j, in0, first, ones, mx, my, fx, fy)
            _add_inner(sums, image, usable, j, first, last, mx, my, fx, fy)
            _add_edge(sums, image, usable, j, last, in1, ones, mx, my, fx, fy)
        result[:, s] = sums
    return result


@part
def _soft_row(stamp, starts, first, last, columns, dy2, reach, shares):  # type: ignore[no-untyped-def]
    """Sum a row whose mirror places lie on the stamp; eight pixels at once.

    Indices into the flattened stamps have no sign: a sign would be looked at pixel by pixel.
    """
    image, turned, use, use_turned = stamp
    here, there, near, mask = starts
    light, change, area = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    w00, w01, w10, w11 = shares
    one = np.uint64(1)
    for k in range(np.uint64(first), np.uint64(last)):
        weight = reach - np.sqrt(columns[k] + dy2)
        weight = min(np.float32(1.0), max(np.float32(0.0), weight))
        weight *= use[here + k] * use_turned[mask + k]
        value = image[here + k]
        left = w00 * turned[there + k + one] + w01 * turned[there + k]
        left += w10 * turned[near + k + one] + w11 * turned[near + k]
        light += weight * abs(value)
        change += weight * abs(left - value)
        area += weight
    return light, change, area


@part
def soft_rotation(image, turned, use, use_turned, x, y, radius, columns, weights, sums):  # type: ignore[no-untyped-def]
    """Fill the sums of what a half-turn leaves inside one soft circle."""
    size = image.shape[0]
    stamp = image.ravel(), turned.ravel(), use.ravel(), use_turned.ravel()
    x0 = min(size, max(0, math.ceil(x - radius - 0.5)))
    x1 = max(x0, min(size, math.floor(x + radius + 0.5) + 1))
    y0 = min(size, max(0, math.ceil(y - radius - 0.5)))
    y1 = max(y0, min(size, math.floor(y + radius + 0.5) + 1))
    mx, my = math.floor(2.0 * x), math.floor(2.0 * y)
    fx, fy = 2.0 * x - mx, 2.0 * y - my
    shares = (
        np.float32((1.0 - fy) * (1.0 - fx)), np.float32((1.0 - fy) * fx),
        np.float32(fy * (1.0 - fx)), np.float32(fy * fx),
    )  # fmt: skip
    for i in range(x0, x1):
        columns[i] = np.float32((i - x) ** 2)
    # columns whose mirror places mx - i and mx - i + 1 both lie on the stamp
    first = min(x1, max(x0, mx - size + 2))
    last = max(first, min(x1, mx + 1))
    begin = size - 2 - mx
    nearest = begin + 1 - int(fx >= 0.5)
    sums[:] = 0.0
    for j in range(y0, y1):
        row, dy2 = size - 1 - my + j, np.float32((j - y) ** 2)
        quick = 1 <= row < size and last > first
        if quick:
            starts = (
                np.uint64(j * size), np.uint64(row * size + begin),
                np.uint64((row - 1) * size + begin),
                np.uint64((row - int(fy >= 0.5)) * size + nearest),
            )  # fmt: skip
            light, change, area = _soft_row(
                stamp, starts, first, last, columns, dy2, np.float32(radius + 0.5), shares
            )
            sums[0] += light
            sums[1] += change
            sums[2] += area
        if not quick or first > x0 or last < x1:
            for i in range(x0, x1):
                weights[i] = min(1.0, max(0.0, radius + 0.5 - math.sqrt(columns[i] + dy2)))
            stop = first if quick else x1
            _add_edge(sums, image, use, j, x0, stop, weights, mx, my, fx, fy)
            if quick:
                _add_edge(sums, image, use, j, last, x1, weights, mx, my, fx, fy)


@compiled
def soft_rotation_sums(stack, flipped, usable, flipped_usable, stamps, x, y, radius):  # type: ignore[no-untyped-def]
    """Sum what a half-turn leaves inside soft circles; see ``asymmetry.soft_rotation_sums``."""
    n, size = x.size, stack.shape[1]
    result = np.zeros((3, n))
    columns, weights, sums = np.empty(size, dtype=np.float32), np.empty(size), np.empty(5)
    for s in range(n):
        t = stamps[s]
        soft_rotation(
            stack[t], flipped[t], usable[t], flipped_usable[t], x[s], y[s], radius[s],
            columns, weights, sums,
        )  # fmt: skip
        result[0, s], result[1, s], result[2, s] = sums[0], sums[1], sums[2]
    return result
