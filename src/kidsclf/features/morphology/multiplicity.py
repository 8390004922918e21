"""Multiplicity: how much further apart the light is than it could be (Law et al. 2007)."""

from typing import Any

import numpy as np
import scipy.fft

from kidsclf.features import arrays
from kidsclf.features.morphology import compiled_light


def multiplicity(images: Any, segments: Any) -> Any:
    """Measure Psi = 100 log10(psi_compact / psi) (Law et al. 2007, ApJ 656, 1, eq. 6).

    psi is the sum over pairs of pixels of the product of their light over their distance, like the
    potential energy of masses. psi_compact is the same after the pixels were put round the centre
    of the stamp in the order of their light. Both are sums over the spectrum of the light.

    Parameters
    ----------
    images : float32 array (n, size, size)
        Sky-subtracted.
    segments : bool array (n, size, size)
        Pixels of the source; negative ones count as 0.

    Returns
    -------
    float64 array (n,)
        0 (one compact clump) and above, 0.2 to 17 for mocks; NaN with fewer than two lit pixels.
    """
    xp = arrays.namespace(images)
    n, size = images.shape[0], images.shape[-1]
    light = 0.5 * (images + xp.abs(images)) * xp.astype(segments, images.dtype)
    if arrays.is_numpy(images):
        compact = compiled_light.heaped(light, np.argsort(_by_distance(size)))
    else:
        ordered = xp.sort(xp.reshape(light, (n, size * size)), axis=1, descending=True)
        place = arrays.from_host(_by_distance(size), images)
        compact = xp.reshape(xp.take(ordered, place, axis=1), (n, size, size))
    kernel = arrays.from_host(_spectrum(size), images)
    actual, least = _pair_sum(xp, light, kernel), _pair_sum(xp, compact, kernel)
    valid = (actual > 0) & (least > 0) & (arrays.count(light > 0) > 1)
    share = xp.where(valid, least, 1.0) / xp.where(valid, actual, 1.0)
    return xp.where(valid, 100.0 * xp.log10(share), xp.nan)


def _by_distance(size: int) -> Any:
    """Rank the pixels of a stamp by their distance from its centre."""
    y, x = np.divmod(np.arange(size * size), size)
    distance = (x - size // 2) ** 2 + (y - size // 2) ** 2
    ranks = np.empty(size * size, dtype=np.int64)
    ranks[np.argsort(distance, kind="stable")] = np.arange(size * size)
    return ranks


def _spectrum(size: int) -> Any:
    """Transform 1 / r, 0 for a pixel and itself; half the spectrum, weighted for the whole."""
    length = scipy.fft.next_fast_len(2 * size - 1, real=True)
    lag = np.minimum(np.arange(length), length - np.arange(length)).astype(np.float64)
    distance = np.hypot(lag[:, None], lag[None, :])
    kernel = np.divide(1.0, distance, out=np.zeros_like(distance), where=distance > 0)
    spectrum = scipy.fft.rfft2(kernel).real
    twice = np.full(spectrum.shape[1], 2.0)
    twice[0] = 1.0
    if length % 2 == 0:
        twice[-1] = 1.0
    return (spectrum * twice / length**2).astype(np.float32)


def _pair_sum(xp: Any, light: Any, kernel: Any) -> Any:
    length = kernel.shape[0]
    if arrays.is_numpy(light):
        # along the rows first, so that those beyond the stamp are not transformed
        waves = scipy.fft.fft(scipy.fft.rfft(light, length, axis=2), length, axis=1)
        return compiled_light.power(waves, kernel)
    waves = xp.fft.rfftn(light, s=(length, length), axes=(1, 2))
    power = xp.real(waves) ** 2 + xp.imag(waves) ** 2
    return xp.sum(xp.reshape(power * kernel, (light.shape[0], -1)), axis=1, dtype=xp.float64)
