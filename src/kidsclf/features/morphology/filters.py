"""Smoothing with a width of each source's own, as two matrix products a stamp."""

from typing import Any

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_smoothing

TRUNCATE = 4.0
"""Standard deviations at which a Gaussian is cut, as in ``scipy.ndimage``."""


def gaussian_smooth(images: Any, sigma: Any) -> Any:
    """Smooth by a Gaussian; beyond the stamp there is 0.

    Parameters
    ----------
    images : float32 array (n, size, size)
    sigma : float64 array (n,)
        Pixels, positive.

    Returns
    -------
    float32 array (n, size, size)
    """
    if arrays.is_numpy(images):
        return compiled_smoothing.gaussian(images, sigma, TRUNCATE)
    xp = arrays.namespace(images)
    places = xp.arange(images.shape[-1], dtype=xp.float64)
    apart = (places[:, None] - places[None, :])[None, :, :]
    width = sigma[:, None, None]
    reach = xp.floor(TRUNCATE * width + 0.5)
    bell = xp.where(xp.abs(apart) <= reach, xp.exp(-0.5 * (apart / width) ** 2), 0.0)
    # the full sum of the weights, also where the stamp cuts some of them off
    steps = xp.arange(-images.shape[-1], images.shape[-1] + 1, dtype=xp.float64)[None, :]
    whole = xp.where(
        xp.abs(steps) <= reach[:, :, 0], xp.exp(-0.5 * (steps / sigma[:, None]) ** 2), 0.0
    )
    matrix = bell / xp.sum(whole, axis=1)[:, None, None]
    return _both_ways(xp, images, matrix)


def box_smooths(images: Any, width: Any) -> list[Any]:
    """Average over a square, four times; the stamp is mirrored at its edges (*reflect* of scipy).

    A square of an even number of pixels cannot be centred on one: its centre is a corner of the
    pixel, another one each time. The first is that of ``scipy``. For odd ones the four are equal.

    Parameters
    ----------
    images : float32 array (n, size, size)
    width : int64 array (n,)
        Side of the square, pixels, 1 to the size.

    Returns
    -------
    list of four float32 arrays (n, size, size)
    """
    xp = arrays.namespace(images)
    size = images.shape[-1]
    place = xp.arange(size, dtype=xp.float32)
    side = xp.astype(width, xp.float32)[:, None, None]
    odd = xp.astype(width % 2, xp.float32)[:, None, None]
    matrices = []
    for lean in (-0.5, 0.5):
        centre = place[None, :, None] + lean * (1.0 - odd)
        matrix = xp.zeros((images.shape[0], size, size), dtype=xp.float32)
        for mirrored in (place, -1 - place, 2 * size - 1 - place):
            inside = 2.0 * xp.abs(centre - mirrored[None, None, :]) < side
            matrix = matrix + xp.astype(inside, xp.float32)
        matrices.append(matrix / side)
    rows = [xp.matmul(matrix, images) for matrix in matrices]
    columns = [xp.matrix_transpose(matrix) for matrix in matrices]
    return [xp.matmul(row, column) for row in rows for column in columns]


def box3_smooth(images: Any) -> Any:
    """Average over 3 x 3 pixels; the edge pixels are repeated beyond the stamp.

    Parameters
    ----------
    images : float array (n, size, size)

    Returns
    -------
    float array (n, size, size)
    """
    if arrays.is_numpy(images):
        return compiled_smoothing.box3(images)
    return _three(_three(images, 1), 2) / 9


def _three(images: Any, axis: int) -> Any:
    """Add the neighbours on both sides along an axis."""
    xp = arrays.namespace(images)
    before, after = (slice(None),) * axis, (...,)
    padded = xp.concat(
        [
            images[(*before, slice(0, 1), *after)],
            images,
            images[(*before, slice(-1, None), *after)],
        ],
        axis=axis,
    )
    lower, upper = (
        padded[(*before, slice(None, -2), *after)],
        padded[(*before, slice(2, None), *after)],
    )
    return lower + images + upper


def _both_ways(xp: Any, images: Any, matrix: Any) -> Any:
    matrix = xp.astype(matrix, images.dtype)
    return xp.matmul(xp.matmul(matrix, images), xp.matrix_transpose(matrix))
