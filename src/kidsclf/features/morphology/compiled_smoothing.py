"""Smoothings of stamps by squares and Gaussians, as compiled loops for a processor.

They give what the matrix products of ``filters`` give, but touch only pixels that have a weight.
"""

import math

import numpy as np

from kidsclf.compiling import njit

smoothed = njit(cache=True, nogil=True, error_model="numpy")


@smoothed
def _three_rows(image, j, sums):  # type: ignore[no-untyped-def]
    """Add up a row and those before and after; the outermost are repeated beyond the stamp."""
    size = image.shape[0]
    before, here, after = image[max(0, j - 1)], image[j], image[min(size - 1, j + 1)]
    for i in range(size):
        sums[i + 1] = before[i] + here[i] + after[i]
    sums[0], sums[size + 1] = sums[1], sums[size]


@smoothed
def box3(images):  # type: ignore[no-untyped-def]
    """Average over 3 x 3 pixels; see ``filters.box3_smooth``."""
    size = images.shape[1]
    result, sums = np.empty_like(images), np.empty(size + 2, dtype=images.dtype)
    ninth = images.dtype.type(9)
    for s in range(images.shape[0]):
        for j in range(size):
            _three_rows(images[s], j, sums)
            row = result[s, j]
            for i in range(size):
                row[i] = (sums[i] + sums[i + 1] + sums[i + 2]) / ninth
    return result


@smoothed
def outliers(images, sigmas):  # type: ignore[no-untyped-def]
    """Mark pixels that stand out of their eight neighbours; see ``segments.outliers``."""
    size = images.shape[1]
    result = np.empty(images.shape, dtype=np.bool_)
    squares = np.empty((size, size), dtype=np.float32)
    sums, sums2 = np.empty(size + 2, dtype=np.float32), np.empty(size + 2, dtype=np.float32)
    limit, eighth, nothing = np.float32(sigmas**2), np.float32(0.125), np.float32(0)
    for s in range(images.shape[0]):
        image = images[s]
        for j in range(size):
            for i in range(size):
                squares[j, i] = image[j, i] * image[j, i]
        for j in range(size):
            _three_rows(image, j, sums)
            _three_rows(squares, j, sums2)
            here, here2, row = image[j], squares[j], result[s, j]
            for i in range(size):
                mean = (sums[i] + sums[i + 1] + sums[i + 2] - here[i]) * eighth
                mean2 = (sums2[i] + sums2[i + 1] + sums2[i + 2] - here2[i]) * eighth
                away = here[i] - mean
                row[i] = away * away > limit * max(mean2 - mean * mean, nothing)
    return result


@smoothed
def _mirror(k, size):  # type: ignore[no-untyped-def]
    """Fold a place beyond the stamp back, the edge being a mirror between pixels."""
    if k < 0:
        return -1 - k
    return 2 * size - 1 - k if k >= size else k


@smoothed
def _box_row(image, first, width, tall, padded, row):  # type: ignore[no-untyped-def]
    """Average over the squares whose lowest row is ``first``, one a column and one more."""
    size, half = image.shape[0], width // 2
    tall[:] = np.float32(0)
    for k in range(first, first + width):
        line = image[_mirror(k, size)]
        for i in range(size):
            tall[i] += line[i]
    for i in range(size):
        padded[half + i] = tall[i]
    for i in range(half):
        padded[i] = tall[half - 1 - i]
        padded[half + size + i] = tall[size - 1 - i]
    row[:] = np.float32(0)
    for k in range(width):
        shifted = padded[k : k + row.size]
        for i in range(row.size):
            row[i] += shifted[i]
    share = np.float32(1.0 / (width * width))
    for i in range(row.size):
        row[i] *= share


@smoothed
def rises_above_boxes(images, widths):  # type: ignore[no-untyped-def]
    """Average what rises above the squares round a pixel; see ``smoothness.rises_above_boxes``."""
    size = images.shape[1]
    result = np.empty_like(images)
    tall = np.empty(size, dtype=np.float32)
    padded = np.zeros(2 * size + 2, dtype=np.float32)
    rows = np.empty((2, size + 1), dtype=np.float32)
    nothing, quarter = np.float32(0), np.float32(0.25)
    for s in range(images.shape[0]):
        width, half = widths[s], widths[s] // 2
        _box_row(images[s], -half, width, tall, padded, rows[0])
        for j in range(size):
            image, risen = images[s, j], result[s, j]
            low, high = rows[j % 2], rows[(j + 1) % 2]
            _box_row(images[s], j + 1 - half, width, tall, padded, high)
            if width % 2:
                for i in range(size):
                    risen[i] = max(image[i] - low[i], nothing)
            else:
                for i in range(size):
                    risen[i] = quarter * (
                        max(image[i] - low[i], nothing) + max(image[i] - low[i + 1], nothing)
                        + max(image[i] - high[i], nothing) + max(image[i] - high[i + 1], nothing)
                    )  # fmt: skip
    return result


@smoothed
def gaussian(images, sigmas, truncate):  # type: ignore[no-untyped-def]
    """Smooth by a Gaussian, 0 beyond the stamp; see ``filters.gaussian_smooth``."""
    size = images.shape[1]
    result, weights = np.empty_like(images), np.empty(size + 1, dtype=np.float32)
    band = np.empty((size, size), dtype=np.float32)
    for s in range(images.shape[0]):
        near = _bell(sigmas[s], truncate, weights)
        weights[near + 1 :] = np.float32(0)
        for j in range(size):
            for i in range(size):
                band[j, i] = weights[abs(i - j)]
        result[s] = np.dot(np.dot(band, images[s]), band)
    return result


@smoothed
def _bell(sigma, truncate, weights):  # type: ignore[no-untyped-def]
    """Fill half a Gaussian of unit sum; give how many weights reach a pixel of the stamp."""
    reach = math.floor(truncate * sigma + 0.5)
    whole = 1.0
    for k in range(1, reach + 1):
        whole += 2.0 * math.exp(-0.5 * (k / sigma) ** 2)
    near = min(reach, weights.size - 2)
    for k in range(near + 1):
        weights[k] = np.float32(math.exp(-0.5 * (k / sigma) ** 2) / whole)
    return near
