"""Stamps as int16 at about a fifth of their own sky noise a step, and back; or as they are.

No pixel is to move by more than an eighth of the local sky noise, and rounding moves it by half a
step. So a step is a quarter of the noise, less what the noise may be overestimated by.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.float32]

STEPS_PER_NOISE = 4.0
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

STEP = "_step"
"""What follows the band in the name of the array of steps."""

_LIMIT = 32_767
_NAN_CODE = -32_768
_BLOCK_ROWS = 256
"""Stamps of 41 x 41 that stay in the cache between two steps."""
_THREADS = 2
"""Most of decoding is waiting for fresh memory, which two threads do at once."""
_RING_PIXELS = 256
"""At least so many pixels of the ring are sorted, where it has them."""
_MAD_ERROR = 1.17
"""Standard error of a median absolute deviation of n normal values, relative, times the root of n
(Rousseeuw & Croux 1993, JASA 88, 1273: an efficiency of 37 %)."""
_ERRORS_ALLOWED = 5.0
"""So many standard errors too high may the noise be estimated: once in three million stamps."""


@dataclass(frozen=True)
class EncodedStamps:
    """int16 codes (n, size, size) and the size of one step in maggies, float32 (n,)."""

    codes: NDArray[np.int16]
    step: NDArray[np.float32]
    coarse: NDArray[np.bool_]
    """Where the brightest pixel asked for steps larger than the noise did."""


def sky_noise(stamps: Stamps) -> NDArray[np.float32]:
    """Estimate each stamp's sky noise from the median absolute deviation of its outer ring.

    The ring is a tenth of the side wide. Of a large one every k-th pixel is taken.

    Parameters
    ----------
    stamps : float32 array (n, size, size)
        Maggies; NaN and 0, which fills pixels without data, are left out.

    Returns
    -------
    float32 array (n,)
        Standard deviation, maggies; NaN for an empty stamp.
    """
    return _noise(_ring_pixels(stamps))


def _ring_pixels(stamps: Stamps) -> Stamps:
    size = stamps.shape[1]
    inner = np.zeros((size, size), bool)
    width = max(1, size // 10)
    inner[width:-width, width:-width] = True
    ring = np.flatnonzero(~inner)
    ring = ring[:: max(1, len(ring) // _RING_PIXELS)]
    sky = np.take(stamps.reshape(-1, size * size), ring, axis=1)
    empty = sky == 0.0
    if empty.any():
        sky[empty] = np.nan
    return sky


def _noise(sky: Stamps) -> NDArray[np.float32]:
    deviations = np.abs(sky - _medians(sky)[:, None])
    return np.asarray(np.float32(MAD_TO_SIGMA) * _medians(deviations))


def _medians(values: Stamps) -> NDArray[np.float32]:
    """Take the median of each row without its NaN.

    A full sort of some hundred float32 is vectorised, which makes it ten times faster than
    ``numpy.nanmedian`` and as fast as a partition. NaN come to stand at the end of their row.
    """
    ordered = np.sort(values, axis=1)
    if not np.isnan(ordered[:, -1]).any():
        last = ordered.shape[1] - 1
        return np.asarray(0.5 * (ordered[:, last // 2] + ordered[:, (last + 1) // 2]))
    last = np.maximum(np.count_nonzero(~np.isnan(ordered), axis=1) - 1, 0)
    rows = np.arange(len(ordered))
    return np.asarray(0.5 * (ordered[rows, last // 2] + ordered[rows, (last + 1) // 2]))


def encode_stamps(stamps: Stamps) -> EncodedStamps:
    """Quantise stamps to int16 at about a fifth of their own sky noise.

    A stamp with pixels above some 6,000 times the noise gets larger steps and is told as coarse;
    one without measurable noise uses the whole range for its brightest pixel. Cheapest on some
    hundred stamps at a time, whose temporary arrays stay in the cache.
    """
    size = np.abs(stamps)
    peak = size.max(axis=(1, 2), initial=0.0)
    holes = np.isnan(peak)
    if holes.any():
        peak[holes] = np.nan_to_num(size[holes], nan=0.0).max(axis=(1, 2))
    sky = _ring_pixels(stamps)
    pixels = np.maximum(1, sky.shape[1] - np.count_nonzero(np.isnan(sky), axis=1))
    too_high = 1.0 + _ERRORS_ALLOWED * _MAD_ERROR / np.sqrt(pixels)
    fine = _noise(sky).astype(np.float64) / (STEPS_PER_NOISE * too_high)
    least = peak.astype(np.float64) / _LIMIT
    measured = fine > 0
    step64 = np.where(measured, np.maximum(fine, least), least)
    step64[step64 == 0] = 1.0
    step = np.nextafter(step64.astype(np.float32), np.float32(np.inf))
    scaled = np.divide(stamps, step[:, None, None], out=size)
    np.rint(scaled, out=scaled)
    if holes.any():
        scaled[holes] = np.nan_to_num(scaled[holes], nan=_NAN_CODE)
    return EncodedStamps(scaled.astype(np.int16), step, measured & (least > fine))


class StampBuffer(Protocol):
    """The stamps of one band of a partition, as they will lie on disk.

    Rows come in any order and from several threads, but each row once and all of them: what is not
    put is undefined.
    """

    coarse: NDArray[np.bool_]

    def put(self, rows: NDArray[np.int64], stamps: Stamps) -> None:
        """Encode the stamps of some rows."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays to be written, by what follows the band in their name."""


class Int16Buffer:
    """Two bytes a pixel, and the step of each stamp."""

    def __init__(self, rows: int, size_px: int) -> None:
        self.coarse = np.zeros(rows, bool)
        self._codes = np.empty((rows, size_px, size_px), np.int16)
        self._step = np.empty(rows, np.float32)

    def put(self, rows: NDArray[np.int64], stamps: Stamps) -> None:
        """Encode the stamps of some rows."""
        encoded = encode_stamps(stamps)
        self._codes[rows] = encoded.codes
        self._step[rows] = encoded.step
        self.coarse[rows] = encoded.coarse

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays to be written, by what follows the band in their name."""
        return {"": self._codes, STEP: self._step}


class Float32Buffer:
    """Four bytes a pixel, every bit of it."""

    def __init__(self, rows: int, size_px: int) -> None:
        self.coarse = np.zeros(rows, bool)
        self._stamps = np.empty((rows, size_px, size_px), np.float32)

    def put(self, rows: NDArray[np.int64], stamps: Stamps) -> None:
        """Keep the stamps of some rows."""
        self._stamps[rows] = stamps

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Give the arrays to be written, by what follows the band in their name."""
        return {"": self._stamps}


BUFFERS: Mapping[str, type[Int16Buffer] | type[Float32Buffer]] = {
    "int16": Int16Buffer,
    "float32": Float32Buffer,
}
"""By the setting ``cutouts.encoding``."""


def decode_stamps(codes: NDArray[np.int16], step: NDArray[np.float32]) -> Stamps:
    """Turn codes back to maggies; NaN where the stamp had NaN."""
    stamps = np.empty(codes.shape, np.float32)

    def decode(start: int) -> None:
        some = slice(start, start + _BLOCK_ROWS)
        stamps[some] = codes[some]
        stamps[some] *= step[some, None, None]

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(decode, range(0, len(codes), _BLOCK_ROWS)))
    empty = codes[:, 0, 0] == _NAN_CODE  # cheap: NaN pixels occur as whole stamps
    if empty.any():
        some = codes[empty]
        stamps[empty] = np.where(some == _NAN_CODE, np.nan, stamps[empty])
    return stamps
