"""Sersic fits of stamps, a chunk at a time: the entry to this package."""

from typing import Any

from kidsclf.errors import InputError
from kidsclf.features.arrays import affordable_rows, is_numpy, namespace, row_slices
from kidsclf.features.sersic.coarse import (
    coarse_bounds,
    coarse_parameters,
    coarsen,
    coarsening,
)
from kidsclf.features.sersic.judgement import judged
from kidsclf.features.sersic.levenberg import Equations, Solution, minimise
from kidsclf.features.sersic.model import Pixels, with_residual
from kidsclf.features.sersic.moments import Moments, adaptive_moments
from kidsclf.features.sersic.parameters import (
    BOUNDED,
    Bounds,
    by_unknowns,
    start_values,
    to_parameters,
    to_unknowns,
)
from kidsclf.features.sersic.parts import Part, is_split, split
from kidsclf.features.sersic.psf import describe_psf
from kidsclf.features.sersic.record import SersicFits

TOLERANCE = 1e-3
"""Fall of chi-square at which a fit ends: mostly within 0.03 standard deviations of the minimum."""

ROUGH_TOLERANCE = 0.1
"""The same on coarse pixels, whose minimum lies elsewhere by about as much."""

NEAR_TOLERANCE = 1e-2
"""The same on large stamps in parts, whose minimum is within a tenth of a deviation."""

RELATIVE_TOLERANCE = 1e-8
"""The same as a share of the squared signal-to-noise, which rules above 300: there the derivatives,
which leave out part of the PSF, lead no nearer to the minimum."""

ITERATIONS = 60
SMALLEST_PX = 5
LARGEST_PX = 2048
"""Most pixels on a side of stamp and PSF together."""

CACHE_ROWS = 256
"""Most stamps of a chunk on a processor; more only spill out of its caches."""

ARRAYS_PER_PIXEL = 40
"""Single-precision arrays of a stamp's size that the work on it holds at its peak."""


def fit_sersic(
    stamps: Any, variance: Any, psf: Any, mask: Any = None, *, with_sky: bool = False
) -> SersicFits:
    """Fit a Sersic profile, convolved with the PSF, to the source in the middle of each stamp.

    Least squares, weighted by the noise, over all pixels that can be used; neighbours have to be
    masked. NumPy and CuPy arrays alike.

    Parameters
    ----------
    stamps : float array (n, size, size)
        Flux per pixel, without sky unless it is fitted; NaN pixels are passed over.
    variance : float array (n, size, size) or (n, 1, 1)
        Of each pixel's noise; pixels where it is not positive are passed over.
    psf : float array (n, p, p) or (1, p, p)
        Effective PSF of each source, or of all: as stars appear in these pixels, so that what is
        compared with a pixel is the profile integrated over it. ``gaussian_psf`` and ``moffat_psf``
        draw one from a seeing.
    mask : bool array (n, size, size), optional
        True where a pixel is not to be used.
    with_sky : bool
        Whether to fit a constant sky to each stamp as well.

    Returns
    -------
    SersicFits

    Raises
    ------
    InputError
        If the shapes do not belong together.
    """
    _check_shapes(stamps, variance, psf, mask)
    parts = []
    bytes_per_row = 4 * ARRAYS_PER_PIXEL * (stamps.shape[1] + psf.shape[1]) ** 2
    most = affordable_rows(stamps, bytes_per_row)
    most = min(most, CACHE_ROWS) if is_numpy(stamps) else most
    for rows in list(row_slices(stamps.shape[0], most)) or [slice(0, 0)]:
        some = None if mask is None else mask[rows, ...]
        stars = psf if psf.shape[0] == 1 else psf[rows, ...]
        parts.append(_fit_chunk(stamps[rows, ...], variance[rows, ...], stars, some, with_sky))
    return SersicFits.concatenate(parts)


def _check_shapes(stamps: Any, variance: Any, psf: Any, mask: Any) -> None:
    count, size = stamps.shape[0], stamps.shape[-1]
    square = stamps.ndim == 3 and stamps.shape[1] == size >= SMALLEST_PX
    square = square and size + psf.shape[-1] <= LARGEST_PX
    alike = variance.shape in (tuple(stamps.shape), (count, 1, 1))
    stars = psf.ndim == 3 and psf.shape[0] in (1, count) and psf.shape[1] == psf.shape[2]
    if not (square and alike and stars and (mask is None or mask.shape == stamps.shape)):
        raise InputError(
            "Sersic fits of stamps (n, size, size) with a variance, a PSF (n or 1, p, p) and a "
            f"mask were asked for, but the shapes are {tuple(stamps.shape)}, "
            f"{tuple(variance.shape)}, {tuple(psf.shape)} and "
            f"{None if mask is None else tuple(mask.shape)}; cut square stamps of at least "
            f"{SMALLEST_PX} pixels (with the PSF's at most {LARGEST_PX}) and give each of the "
            "others one row a stamp"
        )


def _fit_chunk(stamps: Any, variance: Any, psf: Any, mask: Any, with_sky: bool) -> SersicFits:
    xp = namespace(stamps)
    used = xp.isfinite(stamps) & xp.isfinite(variance) & (variance > 0)
    used = used if mask is None else used & ~mask
    inverse, unit = _inverse_noise(variance, used)
    data = xp.where(used, stamps, 0.0) / unit[:, None, None]
    data = xp.astype(data, xp.float32)
    stars = describe_psf(psf)
    pixels = Pixels(data * inverse, inverse, stars)
    solution, bounds = _solve(pixels, 8 if with_sky else 7)
    usable = xp.broadcast_to(stars.usable, unit.shape)
    return judged(solution, bounds, unit, used, usable)


def _inverse_noise(variance: Any, used: Any) -> tuple[Any, Any]:
    """Give one over each pixel's noise, in units of the stamp's mean noise, and that unit (n,)."""
    xp = namespace(variance)
    known = xp.isfinite(variance) & (variance > 0)
    noise = xp.sqrt(xp.where(known, xp.astype(variance, xp.float64), 1.0))
    if variance.shape[1] == 1:
        return xp.astype(used, xp.float32), noise[:, 0, 0]
    count = xp.sum(xp.astype(used, xp.float64), axis=(1, 2))
    unit = xp.sum(xp.where(used, noise, 0.0), axis=(1, 2))
    unit = xp.where(count > 0, unit / xp.where(count > 0, count, 1.0), 1.0)
    inverse = xp.where(used, unit[:, None, None] / noise, 0.0)
    return xp.astype(inverse, xp.float32), unit


def _solve(pixels: Pixels, unknowns: int) -> tuple[Solution, Bounds]:
    """Find the way on coarse pixels, large stamps' on parts too, then the minimum on all pixels."""
    factor = coarsening(pixels.data.shape[1])
    coarse = coarsen(pixels, factor)
    at, sky = _moments(coarse, with_sky=unknowns == 8)
    start, limits = start_values(at, sky, coarse.psf, coarse.data.shape[1], unknowns)
    bounds = coarse_bounds(limits, 1.0 / factor)
    if factor > 1:
        rough = _minimise(start, limits, coarse, (Part(coarse, 0, 1),), ROUGH_TOLERANCE)
        start = coarse_parameters(to_parameters(rough.unknowns, limits)[0], 1.0 / factor)
    if is_split(pixels):
        near = _minimise(start, bounds, pixels, split(pixels, coarse), NEAR_TOLERANCE)
        start = to_parameters(near.unknowns, bounds)[0]
    return _minimise(start, bounds, pixels, (Part(with_residual(pixels), 0, 1),), TOLERANCE), bounds


def _squared_signal(pixels: Pixels, *, with_sky: bool) -> Any:
    """Sum the squares of data over noise (n,), less what a constant sky explains."""
    xp = namespace(pixels.data)
    data, noise = pixels.data, pixels.inverse_noise
    signal = xp.sum(data**2, axis=(1, 2), dtype=xp.float64)
    if with_sky:
        weight = xp.sum(noise**2, axis=(1, 2), dtype=xp.float64)
        product = xp.sum(data * noise, axis=(1, 2), dtype=xp.float64)
        signal = signal - product**2 / xp.where(weight > 0, weight, 1.0)
    return xp.clip(signal, 0.0, None)


def _moments(pixels: Pixels, *, with_sky: bool) -> tuple[Moments, Any]:
    """Give moments, and the sky (n,): the mean of the outermost pixels, or 0."""
    xp = namespace(pixels.data)
    used = pixels.inverse_noise > 0
    images = pixels.data / xp.where(used, pixels.inverse_noise, xp.ones_like(pixels.data))
    sky = xp.zeros_like(images[:, 0, 0])
    if with_sky:
        ends = [
            each[:, edge, :] for each in (images, xp.matrix_transpose(images)) for edge in (0, -1)
        ]
        sky = xp.mean(xp.concat(ends, axis=1), axis=1)
        images = xp.where(used, images - sky[:, None, None], xp.zeros_like(images))
    at = Moments(*(xp.astype(each, xp.float64) for each in adaptive_moments(images)))
    return at, xp.astype(sky, xp.float64)


def _minimise(
    start: Any, bounds: Bounds, pixels: Pixels, parts: tuple[Part, ...], tolerance: float
) -> Solution:
    """Find the least chi-square of the parts that stand for the pixels."""
    xp = namespace(start)

    def evaluate(trial: Any, rows: Any) -> Equations:
        here = Bounds(*(xp.take(each, rows, axis=0) for each in bounds))
        parameters, slope = to_parameters(trial, here)
        found = [part.equations(parameters, rows) for part in parts]
        total = Equations(*(sum(each[1:], start=each[0]) for each in zip(*found, strict=True)))
        return by_unknowns(total, slope)

    limited = xp.arange(start.shape[1]) < BOUNDED
    signal = _squared_signal(pixels, with_sky=start.shape[1] == 8)
    used = (xp.astype(part.pixels.inverse_noise > 0, xp.float64) for part in parts)
    count = sum((xp.sum(each, axis=(1, 2)) for each in used), start=xp.zeros_like(signal))
    return minimise(
        evaluate,
        to_unknowns(start, bounds),
        limited,
        degrees=xp.maximum(count - start.shape[1], xp.ones_like(count)),
        tolerance=tolerance + RELATIVE_TOLERANCE * signal,
        iterations=ITERATIONS,
    )
