"""Sizes and shapes of galaxies, and what the nine-band aperture misses of them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.cosmology import kpc_per_arcsec

FloatArray = NDArray[np.float64]

SIZE_SCATTER_DEX: Final = 0.18
SMALLEST_RADIUS_ARCSEC: Final = 0.05
LARGEST_RADIUS_ARCSEC: Final = 12.0
# GAaP apertures of KiDS (Kuijken et al. 2019, A&A 625, A2, sec. 3.2), arcsec.
SMALLEST_APERTURE: Final = 0.7
LARGEST_APERTURE: Final = 2.0
POINT_SPREAD_SIGMA: Final = 0.3
HALF_LIGHT_PER_SIGMA: Final = 1.1774


def half_light_radius(
    absolute_mag_r: FloatArray, z: FloatArray, deviate: FloatArray, compactness: FloatArray
) -> FloatArray:
    """Return half-light radii in arcsec from the size-luminosity relation.

    lg(r_e / kpc) = 0.75 - 0.11 (M_r + 21.5) with a scatter of 0.18 dex, ``deviate`` of which is
    the standard normal draw and ``compactness`` a factor.
    """
    kpc = 10 ** (0.75 - 0.11 * (absolute_mag_r + 21.5) + SIZE_SCATTER_DEX * deviate) * compactness
    return np.clip(kpc / kpc_per_arcsec(z), SMALLEST_RADIUS_ARCSEC, LARGEST_RADIUS_ARCSEC)


def aperture_loss(radius_arcsec: FloatArray) -> FloatArray:
    """Return by how many mag the Gaussian aperture falls short of the total light.

    For a Gaussian galaxy of half-light radius ``radius_arcsec`` in an aperture that follows its
    size between 0.7 and 2 arcsec, relative to a point source, whose loss is zero.

    Examples
    --------
    >>> aperture_loss(np.array([0.0, 0.45, 3.0])).round(2)
    array([0.  , 0.2 , 1.03])
    """
    galaxy = (radius_arcsec / HALF_LIGHT_PER_SIGMA) ** 2
    aperture = np.minimum(SMALLEST_APERTURE**2 + galaxy, LARGEST_APERTURE**2)
    reach = aperture + POINT_SPREAD_SIGMA**2
    return 2.5 * np.log10((reach + galaxy) / reach)


def draw_sersic(red: NDArray[np.bool_], rng: np.random.Generator) -> FloatArray:
    """Draw Sersic indices: 4 +- 1 for red galaxies, 1 +- 0.4 for the others, within 0.5 to 6."""
    index = np.where(red, rng.normal(4.0, 1.0, len(red)), rng.normal(1.0, 0.4, len(red)))
    return np.clip(index, 0.5, 6.0)


def draw_bulges(count: int, rng: np.random.Generator) -> FloatArray:
    """Draw bulge fractions: a fifth of galaxies have one, of 10 to 60 % of the light."""
    has_bulge = rng.uniform(size=count) < 0.2
    return np.where(has_bulge, rng.uniform(0.1, 0.6, count), 0.0)
