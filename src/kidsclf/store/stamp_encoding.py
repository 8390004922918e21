"""Stamps as int16 at about a fifth of their own sky noise a step, and back; or as they are.

No pixel is to move by more than an eighth of the local sky noise, and rounding moves it by half a
step. So a step is a quarter of the noise, less what the noise may be overestimated by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kidsclf.store.stamp_kernels import (
    dequantise,
    differences,
    medians,
    peak_bits,
    quantise,
)

Stamps = NDArray[np.float32]

STEPS_PER_NOISE = 4.0
MEDIAN_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution of mean 0 over the median of its absolute values."""

STEP = "_step"
"""What follows the band in the name of the array of steps."""

_LIMIT = 32_767
_BLOCK_ROWS = 128
"""Stamps of 41 x 41 whose codes stay in the cache."""
_RING_PAIRS = 256
"""At least so many pairs of the ring are sorted, where it has them."""
_MEDIAN_ERROR = 1.17
"""Standard error of the median of n absolute normal values, relative, times the root of n
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
    """Estimate each stamp's sky noise from how neighbours in its outer ring differ.

    The differences of neighbours do not see a sky level, nor much of a galaxy that reaches into
    the ring, which would pass for noise in the scatter of the pixels themselves. Where the noise
    of neighbours is correlated, as in resampled tiles, the estimate is below it. The ring is a
    tenth of the side wide; of a large one every k-th pair is taken.

    Parameters
    ----------
    stamps : float32 array (n, size, size)
        Maggies; NaN and 0, which fills pixels without data, are left out.

    Returns
    -------
    float32 array (n,)
        Standard deviation, maggies; NaN for a stamp without two neighbours.
    """
    return _noise(stamps)[0]


def _noise(stamps: Stamps) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Estimate the noise, and say from how many pairs."""
    apart = differences(_flat(stamps), *_pairs(stamps.shape[1]))
    apart.sort(axis=1)  # of some hundred float32 it is vectorised, and puts NaN last
    median, pairs = medians(apart)
    return np.float32(MEDIAN_TO_SIGMA / np.sqrt(2.0)) * median, pairs


@cache
def _pairs(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose pairs of neighbours along the ring, where a galaxy inside falls off least.

    In a row above and below, in a column at the sides; no pixel is in two of them.
    """
    width = max(1, size // 10)
    rows = np.zeros((size, size // 2), bool)
    rows[:width] = rows[-width:] = True
    row, pair = np.nonzero(rows)
    above_and_below = row * size + 2 * pair
    columns = np.zeros((max(0, (size - 2 * width) // 2), size), bool)
    columns[:, :width] = columns[:, -width:] = True
    pair, column = np.nonzero(columns)
    at_the_sides = (width + 2 * pair) * size + column
    first = np.concatenate([above_and_below, at_the_sides])
    second = np.concatenate([above_and_below + 1, at_the_sides + size])
    some = slice(None, None, max(1, len(first) // _RING_PAIRS))
    return first[some], second[some]


def encode_stamps(stamps: Stamps) -> EncodedStamps:
    """Quantise stamps to int16 at about a fifth of their own sky noise.

    A stamp with pixels above some 6,000 times the noise gets larger steps and is told as coarse;
    one without measurable noise uses the whole range for its brightest pixel. Cheapest on some
    hundred stamps at a time, whose temporary arrays stay in the cache.
    """
    step, coarse = _steps(stamps)
    codes = np.empty(stamps.shape, np.int16)
    quantise(_flat(stamps), step, _flat(codes), np.arange(len(stamps)))
    return EncodedStamps(codes, step, coarse)


def _steps(stamps: Stamps) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Choose the step of each stamp, and say where its brightest pixel made that larger."""
    peak = peak_bits(_flat(stamps).view(np.int32)).view(np.float32)
    noise, pairs = _noise(stamps)
    too_high = 1.0 + _ERRORS_ALLOWED * _MEDIAN_ERROR / np.sqrt(np.maximum(1, pairs))
    fine = noise.astype(np.float64) / (STEPS_PER_NOISE * too_high)
    least = peak.astype(np.float64) / _LIMIT
    measured = fine > 0
    step = np.where(measured, np.maximum(fine, least), least)
    step[step == 0] = 1.0
    return np.nextafter(step.astype(np.float32), np.float32(np.inf)), measured & (least > fine)


def _flat(stamps: NDArray[Any]) -> NDArray[Any]:
    return stamps.reshape(len(stamps), stamps.shape[1] * stamps.shape[2])


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
        step, self.coarse[rows] = _steps(stamps)
        quantise(_flat(stamps), step, _flat(self._codes), rows)
        self._step[rows] = step

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


def codes_within(stamps: Stamps) -> NDArray[np.int16]:
    """Give room for the codes of stamps in the second half of the memory of these stamps.

    ``decode_stamps`` may turn them to those stamps: as it goes on, it writes below what it has not
    read. That spares a third of the memory, and the time it takes to get it.
    """
    return stamps.reshape(-1).view(np.int16)[stamps.size :].reshape(stamps.shape)


def decode_stamps(
    codes: NDArray[np.int16], step: NDArray[np.float32], out: Stamps | None = None
) -> Stamps:
    """Turn codes back to maggies; NaN where the stamp had NaN.

    Parameters
    ----------
    codes : int16 array (n, size, size)
    step : float32 array (n,)
        Maggies.
    out : float32 array (n, size, size), optional
        Gets the stamps; ``codes`` may be ``codes_within(out)``.
    """
    stamps = np.empty(codes.shape, np.float32) if out is None else out
    for start in range(0, len(codes), _BLOCK_ROWS):
        some = slice(start, start + _BLOCK_ROWS)
        dequantise(_flat(codes[some].copy()), step[some], _flat(stamps[some]))
    return stamps
