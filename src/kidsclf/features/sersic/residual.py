"""What an image owes to the part of the PSF that is no Gaussian, by Fourier transform.

The transform of the profile is a sum of Gaussians as well, so the cusp needs no sampling here
either. Galaxies reach beyond the periodic grid, but what they are convolved with sums to zero, so
that only structure as fine as the PSF counts.
"""

from typing import Any

import numpy as np

from kidsclf.features.arrays import is_numpy, namespace
from kidsclf.features.sersic.blocks import blocks, floor
from kidsclf.features.sersic.compiled import residual_spectrum
from kidsclf.features.sersic.components import ellipse_matrix
from kidsclf.features.sersic.mixture import GAUSSIANS, gaussians
from kidsclf.features.sersic.psf import frequencies


def residual_image(parameters: Any, transform: Any, like: Any) -> Any:
    """Draw what the image of unit flux owes to the PSF beyond its Gaussians.

    Parameters
    ----------
    parameters : float64 array (n, 7 or 8)
    transform : complex64 array (n or 1, length, length // 2 + 1), or None
        Of what the Gaussians leave of the PSF (``psf.residual_transform``); nothing if None.
    like : float32 array (n, size, size)
        Stamps of the same shape.

    Returns
    -------
    float32 array (n, size, size)
    """
    xp = namespace(parameters)
    if transform is None:
        return xp.zeros_like(like)
    size, length = like.shape[1], transform.shape[1]
    profile = gaussians(parameters[:, 1])
    ellipse = xp.astype(xp.stack(ellipse_matrix(parameters)[0], axis=1), xp.float32)
    decay, flux = (
        xp.astype(-0.5 * profile.variance, xp.float32),
        xp.astype(profile.flux, xp.float32),
    )
    along_y, along_x = frequencies(length, parameters)
    shift_x = xp.astype(xp.exp(-1j * along_x * parameters[:, 4, None]), xp.complex64)
    shift_y = xp.astype(xp.exp(-1j * along_y * parameters[:, 5, None]), xp.complex64)
    spectrum = _compiled_spectrum if is_numpy(like) else _array_spectrum
    waves = xp.astype(along_y, xp.float32)
    turned = spectrum(decay, flux, ellipse, waves, shift_x, shift_y, transform)
    return xp.fft.irfftn(turned, s=(length, length), axes=(1, 2))[:, :size, :size]


def _compiled_spectrum(
    decay: Any, flux: Any, ellipse: Any, waves: Any, shift_x: Any, shift_y: Any, transform: Any
) -> Any:
    spectrum = np.empty((len(decay), *transform.shape[1:]), np.complex64)
    residual_spectrum(decay, flux, ellipse, waves, shift_x, shift_y, transform, spectrum)
    return spectrum


def _array_spectrum(
    decay: Any, flux: Any, ellipse: Any, waves: Any, shift_x: Any, shift_y: Any, transform: Any
) -> Any:
    xp = namespace(decay)
    count, columns = decay.shape[0], transform.shape[2]
    xx, xy, yy = (ellipse[:, term, None, None] for term in range(3))
    wave_x = xp.abs(waves[None, None, :columns])
    parts = []
    for rows in blocks(count * GAUSSIANS, transform):
        wave_y = waves[None, rows, None]
        square = xx * wave_x**2 + (2.0 * xy) * wave_x * wave_y + yy * wave_y**2
        square = xp.reshape(square, (count, 1, -1))
        bells = xp.exp(xp.maximum(decay[:, :, None] * square, floor(square)))
        parts.append(xp.reshape(flux[:, None, :] @ bells, (count, -1, columns)))
    return xp.concat(parts, axis=1) * transform * shift_y[:, :, None] * shift_x[:, None, :]
