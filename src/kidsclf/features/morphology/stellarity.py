"""Stellarity by matching the PSF: how much better a slightly wider profile fits than a point.

The spread model of SExtractor (Desai et al. 2012, ApJ 757, 83; Bouy et al. 2013, A&A 554, A101).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_points
from kidsclf.features.morphology.compiled_points import TINY_SHIFT_PX

DISC_SCALE = 1.0 / 16.0
"""Scale length of the exponential disc over the PSF's full width at half maximum (Desai 2012)."""

LANCZOS_ORDER = 4
"""Lobes of the kernel that shifts the PSF by parts of a pixel."""


def spread_model(images: Any, good: Any, x: Any, y: Any, psf: Any) -> Any:
    """Compare how well the PSF, and the PSF widened by a small disc, match each source.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted; 0 where not ``good``.
    good : bool array (n, size, size)
    x, y : float64 array (n,)
        Centroid, pixels.
    psf : array (m, m) or (n, m, m)
        Any normalisation; the middle of the array is the centre.

    Returns
    -------
    float64 array (n,)
        About 0 for a point, positive for what is wider, negative for what is sharper.
    """
    xp = arrays.namespace(images)
    point, wide = (arrays.from_host(each, images) for each in _templates(arrays.to_host(psf)))
    sums = compiled_points.matches if arrays.is_numpy(images) else _matches
    wide_seen, point_seen, wide_point, point_point = sums(
        images, good, x, y, point, wide, LANCZOS_ORDER
    )
    valid = (point_seen > 0) & (point_point > 0)
    spread = wide_seen / xp.where(valid, point_seen, 1.0)
    return xp.where(valid, spread - wide_point / xp.where(valid, point_point, 1.0), xp.nan)


def _matches(
    images: Any, good: Any, x: Any, y: Any, point: Any, wide: Any, order: int
) -> tuple[Any, Any, Any, Any]:
    """Sum the products of wide and seen, point and seen, wide and point, point and point, (n,)."""
    xp = arrays.namespace(images)
    column, row = xp.round(x), xp.round(y)
    seen, weight = _windows(xp, images, good, column, row, point.shape[-1])
    shifts = (_lanczos(xp, row - y, point, order), _lanczos(xp, column - x, point, order))
    point, wide = (
        xp.matmul(xp.matmul(shifts[0], each), xp.matrix_transpose(shifts[1])) * weight
        for each in (point, wide)
    )
    return (
        _dot(xp, wide, seen),
        _dot(xp, point, seen),
        _dot(xp, wide, point),
        _dot(xp, point, point),
    )


def _templates(psf: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the PSF, and the PSF convolved with the disc, both of sum 1, arrays (1 or n, m, m)."""
    stack = np.asarray(psf, dtype=np.float64).reshape(-1, *psf.shape[-2:])
    stack = stack / stack.sum(axis=(1, 2), keepdims=True)
    size = stack.shape[-1]
    # pixels above half of the peak cover a disc as wide as the profile is there
    above = (stack >= 0.5 * stack.max(axis=(1, 2), keepdims=True)).sum(axis=(1, 2))
    scale = DISC_SCALE * 2.0 * np.sqrt(above / np.pi)
    waves = np.hypot(np.fft.fftfreq(2 * size)[:, None], np.fft.rfftfreq(2 * size)[None, :])
    disc = (1.0 + (2.0 * np.pi * scale[:, None, None] * waves) ** 2) ** -1.5
    padded = np.fft.irfft2(np.fft.rfft2(stack, s=(2 * size, 2 * size)) * disc, s=(2 * size,) * 2)
    return stack.astype(np.float32), padded[:, :size, :size].astype(np.float32)


def _windows(xp: Any, images: Any, good: Any, column: Any, row: Any, side: int) -> tuple[Any, Any]:
    """Read the pixels round each source that the PSF covers, and which of them can be used."""
    n, size = images.shape[0], images.shape[-1]
    steps = xp.arange(side, dtype=xp.int64)[None, :] - side // 2
    columns = xp.astype(column, xp.int64)[:, None] + steps
    rows = xp.astype(row, xp.int64)[:, None] + steps
    on_rows, on_columns = (rows >= 0) & (rows < size), (columns >= 0) & (columns < size)
    on = xp.reshape(on_rows[:, :, None] & on_columns[:, None, :], (n, -1))
    on = xp.astype(on, images.dtype)
    flat = xp.clip(rows, 0, size - 1)[:, :, None] * size + xp.clip(columns, 0, size - 1)[:, None, :]
    flat = xp.reshape(flat, (n, -1))
    seen, usable = (
        xp.reshape(
            xp.take_along_axis(xp.reshape(each, (n, -1)), flat, axis=1) * on, (n, side, side)
        )
        for each in (images, xp.astype(good, images.dtype))
    )
    return seen, usable


def _lanczos(xp: Any, shift: Any, like: Any, order: int) -> Any:
    """Build the matrices (n, m, m) that move a profile back along one axis by parts of a pixel.

    The kernel's sines at whole pixels plus a shift follow from those of the shift alone.
    """
    size = like.shape[-1]
    place = xp.arange(size, dtype=xp.float64)
    whole = place[:, None] - place[None, :]
    part = shift[:, None, None]
    lag = whole + part
    angle = xp.pi * xp.where(xp.abs(lag) < TINY_SHIFT_PX, TINY_SHIFT_PX, lag)
    turn, part_turn = xp.pi / order * whole, xp.pi / order * part
    fast = (1.0 - 2.0 * xp.remainder(whole, 2.0)) * xp.sin(xp.pi * part)
    slow = xp.sin(turn) * xp.cos(part_turn) + xp.cos(turn) * xp.sin(part_turn)
    kernel = order * fast * slow / (angle * angle)
    kernel = xp.where(xp.abs(lag) < TINY_SHIFT_PX, 1.0, kernel)
    kernel = kernel * xp.astype(xp.abs(lag) < order, xp.float64)
    return xp.astype(kernel / xp.sum(kernel, axis=2, keepdims=True), like.dtype)


def _dot(xp: Any, first: Any, second: Any) -> Any:
    return xp.sum(xp.reshape(first * second, (first.shape[0], -1)), axis=1, dtype=xp.float64)
