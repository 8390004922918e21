"""Shapes and Sersic fits on a GPU through CuPy, beside one core of the processor with NumPy.

Exponential discs of several sizes, tilts and signals under a Gaussian seeing, drawn without GalSim,
which a machine with a GPU may lack. Both compute the same columns of the same stamps in turn; on a
GPU after one round that compiles. ``difference`` is the median of |GPU - processor| over the
latter, of all columns that both give. ``share of a copy`` is how fast the GPU goes through the
stamps, over how fast it copies them within its memory: the least that any measurement costs. Where
there is no GPU, the processor's rates stand alone.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from benchmarks.record import Measurement, Record, rates, ratio
from kidsclf.errors import InputError
from kidsclf.features.arrays import to_gpu, to_host
from kidsclf.features.morphology.measure import measure as measure_morphology
from kidsclf.features.sersic.fit import fit_sersic

ROWS = {"tiny": 8, "small": 500, "full": 4_000}
OF_A_CARD = 10
"""The card is given so many times as many, lest it idles."""
SIZE_PX, PSF_PX, SEEING_PX = 41, 15, 1.5
"""Seeing: standard deviation of the Gaussian."""
NOISE = 1.0

Subject = Callable[[Any], dict[str, Any]]


def measure(size: str, repeats: int) -> Record:
    stamps, psf = draw(ROWS[size])
    measured: list[Measurement] = []
    ratios = []
    with threadpool_limits(1):
        for name, subject in (("shapes", _shapes(psf)), ("Sersic fits", _fits(psf))):
            host, columns = _rate(f"{name}, one core", subject, stamps, repeats)
            measured.append(host)
            on_card = _on_card(stamps)
            if on_card is None:
                continue
            card, others = _rate(f"{name}, GPU", subject, on_card, repeats)
            worst = max(_difference(columns[key], others[key]) for key in columns)
            measured += [
                card,
                Measurement(f"{name}, GPU", "difference", "", (worst,) * repeats),
                _share_of_a_copy(name, card, on_card),
            ]
            ratios.append(ratio(card, host))
    facts = {"rows": ROWS[size], "rows on a card": OF_A_CARD * ROWS[size], "pixels": SIZE_PX}
    return Record("shapes_on_gpu", size, tuple(measured), tuple(ratios), facts)


def draw(rows: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Draw galaxies with noise, float32 array (rows, 41, 41), and their PSF (15, 15)."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] - SIZE_PX // 2
    stamps = np.empty((rows, SIZE_PX, SIZE_PX), np.float32)
    for row in range(rows):
        scale, axis_ratio, angle = random.uniform((1.0, 0.3, 0.0), (3.5, 1.0, np.pi))
        along = x * np.cos(angle) + y * np.sin(angle)
        across = (y * np.cos(angle) - x * np.sin(angle)) / axis_ratio
        disc = np.exp(-np.hypot(along, across) / scale)
        signal = 10.0 ** random.uniform(1.5, 3.0)
        disc = gaussian_filter(disc, SEEING_PX)
        disc *= signal * NOISE / np.sqrt((disc**2).sum())
        stamps[row] = disc + random.normal(0.0, NOISE, disc.shape)
    point = np.zeros((PSF_PX, PSF_PX))
    point[PSF_PX // 2, PSF_PX // 2] = 1.0
    return stamps, gaussian_filter(point, SEEING_PX)


def _shapes(psf: NDArray[np.float64]) -> Subject:
    return lambda stamps: measure_morphology(stamps, psf=_beside(psf, stamps))


def _fits(psf: NDArray[np.float64]) -> Subject:
    def fit(stamps: Any) -> dict[str, Any]:
        variance = _beside(np.full(stamps.shape, NOISE**2), stamps)
        return dict(fit_sersic(stamps, variance, _beside(psf[None], stamps)).values)

    return fit


def _beside(array: NDArray[Any], stamps: Any) -> Any:
    return array if isinstance(stamps, np.ndarray) else to_gpu(array)


def _on_card(stamps: NDArray[np.float32]) -> Any:
    try:
        return to_gpu(np.tile(stamps, (OF_A_CARD, 1, 1)))
    except InputError:
        return None


def _rate(
    name: str, subject: Subject, stamps: Any, repeats: int
) -> tuple[Measurement, dict[str, NDArray[Any]]]:
    took: list[float] = []
    columns: dict[str, NDArray[Any]] = {}
    for _ in range(repeats + 1):
        started = time.perf_counter()
        columns = {key: to_host(each) for key, each in subject(stamps).items()}  # waits for a card
        took.append(time.perf_counter() - started)
    return rates(name, "rate", "sources/s", len(stamps), took[1:]), columns


def _difference(ours: NDArray[Any], others: NDArray[Any]) -> float:
    others = others[: len(ours)]
    both = np.isfinite(ours) & np.isfinite(others) & (ours != 0)
    if not both.any():
        return 0.0
    return float(np.median(np.abs(others[both] - ours[both]) / np.abs(ours[both])))


def _share_of_a_copy(name: str, card: Measurement, stamps: Any) -> Measurement:
    stamps.copy()
    started = time.perf_counter()
    to_host(stamps.copy()[0, 0])
    copied = len(stamps) / (time.perf_counter() - started)
    shares = tuple(each / copied for each in card.values)
    return Measurement(f"{name}, GPU", "share of a copy", "", shares)
