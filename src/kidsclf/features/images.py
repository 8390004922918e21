"""Stamps as an image network reads them: one array, channels last, and its noise level."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kidsclf.errors import InputError
from kidsclf.schema import NAN_CODE, PackedStamps

BLOCK_BYTES = 64 * 1024**2
"""Of stamps as float32 that are read at once, by all readers: 9,728 of 41 x 41 in batches of 512.

Packed they take half of it."""

NOISE_STAMPS = 2048
"""Stamps that the noise level is measured on: 3 million pixels of 41 x 41 give it to 0.1 %."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def rows_in_block(size_px: int, channels: int, batch_size: int, readers: int = 1) -> int:
    """Say how many stamps each reader reads at once.

    Whole batches: of all readers together at most ``BLOCK_BYTES``, or one batch each.

    >>> rows_in_block(41, 1, 512), rows_in_block(41, 1, 512, readers=4)
    (9728, 2048)
    """
    return batch_size * max(1, batches_in_block(size_px, channels, batch_size) // readers)


def batches_in_block(size_px: int, channels: int, batch_size: int) -> int:
    """Say how many batches of stamps are ``BLOCK_BYTES``; 0 where one is more."""
    return BLOCK_BYTES // (4 * size_px**2 * channels * batch_size)


def stack_stamps(images: Mapping[str, Any], bands: Sequence[str]) -> Any:
    """Join the stamps of several bands along a last axis.

    Parameters
    ----------
    images : mapping of band to float32 array (n, size, size), or of band to PackedStamps
        Maggies; all-NaN where a source has no image.
    bands : sequence of str
        The channels wanted, in order; at least one.

    Returns
    -------
    float32 array (n, size, size, len(bands)), or PackedStamps of that shape
        A view without a copy if there is one band.

    Raises
    ------
    InputError
        If a band has no stamps.
    """
    missing = [band for band in bands if band not in images]
    if missing:
        raise InputError(
            f"the network needs stamps in band {missing[0]!r}, but only those in "
            f"{', '.join(images) or 'no band'} are here; add it to cutouts.bands"
        )
    stamps = [images[band] for band in bands]
    if isinstance(stamps[0], PackedStamps):
        codes, steps = ([getattr(each, of) for each in stamps] for of in ("codes", "steps"))
        return PackedStamps(_stack(codes), _stack(steps))
    return _stack(stamps)


def _stack(arrays: Sequence[Any]) -> Any:
    if len(arrays) == 1:
        return arrays[0][..., None]
    return arrays[0].__array_namespace__().stack(arrays, axis=-1)


def has_image(stamps: Any) -> Any:
    """Say which stamps can be shown to a network.

    Parameters
    ----------
    stamps : float32 array (n, size, size, channels), or PackedStamps of that shape
        Maggies.

    Returns
    -------
    bool array (n,)
        False where any pixel of any channel is NaN or infinite.
    """
    if isinstance(stamps, PackedStamps):
        return _can_be_unpacked(stamps)
    xp = stamps.__array_namespace__()
    return xp.all(xp.isfinite(stamps), axis=(1, 2, 3))


def _can_be_unpacked(stamps: PackedStamps) -> Any:
    """Say of which stamps neither a code is NaN nor the largest number of maggies infinite."""
    lowest, highest = stamps.codes.min(axis=(1, 2)), stamps.codes.max(axis=(1, 2))
    largest = np.maximum(-lowest.astype(np.float32), highest.astype(np.float32))
    with np.errstate(over="ignore"):
        finite = np.isfinite(largest * stamps.steps)
    return ((lowest > NAN_CODE) & finite).all(axis=1)


def span_unit(stamps: Any) -> Any:
    """Scale every stamp by itself, so that its pixels span 0 to 1.

    What is left is its shape, and how its noise compares with its peak.

    Parameters
    ----------
    stamps : float32 array (n, size, size)
        Maggies; all-NaN where a source has no image, which stays so.

    Returns
    -------
    float32 array (n, size, size)
        (pixel - lowest) / (highest - lowest) of each stamp; 0 where all its pixels are equal.

    Examples
    --------
    >>> import numpy as np
    >>> span_unit(np.array([[[2.0, 4.0], [3.0, 2.0]]], np.float32)).tolist()
    [[[0.0, 1.0], [0.5, 0.0]]]
    """
    xp = stamps.__array_namespace__()
    lowest = xp.min(stamps, axis=(1, 2), keepdims=True)
    span = xp.max(stamps, axis=(1, 2), keepdims=True) - lowest
    return (stamps - lowest) / xp.where(span == 0, xp.ones_like(span), span)


def turn_stamps(stamps: Any, ways: Any) -> Any:
    """Turn and mirror stamps: pixels move, and none changes, so fluxes stay what they are.

    Parameters
    ----------
    stamps : float32 array (n, size, size, channels)
    ways : int array (n,)
        Within [0, 8): quarter turns (``way % 4``), mirrored before where ``way >= 4``.

    Returns
    -------
    float32 array (n, size, size, channels)

    Examples
    --------
    >>> import numpy as np
    >>> stamp = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> turn_stamps(stamp, np.array([1])).reshape(2, 2).tolist()
    [[1.0, 3.0], [0.0, 2.0]]
    """
    turned = stamps.copy()
    for way in range(1, 8):
        some = ways == way
        mirrored = stamps[some][:, :, ::-1] if way >= 4 else stamps[some]
        turned[some] = _quarter_turns(mirrored, way % 4)
    return turned


def _quarter_turns(stamps: Any, quarters: int) -> Any:
    for _ in range(quarters):
        stamps = stamps.transpose(0, 2, 1, 3)[:, ::-1]
    return stamps


def pixel_noise(stamps: Any) -> Any:
    """Measure the noise of a pixel, which sets where the stretch of a network turns over.

    The median absolute deviation, scaled to a standard deviation, of all pixels of the first
    ``NOISE_STAMPS`` usable stamps. Sources cover few of the pixels, and the median ignores them.

    Parameters
    ----------
    stamps : float32 array (n, size, size, channels)
        Maggies.

    Returns
    -------
    float32 array (channels,)
        Maggies; positive.

    Raises
    ------
    InputError
        If no stamp is usable or a channel does not vary.
    """
    xp = stamps.__array_namespace__()
    sample = stamps[has_image(stamps)][:NOISE_STAMPS]
    pixels = xp.reshape(sample, (-1, stamps.shape[-1]))
    if len(pixels) == 0:
        raise InputError(
            f"the noise of {len(stamps)} stamps was asked for, but none is free of NaN; "
            "check that the image tiles cover the labelled sources"
        )
    deviation = xp.abs(pixels - xp.median(pixels, axis=0))
    noise = MAD_TO_SIGMA * xp.median(deviation, axis=0)
    if not bool(xp.all(noise > 0)):
        raise InputError(
            f"the noise of {len(sample)} stamps was asked for, but more than half of the pixels "
            "of a band are equal; check that band's image tiles"
        )
    return xp.asarray(noise, dtype=xp.float32)
