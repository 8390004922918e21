"""Stamps of coarser pixels, on which a fit finds its way before it looks at all of them."""

import math
from typing import Any

from kidsclf.features.arrays import namespace
from kidsclf.features.sersic.model import Pixels
from kidsclf.features.sersic.parameters import Bounds
from kidsclf.features.sersic.psf import Psf

COARSEST_PX = 20
"""Pixels that a coarse stamp keeps along a side: from fewer, the steps that follow are no fewer."""

BLOCK_PX = 4
"""Most pixels that become one, along a side: seeing discs are seldom as large."""


def coarsening(size: int) -> int:
    """Choose how many pixels of a stamp become one, along a side.

    >>> [coarsening(size) for size in (25, 41, 101)]
    [1, 2, 4]
    """
    return max(1, min(BLOCK_PX, size // COARSEST_PX))


def coarsen(pixels: Pixels, factor: int) -> Pixels:
    """Average blocks of ``factor`` x ``factor`` pixels by their noise; the last ones are left out.

    The PSF's Gaussians are widened by the blocks; what they leave of the PSF is left out.
    """
    xp = namespace(pixels.data)
    inverse = pixels.inverse_noise
    total = xp.sqrt(block_sums(inverse * inverse, factor))
    weighted = block_sums(pixels.data * inverse, factor)
    scaled = xp.where(total > 0, weighted / xp.where(total > 0, total, 1.0), 0.0)
    return Pixels(scaled, total / factor**2, coarse_psf(pixels.psf, factor))


def coarse_psf(psf: Psf, factor: int) -> Psf:
    """Widen a PSF's Gaussians by blocks of pixels, and express them in blocks."""
    spread = (factor**2 - 1) / (12.0 * factor**2)
    return psf._replace(
        xx=psf.xx / factor**2 + spread,
        xy=psf.xy / factor**2,
        yy=psf.yy / factor**2 + spread,
        x_offset=psf.x_offset / factor,
        y_offset=psf.y_offset / factor,
    )


def block_sums(images: Any, factor: int) -> Any:
    """Add up blocks of ``factor`` x ``factor`` pixels; the last ones are left out."""
    xp, size = namespace(images), images.shape[1] // factor
    stop = size * factor
    rows = xp.reshape(images[:, :stop, :], (images.shape[0], size, factor, images.shape[2]))
    # whole rows first, which is quick, then few columns
    rows = xp.sum(rows, axis=2)
    return sum(
        (rows[:, :, k:stop:factor] for k in range(1, factor)), start=rows[:, :, 0:stop:factor]
    )


def coarse_parameters(parameters: Any, factor: float) -> Any:
    """Express parameters in pixels ``factor`` times as large; a fraction leads back."""
    xp = namespace(parameters)
    shift = (factor - 1.0) / 2.0
    columns = [parameters[:, term] for term in range(parameters.shape[1])]
    columns[0] = columns[0] - math.log(factor)
    columns[4], columns[5] = (columns[4] - shift) / factor, (columns[5] - shift) / factor
    if len(columns) == 8:
        columns[7] = columns[7] * factor**2
    return xp.stack(columns, axis=1)


def coarse_bounds(bounds: Bounds, factor: float) -> Bounds:
    """Express bounds in pixels ``factor`` times as large."""
    return Bounds(*(coarse_parameters(each, factor) for each in bounds))
