"""Statistics of the pixels of a segment, as compiled loops for a processor.

They give what the array formulas of ``gini``, ``gradient``, ``shape`` and ``sky`` give; only pixels
of the segment are sorted and weighed.
"""

import math

import numpy as np

from kidsclf.compiling import njit
from kidsclf.features.morphology.compiled_order import ascending

weighed = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
part = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"}, forceinline=True)
"""What kernels are made of. Always inlined: else the process that compiles a kernel would run
another copy of its parts than those that load it, with other last bits."""


@weighed
def gini(images, segments):  # type: ignore[no-untyped-def]
    """Measure the Gini coefficient; see ``gini.gini``."""
    n, size = images.shape[0], images.shape[1]
    result, values = np.full(n, np.nan), np.empty(size * size, dtype=np.float32)
    spare = np.empty_like(values)
    for s in range(n):
        count = 0
        for j in range(size):
            for i in range(size):
                if segments[s, j, i]:
                    values[count] = abs(images[s, j, i])
                    count += 1
        ordered = ascending(values[:count], spare[:count])
        light, ranked = 0.0, 0.0
        for k in range(count):
            light += ordered[k]
            ranked += (k + 1) * float(ordered[k])
        if count > 1 and light > 0.0:
            result[s] = (2.0 * ranked - (count + 1) * light) / ((count - 1) * light)
    return result


@part
def _brightest_level(values, spare, wanted):  # type: ignore[no-untyped-def]
    """Give the faintest of the brightest values whose sum exceeds what is wanted."""
    ordered, growth, k = ascending(values, spare), 0.0, values.size
    while k > 0 and growth <= wanted:
        k -= 1
        growth += ordered[k]
    return ordered[k]


@part
def _collect(image, segment, values):  # type: ignore[no-untyped-def]
    """Gather the light of a segment; give how many pixels, their light and its first moments."""
    count, light, x, y = 0, 0.0, 0.0, 0.0
    for j in range(image.shape[0]):
        for i in range(image.shape[0]):
            if segment[j, i]:
                values[count] = image[j, i]
                count += 1
                light += image[j, i]
                x += float(image[j, i]) * i
                y += float(image[j, i]) * j
    return count, light, x, y


@weighed
def m20(images, segments, share):  # type: ignore[no-untyped-def]
    """Measure the second moment of the brightest light; see ``gini.m20``."""
    n, size = images.shape[0], images.shape[1]
    result, values = np.full(n, np.nan), np.empty(size * size, dtype=np.float32)
    spare = np.empty_like(values)
    for s in range(n):
        count, light, x, y = _collect(images[s], segments[s], values)
        if count == 0 or light <= 0.0:
            continue
        level = _brightest_level(values[:count], spare[:count], share * light)
        moment, brightest = 0.0, 0.0
        for j in range(size):
            for i in range(size):
                if segments[s, j, i]:
                    part = images[s, j, i] * ((i - x / light) ** 2 + (j - y / light) ** 2)
                    moment += part
                    brightest += part * (images[s, j, i] >= level)
        if moment > 0.0 and brightest > 0.0:
            result[s] = math.log10(brightest / moment)
    return result


@part
def _slopes(image, segment, down, across, modulus):  # type: ignore[no-untyped-def]
    """Fill the gradients of the pixels within a segment; give how many, and the largest."""
    size, half = image.shape[0], np.float32(0.5)
    count, largest = 0, np.float32(0)
    modulus[:] = np.float32(-1)
    for j in range(1, size - 1):
        for i in range(1, size - 1):
            inside = segment[j, i] and segment[j - 1, i] and segment[j + 1, i]
            if inside and segment[j, i - 1] and segment[j, i + 1]:
                down[j, i] = half * (image[j + 1, i] - image[j - 1, i])
                across[j, i] = half * (image[j, i + 1] - image[j, i - 1])
                modulus[j, i] = math.sqrt(down[j, i] * down[j, i] + across[j, i] * across[j, i])
                largest = max(largest, modulus[j, i])
                count += 1
    return count, largest


@weighed
def gradient_asymmetry(images, segments, x, y, modulus_tolerance, phase_tolerance):  # type: ignore[no-untyped-def]
    """Measure G2; see ``gradient.gradient_asymmetry``."""
    n, size = images.shape[0], images.shape[1]
    result = np.full(n, np.nan)
    slopes = np.empty((3, size, size), dtype=np.float32)
    down, across, modulus = slopes[0], slopes[1], slopes[2]
    for s in range(n):
        count, largest = _slopes(images[s], segments[s], down, across, modulus)
        if count == 0 or largest <= 0.0:
            continue
        tolerance, turn = np.float32(modulus_tolerance) * largest, np.float32(phase_tolerance)
        mx, my = int(np.round(2.0 * x[s])), int(np.round(2.0 * y[s]))
        lonely, lengths, total_down, total_across = 0, 0.0, 0.0, 0.0
        for j in range(1, size - 1):
            for i in range(1, size - 1):
                here = modulus[j, i]
                if here <= tolerance:
                    continue
                q, p = my - j, mx - i
                if 0 <= q < size and 0 <= p < size and modulus[q, p] >= 0.0:
                    there = modulus[q, p]
                    cosine = -(down[j, i] * down[q, p] + across[j, i] * across[q, p])
                    sine = abs(down[j, i] * across[q, p] - across[j, i] * down[q, p])
                    if abs(here - there) <= tolerance and cosine > 0.0 and sine <= turn * cosine:
                        continue
                lonely += 1
                lengths += here
                total_down += down[j, i]
                total_across += across[j, i]
        confluence = 0.0
        if lengths > 0.0:
            confluence = math.sqrt(total_down**2 + total_across**2) / lengths
        result[s] = lonely / count * (2.0 - confluence)
    return result


@weighed
def largest_radius(segments, x, y, elongation, angle):  # type: ignore[no-untyped-def]
    """Find the semi-major axis that reaches the farthest pixel; see ``shape.largest_radius``."""
    n, size = segments.shape[0], segments.shape[1]
    result = np.zeros(n)
    for s in range(n):
        cos, sin = np.float32(math.cos(angle[s])), np.float32(math.sin(angle[s]))
        x0, y0, stretch = np.float32(x[s]), np.float32(y[s]), np.float32(elongation[s])
        farthest = np.float32(0)
        for j in range(size):
            dy = np.float32(j) - y0
            for i in range(size):
                if segments[s, j, i]:
                    dx = np.float32(i) - x0
                    along = dx * cos + dy * sin
                    across = (dy * cos - dx * sin) * stretch
                    farthest = max(farthest, along * along + across * across)
        result[s] = math.sqrt(farthest)
    return result


@weighed
def sky_sums(images, sky):  # type: ignore[no-untyped-def]
    """Sum up empty sky: pixels, light, squares, pairs, and what a half-turn leaves of pairs."""
    n, size = images.shape[0], images.shape[1]
    result = np.zeros((5, n))
    for s in range(n):
        for j in range(size):
            there = size - 1 - j
            for i in range(size):
                if sky[s, j, i]:
                    value = float(images[s, j, i])
                    result[0, s] += 1.0
                    result[1, s] += value
                    result[2, s] += value * value
                    if sky[s, there, size - 1 - i]:
                        result[3, s] += 1.0
                        result[4, s] += abs(images[s, j, i] - images[s, there, size - 1 - i])
    return result


@weighed
def heaped(light, place):  # type: ignore[no-untyped-def]
    """Put the pixels of each stamp round its centre in the order of their light.

    Parameters
    ----------
    light : float32 array (n, size, size)
        Not negative.
    place : int64 array (size * size,)
        Pixels by distance from the centre.

    Returns
    -------
    float32 array (n, size, size)
    """
    n, pixels = light.shape[0], light.shape[1] * light.shape[2]
    result, values = np.zeros_like(light), np.empty(pixels, dtype=np.float32)
    spare = np.empty_like(values)
    for s in range(n):
        count, flat, heap = 0, light[s].ravel(), result[s].ravel()
        for k in range(pixels):
            if flat[k] > 0.0:
                values[count] = flat[k]
                count += 1
        ordered = ascending(values[:count], spare[:count])
        for k in range(count):
            heap[place[k]] = ordered[count - 1 - k]
    return result


@weighed
def power(waves, kernel):  # type: ignore[no-untyped-def]
    """Sum the squares of each spectrum (n, a, b) times a kernel (a, b)."""
    result = np.zeros(waves.shape[0])
    for s in range(waves.shape[0]):
        for j in range(waves.shape[1]):
            total = np.float32(0)
            for i in range(waves.shape[2]):
                wave = waves[s, j, i]
                total += kernel[j, i] * (wave.real * wave.real + wave.imag * wave.imag)
            result[s] += total
    return result


@weighed
def signal_to_noise(images, segments, sigma):  # type: ignore[no-untyped-def]
    """Average signal over noise of the pixels of a segment; see ``noise.signal_to_noise``."""
    n, size = images.shape[0], images.shape[1]
    result = np.full(n, np.nan)
    for s in range(n):
        total, pixels = 0.0, 0
        for j in range(size):
            for i in range(size):
                if segments[s, j, i] and images[s, j, i] >= 0.0 and sigma[s, j, i] > 0.0:
                    total += images[s, j, i] / sigma[s, j, i]
                    pixels += 1
        if pixels:
            result[s] = total / pixels
    return result


@weighed
def touched(segments, holes):  # type: ignore[no-untyped-def]
    """Say where a hole lies in or next to a segment, bool array (n,); see ``judgement``."""
    n, size = segments.shape[0], segments.shape[1]
    result = np.zeros(n, dtype=np.bool_)
    for s in range(n):
        for j in range(size):
            for i in range(size):
                if holes[s, j, i] and not result[s]:
                    near = segments[
                        s, max(0, j - 1) : min(size, j + 2), max(0, i - 1) : min(size, i + 2)
                    ]
                    result[s] = near.any()
    return result


@weighed
def sums_over(images, masks):  # type: ignore[no-untyped-def]
    """Sum the pixels of each stamp that are set in its mask, float64 array (n,)."""
    n, size = images.shape[0], images.shape[1]
    result = np.zeros(n)
    for s in range(n):
        for j in range(size):
            total = np.float32(0)
            for i in range(size):
                total += images[s, j, i] * masks[s, j, i]
            result[s] += total
    return result
