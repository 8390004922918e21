"""Large stamps in two parts: the core in its own pixels, the outskirts in blocks of pixels.

Far from the centre a galaxy is smooth over a few pixels, so blocks lead a fit nearly to where all
pixels do, for a quarter of the work; a step on all pixels then ends it. What a galaxy owes to the
PSF beyond its Gaussians is as fine as the PSF: it is followed in the core, by a transform no larger
than that, and left out beyond.
"""

from typing import Any, NamedTuple

from kidsclf.features.arrays import namespace
from kidsclf.features.sersic.coarse import BLOCK_PX, coarse_parameters
from kidsclf.features.sersic.levenberg import Equations
from kidsclf.features.sersic.model import Pixels, normal_equations, with_residual
from kidsclf.features.sersic.parameters import by_unknowns

CORE_BLOCKS = 11
"""Least side of the core: 44 pixels, so that blocks begin 22 pixels from the centre."""

SMALLEST_PX = 80
"""Smaller stamps are left whole: the parts would have nearly as many pixels together."""

LARGEST_PSF_PX = 33
"""Largest image of a PSF whose rest the core holds, with a margin for the galaxy itself."""


class Part(NamedTuple):
    """Some pixels of the stamps, or blocks of them.

    Attributes
    ----------
    pixels : Pixels
    corner : int
        First pixel of the part, along both axes.
    factor : int
        Pixels on a side of a block; 1 for pixels.
    """

    pixels: Pixels
    corner: int
    factor: int

    def equations(self, parameters: Any, rows: Any) -> Equations:
        """Give the normal equations by the parameters of the whole stamps, for some of them."""
        xp = namespace(parameters)
        numbers = xp.arange(parameters.shape[1])[None, :]
        of_centre = xp.astype((numbers == 4) | (numbers == 5), xp.float64)
        of_sky = xp.astype(numbers == 7, xp.float64)
        moved = coarse_parameters(parameters - self.corner * of_centre, float(self.factor))
        slope = xp.ones_like(parameters) + (1.0 / self.factor - 1.0) * of_centre
        slope = slope + (self.factor**2 - 1.0) * of_sky
        return by_unknowns(normal_equations(moved, self.pixels.take(rows)), slope)


def is_split(pixels: Pixels) -> bool:
    """Say whether stamps are large enough, and their PSFs small enough, to go by parts first."""
    large: bool = pixels.data.shape[1] >= SMALLEST_PX
    return large and bool(pixels.psf.image.shape[1] <= LARGEST_PSF_PX)


def split(pixels: Pixels, blocks: Pixels) -> tuple[Part, Part]:
    """Divide stamps into core and outskirts.

    Parameters
    ----------
    pixels : Pixels
        Of whole stamps.
    blocks : Pixels
        The same, coarsened by ``BLOCK_PX``.

    Returns
    -------
    tuple of Part
    """
    xp, across = namespace(pixels.data), blocks.data.shape[1]
    core_blocks = CORE_BLOCKS + (across - CORE_BLOCKS) % 2
    first, last = (across - core_blocks) // 2, (across + core_blocks) // 2
    inside = slice(BLOCK_PX * first, BLOCK_PX * last)
    data, noise = (
        xp.asarray(each[:, inside, inside], copy=True)
        for each in (pixels.data, pixels.inverse_noise)
    )
    core = with_residual(Pixels(data, noise, pixels.psf))
    line = xp.arange(across, dtype=xp.int64)
    within = (line >= first) & (line < last)
    outside = xp.astype(~(within[:, None] & within[None, :]), xp.float32)
    outskirts = blocks._replace(
        data=blocks.data * outside, inverse_noise=blocks.inverse_noise * outside
    )
    return Part(core, BLOCK_PX * first, 1), Part(outskirts, 0, BLOCK_PX)
