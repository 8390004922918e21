"""Images of Sersic galaxies as a telescope shows them, and the normal equations of their fit.

The profile's Gaussians, sheared and convolved with the PSF's, are Gaussians again; at each pixel
the image and all its derivatives are sums of the same exponentials, times polynomials of second
degree. So a block of pixels costs one exponential per Gaussian and two matrix products.

``components`` lists the parameters.
"""

from typing import Any, NamedTuple

import numpy as np

from kidsclf.features.arrays import is_numpy, namespace
from kidsclf.features.sersic.blocks import blocks, floor
from kidsclf.features.sersic.compiled import normal_sums
from kidsclf.features.sersic.components import COMPONENTS, Components, sheared_gaussians
from kidsclf.features.sersic.levenberg import Equations
from kidsclf.features.sersic.psf import Psf, residual_transform
from kidsclf.features.sersic.residual import residual_image


class Pixels(NamedTuple):
    """What is fitted.

    Attributes
    ----------
    data : float32 array (n, size, size)
        Flux per pixel, over its noise; 0 where not used.
    inverse_noise : float32 array (n, size, size)
        0 where not used.
    psf : Psf
    residual : complex64 array (n or 1, length, length // 2 + 1), or None
        Transform of what the PSF's Gaussians leave; None if that is neglected.
    """

    data: Any
    inverse_noise: Any
    psf: Psf
    residual: Any = None

    def take(self, rows: Any) -> "Pixels":
        """Pick sources by their numbers, in the order given."""
        xp = namespace(self.data)
        residual = self.residual
        if residual is not None and residual.shape[0] > 1:
            residual = xp.take(residual, rows, axis=0)
        data, noise = (xp.take(each, rows, axis=0) for each in (self.data, self.inverse_noise))
        return Pixels(data, noise, self.psf.take(rows), residual)


def prepare_pixels(stamps: Any, inverse_noise: Any, psf: Psf) -> Pixels:
    """Bring stamps to the form in which they are fitted."""
    return with_residual(Pixels(stamps * inverse_noise, inverse_noise, psf))


def with_residual(pixels: Pixels) -> Pixels:
    """Add the transform of what the PSF's Gaussians leave."""
    xp = namespace(pixels.data)
    length = _smooth_length(pixels.data.shape[1], pixels.psf.image.shape[1])
    residual = xp.astype(residual_transform(pixels.psf, length), xp.complex64)
    return pixels._replace(residual=residual)


def _smooth_length(stamp: int, psf: int) -> int:
    """Choose the side of the periodic grid: even, of factors 2, 3 and 5, which transform fast.

    The stamp and one half of the PSF keep the periodic copies of a galaxy off the stamp; what is
    convolved there sums to zero, so that their outskirts do no harm.
    """
    lengths: list[int] = [
        2 * 2**a * 3**b * 5**c for a in range(9) for b in range(6) for c in range(4)
    ]
    return min(length for length in lengths if length >= max(stamp + psf // 2, psf, 2))


def normal_equations(parameters: Any, pixels: Pixels) -> Equations:
    """Sum chi-square and its Gauss-Newton expansion over the pixels.

    Derivatives leave out the part of the PSF that its Gaussians do not hold; chi-square does not.

    Parameters
    ----------
    parameters : float64 array (n, 7 or 8)
    pixels : Pixels

    Returns
    -------
    Equations
    """
    components = sheared_gaussians(parameters, pixels.psf)
    rest = residual_image(parameters, pixels.residual, pixels.data)
    sums = _compiled_sums if is_numpy(pixels.data) else _array_sums
    normal = sums(parameters, components, rest, pixels)
    return Equations(normal[:, -1, -1], normal[:, :-1, -1], normal[:, :-1, :-1])


def _compiled_sums(parameters: Any, components: Components, rest: Any, pixels: Pixels) -> Any:
    count, unknowns = parameters.shape
    normal = np.empty((count, unknowns + 1, unknowns + 1))
    weights = np.ascontiguousarray(components.weights.swapaxes(1, 2))
    linear = parameters[:, 6:].astype(np.float32)
    place, images = (components.x, components.y), (rest, pixels.data, pixels.inverse_noise)
    normal_sums(components.exponents, weights, *place, linear, *images, normal)
    return normal


def _array_sums(parameters: Any, components: Components, rest: Any, pixels: Pixels) -> Any:
    xp = namespace(parameters)
    count, unknowns = parameters.shape
    normal = xp.zeros((count, unknowns + 1, unknowns + 1), dtype=xp.float64)
    for rows in blocks(count * COMPONENTS, pixels.data):
        image, slopes = _image_and_slopes(parameters, components, rest, rows)
        noise = pixels.inverse_noise[:, None, rows, :]
        misfit = pixels.data[:, None, rows, :] - image[:, None, ...] * noise
        stack = xp.concat([slopes * noise, misfit], axis=1)
        stack = xp.reshape(stack, (count, unknowns + 1, -1))
        normal += xp.astype(stack @ xp.matrix_transpose(stack), xp.float64)
    return normal


def draw(parameters: Any, psf: Psf, size: int) -> Any:
    """Draw the images that the fits compare with stamps.

    Parameters
    ----------
    parameters : float64 array (n, 7 or 8)
    psf : Psf
    size : int
        Pixels on a side.

    Returns
    -------
    float32 array (n, size, size)
        Flux per pixel.
    """
    xp = namespace(parameters)
    blank = xp.zeros((parameters.shape[0], size, size), dtype=xp.float32)
    pixels = prepare_pixels(blank, blank, psf)
    components, rest = (
        sheared_gaussians(parameters, psf),
        residual_image(parameters, pixels.residual, pixels.data),
    )
    steps = blocks(parameters.shape[0] * COMPONENTS, blank)
    parts = [_image_and_slopes(parameters, components, rest, rows)[0] for rows in steps]
    return xp.concat(parts, axis=1)


def _image_and_slopes(
    parameters: Any, components: Components, rest: Any, rows: slice
) -> tuple[Any, Any]:
    """Draw some rows of the images (n, b, size), and their derivatives (n, m, b, size)."""
    xp = namespace(parameters)
    shape = rest[:, rows, :].shape
    dx, dy = _offsets(components, shape[2], rows)
    square = xp.broadcast_to(dx**2, shape), 2.0 * dx * dy, xp.broadcast_to(dy**2, shape)
    terms = xp.reshape(xp.stack(square, axis=1), (shape[0], 3, -1))
    bells = xp.exp(xp.maximum(components.exponents @ terms, floor(terms)))
    sums = components.weights @ bells
    flux = xp.astype(parameters[:, 6], xp.float32)[:, None, None]
    unit = xp.reshape(sums[:, 0, :], shape) + rest[:, rows, :]
    image = flux * unit
    shapes = xp.reshape(sums[:, 4:, :], (shape[0], 4, 4, -1))
    slopes = shapes[:, :, 0, :] + xp.sum(shapes[:, :, 1:, :] * terms[:, None, ...], axis=2)
    slopes = xp.reshape(flux * slopes, (shape[0], 4, *shape[1:]))
    along = [xp.reshape(sums[:, term, :], shape) for term in (1, 2, 3)]
    by_x = flux * (along[0] * dx + along[1] * dy)
    by_y = flux * (along[1] * dx + along[2] * dy)
    others = [by_x, by_y, unit]
    if parameters.shape[1] == 8:
        image = image + xp.astype(parameters[:, 7], xp.float32)[:, None, None]
        others.append(xp.ones_like(unit))
    return image, xp.concat([slopes, xp.stack(others, axis=1)], axis=1)


def _offsets(components: Components, size: int, rows: slice) -> tuple[Any, Any]:
    """Give the places of pixels from the Gaussians' centres, (n, 1, size) and (n, b, 1)."""
    xp = namespace(components.x)
    line = xp.arange(size, dtype=components.x.dtype)
    dx = line[None, None, :] - components.x[:, None, None]
    dy = line[None, rows, None] - components.y[:, None, None]
    return xp.astype(dx, xp.float32), xp.astype(dy, xp.float32)
