"""The sums over pixels of a fit as compiled loops for a processor.

They give what the array formulas of ``model`` give, and hold one row of pixels at a time, so that
nothing leaves the first-level cache. Each Gaussian is looked at only where it shows. Threads of one
process can run them side by side.
"""

import math

import numpy as np

from kidsclf.compiling import njit

LOOSE = {"reassoc", "contract", "nsz", "arcp"}
"""Licence to sum a row in any order, so that the processor adds sixteen pixels at once."""

FAINTEST = 25.0
"""Exponent at which a Gaussian ends: 1e-11 of its peak, below single precision of any sum."""

LANES = np.uint64(16)
"""Pixels that a processor works on at once; windows are rounded to as many. Unsigned, like all
places in a line: signed ones may be negative and would have to be looked at one by one."""

STRIDE = np.uint64(128)
"""Pixels of a line that are worked on together; wider stamps are cut into several."""

LONG_STRIDE = np.uint64(2048)
"""Most columns of a transform, padding included."""

RADIUS, INDEX, ETA_1, ETA_2, X, Y, IMAGE = (np.uint64(128 * part) for part in range(1, 8))
"""Where a line holds the image and its derivatives; the places of the pixels stand before them."""

compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath=LOOSE)
part = njit(nogil=True, error_model="numpy", fastmath=LOOSE, forceinline=True)
"""What kernels are made of. Always inlined: else the process that compiles a kernel would run
another copy of its parts than those that load it, with other last bits."""


@njit(inline="always")
def exponential(x):  # type: ignore[no-untyped-def]
    """Take e^x of a single-precision x <= 0 to 4e-6, in operations that vectorise.

    The power of two goes to the bits of the exponent, the rest to the Taylor series of 2^r,
    abs(r) <= 1/2. Below e^-41 it is e^-41: less would make denormal numbers of the products with
    small weights, on which a processor spends a hundred times as long.
    """
    scaled = max(x * np.float32(1.4426950408889634), np.float32(-60.0))
    whole = np.int32(scaled - np.float32(0.5))
    r = scaled - np.float32(whole)
    series = np.float32(1.5403530e-4)
    series = series * r + np.float32(1.3333558e-3)
    series = series * r + np.float32(9.6181291e-3)
    series = series * r + np.float32(5.5504109e-2)
    series = series * r + np.float32(2.4022651e-1)
    series = series * r + np.float32(6.9314718e-1)
    series = series * r + np.float32(1.0)
    return series * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@part
def _window(centre, half, size):  # type: ignore[no-untyped-def]
    """First pixel within ``half`` of the centre, and the one after the last; whole lanes."""
    first = math.floor(max(0.0, centre - half) / 16.0)
    last = math.ceil((min(size - 1.0, centre + half) + 1.0) / 16.0)
    return np.uint64(first) * LANES, np.uint64(max(first, last)) * LANES


@part
def _add_gaussian(line, exponents, w, dy, first, last):  # type: ignore[no-untyped-def]
    """Add one Gaussian to a line of the image and of its derivatives.

    ``line`` holds, ``STRIDE`` apart: dx; derivatives by radius, index, both ellipticities, x and y;
    the image. One array with fixed distances, and loops over whole lanes, are what it takes for the
    compiler to see that they are independent.
    """
    two = np.float32(2.0) * dy
    square = dy * dy
    e0, e1, e2 = exponents[0], exponents[1] * two, exponents[2] * square
    a0, a1, a2 = w[4] + w[7] * square, w[6] * two, w[5]
    b0, b1, b2 = w[8] + w[11] * square, w[10] * two, w[9]
    c0, c1, c2 = w[12] + w[15] * square, w[14] * two, w[13]
    d0, d1, d2 = w[16] + w[19] * square, w[18] * two, w[17]
    x0, x1, y0, y1, unit = w[2] * dy, w[1], w[3] * dy, w[2], w[0]
    for base in range(first, last, LANES):
        for lane in range(LANES):
            k = base + lane
            x = line[k]
            bell = exponential((e0 * x + e1) * x + e2)
            line[RADIUS + k] += bell * (a0 + x * (a1 + x * a2))
            line[INDEX + k] += bell * (b0 + x * (b1 + x * b2))
            line[ETA_1 + k] += bell * (c0 + x * (c1 + x * c2))
            line[ETA_2 + k] += bell * (d0 + x * (d1 + x * d2))
            line[X + k] += bell * (x0 + x * x1)
            line[Y + k] += bell * (y0 + x * y1)
            line[IMAGE + k] += bell * unit


@part
def _finish_line(line, flux, sky, rest, data, inverse, slopes, start):  # type: ignore[no-untyped-def]
    """Turn a line into derivatives and the misfit (last row), all over the noise."""
    width = data.size
    last = slopes.shape[0] - 1
    for term in range(6):
        row, values = slopes[term, start : start + width], line[(term + 1) * 128 :]
        for k in range(width):
            row[k] = values[k] * flux * inverse[k]
    unit, misfit = slopes[6, start : start + width], slopes[last, start : start + width]
    values = line[7 * 128 :]
    for k in range(width):
        unit[k] = (values[k] + rest[k]) * inverse[k]
    for k in range(width):
        misfit[k] = data[k] - flux * unit[k] - sky * inverse[k]
    if last == 8:
        slopes[7, start : start + width] = inverse


@compiled
def normal_sums(exponents, weights, x, y, linear, rest, data, inverse, normal):  # type: ignore[no-untyped-def]
    """Fill the products (n, m + 1, m + 1) of derivatives and misfit, summed over pixels.

    Parameters
    ----------
    exponents : float32 array (n, c, 3)
    weights : float32 array (n, c, 20)
    x, y : float64 arrays (n,)
    linear : float32 array (n, 1 or 2)
        Flux and, if fitted, sky.
    rest, data, inverse : float32 arrays (n, size, size)
    normal : float64 array (n, m + 1, m + 1)
    """
    size = data.shape[1]
    line = np.empty(8 * 128, np.float32)
    slopes = np.empty((normal.shape[1], size * size), np.float32)
    for s in range(data.shape[0]):
        sky = linear[s, 1] if linear.shape[1] == 2 else np.float32(0.0)
        for left in range(0, size, 128):
            width = min(128, size - left)
            columns = slice(left, left + width)
            for k in range(128):
                line[k] = left + k - x[s]
            for row in range(size):
                line[128:] = 0.0
                dy = np.float32(row - y[s])
                for c in range(exponents.shape[1]):
                    xx, xy, yy = exponents[s, c, 0], exponents[s, c, 1], exponents[s, c, 2]
                    spare = FAINTEST + dy * dy * (yy - xy * xy / xx)
                    if spare > 0.0:
                        middle = x[s] - left - xy * dy / xx
                        first, last = _window(middle, math.sqrt(-spare / xx), width)
                        _add_gaussian(line, exponents[s, c], weights[s, c], dy, first, last)
                part = rest[s, row, columns], data[s, row, columns], inverse[s, row, columns]
                _finish_line(line, linear[s, 0], sky, *part, slopes, row * size + left)
        normal[s] = np.dot(slopes, slopes.T)


@compiled
def residual_spectrum(decay, flux, ellipse, waves, shift_x, shift_y, residual, spectrum):  # type: ignore[no-untyped-def]
    """Fill the transform of profiles convolved with what the PSF's Gaussians leave.

    Parameters
    ----------
    decay, flux : float32 arrays (n, k)
        Of each Gaussian: minus half its variance, and its flux.
    ellipse : float32 array (n, 3)
        The matrix that the variances multiply: xx, xy, yy.
    waves : float32 array (rows,)
        Angular frequency of each row of the transform; columns are the first of them.
    shift_x : complex64 array (n, columns)
    shift_y : complex64 array (n, rows)
    residual : complex64 array (n or 1, rows, columns)
    spectrum : complex64 array (n, rows, columns)
    """
    count, rows, columns = spectrum.shape
    line = np.empty(2 * 2048, np.float32)
    step = waves[1]
    padded = (columns + 15) // 16 * 16
    for s in range(count):
        source = s if residual.shape[0] > 1 else 0
        xx, xy, yy = ellipse[s, 0], ellipse[s, 1], ellipse[s, 2]
        for row in range(rows):
            wave_y = waves[row]
            for k in range(padded):
                wave_x = step * np.float32(k)
                line[k] = (xx * wave_x + np.float32(2.0) * xy * wave_y) * wave_x + yy * wave_y**2
            line[2048:] = 0.0
            for c in range(decay.shape[1]):
                spare = -FAINTEST / decay[s, c] - wave_y * wave_y * (yy - xy * xy / xx)
                if spare > 0.0:
                    half = math.sqrt(spare / xx) / step
                    first, last = _window(-xy * wave_y / xx / step, half, columns)
                    _add_bell(line, decay[s, c], flux[s, c], first, last)
            for k in range(columns):
                turned = residual[source, row, k] * shift_x[s, k]
                spectrum[s, row, k] = line[2048 + k] * (turned * shift_y[s, row])


@part
def _add_bell(line, decay, flux, first, last):  # type: ignore[no-untyped-def]
    for base in range(first, last, LANES):
        for lane in range(LANES):
            k = base + lane
            line[LONG_STRIDE + k] += flux * exponential(decay * line[k])
