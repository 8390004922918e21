"""Structure along the sequence from spheroids to irregulars, as Fang et al. (2026, §4.3) report it.

Four mock classes have the medians of Sersic index that the paper gives for its spheroids, early
and late discs, and irregulars (4.06, 1.81, 1.10, 0.74), growing radii, and more clumps the later
they are; seeing 3.5 pixels, 41 x 41 pixels, noise as of a bright galaxy. What is measured is the
median of each statistic, a draw of galaxies a repeat. In the paper n, G and C fall from class to
class, and M20, the half-light radius and G2 rise.
"""

import galsim
import numpy as np
from numpy.typing import NDArray

from benchmarks.record import Measurement, Record
from kidsclf.features.morphology.measure import measure as measure_morphology
from kidsclf.features.sersic import SersicFlag, fit_sersic
from kidsclf.features.sersic.parameters import LOWEST_INDEX

GALAXIES = {"tiny": 10, "small": 100, "full": 400}
SIDE = 41
SEEING = galsim.Moffat(beta=3.5, fwhm=3.5)
PSF_PX = 25
NOISE = 2e-4
"""Of a pixel, over the flux of the galaxy."""

CLASSES = {
    "spheroids": (4.06, 3.0, 0),
    "early discs": (1.81, 3.6, 0),
    "late discs": (1.10, 4.5, 2),
    "irregulars": (0.74, 5.0, 4),
}
"""Sersic index, half-light radius in pixels, clumps."""

FALLING = ("sersic_index", "gini", "concentration")
RISING = ("m20", "half_light_radius")
OTHERS = ("gradient_asymmetry", "multiplicity")


def draw_class(name: str, count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Draw stamps of a class, float32 array (count, 41, 41), each galaxy of flux about 1."""
    index, typical, clumps = CLASSES[name]
    stamps = np.empty((count, SIDE, SIDE), dtype=np.float32)
    for row in range(count):
        radius = typical * random.uniform(0.85, 1.15)
        galaxy = galsim.Sersic(index, half_light_radius=radius, trunc=5 * radius).shear(
            q=random.uniform(0.6, 1.0), beta=random.uniform(0.0, np.pi) * galsim.radians
        )
        for _ in range(clumps):
            angle, reach = random.uniform(0.0, 2 * np.pi), radius * random.uniform(0.7, 1.4)
            clump = galsim.Gaussian(sigma=0.8, flux=random.uniform(0.05, 0.15))
            galaxy += clump.shift(reach * np.cos(angle), reach * np.sin(angle))
        seen = galsim.Convolve(galaxy, SEEING).drawImage(nx=SIDE, ny=SIDE, scale=1.0).array
        stamps[row] = seen + random.normal(0.0, NOISE, seen.shape)
    return stamps


def medians(stamps: NDArray[np.float32]) -> dict[str, float]:
    """Measure stamps of a class and give the median of each statistic."""
    psf = SEEING.drawImage(nx=PSF_PX, ny=PSF_PX, scale=1.0).array[None]
    variance = np.full((len(stamps), 1, 1), NOISE**2)
    fits = fit_sersic(stamps, variance, psf)
    values = {**measure_morphology(stamps), **fits.values}
    # an index at its lower bound is withheld, but the median may know that it is low
    low = fits.flags & SersicFlag.INDEX_LOW != 0
    values["sersic_index"] = np.where(low, LOWEST_INDEX, values["sersic_index"])
    return {name: float(np.nanmedian(values[name])) for name in (*FALLING, *RISING, *OTHERS)}


def measure(size: str, repeats: int) -> Record:
    found: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats):
        for place, name in enumerate(CLASSES):
            random = np.random.default_rng((place, repeat))
            for quantity, value in medians(draw_class(name, GALAXIES[size], random)).items():
                shown = -value if quantity == "m20" else value
                label = "-m20" if quantity == "m20" else quantity
                found.setdefault((name, label), []).append(shown)
    measurements = tuple(
        Measurement(name, quantity, "", tuple(values)) for (name, quantity), values in found.items()
    )
    return Record("classes", size, measurements, facts={"galaxies a class": GALAXIES[size]})
