"""How the table of Gaussians in ``mixture.npz`` was made, so that it can be made again.

Run ``python -m kidsclf.features.sersic.derivation`` (a minute). Widths and fluxes of all the
Gaussians, as polynomials of the logarithm of the index, are fitted at once to exact profiles.
"""

from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import gamma, gammaincinv, i0e

from kidsclf.features.sersic.mixture import GAUSSIANS, HIGHEST_INDEX, LOWEST_INDEX, TABLE

TERMS = 9
"""Terms of each polynomial: 7 leave twice the error at indices below 1, 11 change nothing."""

CORE = 0.04
"""Half-light radii that the profile is smoothed by before it is compared: the width (standard
deviation) of the PSF for a galaxy of ten seeing discs in radius, so that what is finer is not seen.
"""

REACH = 15.0
"""Half-light radii out to which it is compared."""

STIFFNESS = 1e-4
"""Weight that holds what the profile leaves undetermined; far below its own residuals."""

Floats = NDArray[np.float64]


def sersic_profile(index: float, radius: Floats) -> Floats:
    """Evaluate the profile of unit total flux and half-light radius.

    Graham & Driver 2005 (PASA 22, 118), equations 1, 2 and 4.

    Parameters
    ----------
    index : float
        Sersic index.
    radius : float64 array
        In half-light radii.

    Returns
    -------
    float64 array
        Flux per squared half-light radius.

    Examples
    --------
    >>> float(sersic_profile(0.5, np.array([0.0]))[0]).__round__(4)
    0.2206
    """
    steepness = gammaincinv(2.0 * index, 0.5)
    total = 2.0 * np.pi * index * steepness ** (-2.0 * index) * gamma(2.0 * index)
    return np.asarray(np.exp(-steepness * radius ** (1.0 / index)) / total)


def smoothed_profile(index: float, radius: Floats, core: float = CORE) -> Floats:
    """Convolve the profile with a round Gaussian of standard deviation ``core``.

    The integral over angle is a Bessel function; the one over radius is taken in its square root,
    which tames the cusp.
    """
    node, weight = np.polynomial.legendre.leggauss(400)
    low = np.sqrt(np.clip(radius - 8.0 * core, 0.0, None))[:, None]
    high = np.sqrt(radius + 8.0 * core)[:, None]
    root = (low + high) / 2.0 + (high - low) / 2.0 * node
    inner, outer = root**2, radius[:, None]
    kernel = np.exp(-((outer - inner) ** 2) / (2.0 * core**2)) * i0e(outer * inner / core**2)
    integrand = sersic_profile(index, inner) * inner / core**2 * kernel * 2.0 * root
    return np.asarray((integrand * weight).sum(1) * ((high - low) / 2.0)[:, 0])


def derive_table(knots: int = 28, radii: int = 160) -> Floats:
    """Fit the polynomials to profiles at ``knots`` indices and ``radii`` radii.

    Returns
    -------
    float64 array (2, GAUSSIANS, TERMS)
        Chebyshev coefficients of the logarithms of width (half-light radii) and flux.
    """
    place = np.cos(np.pi * (np.arange(knots) + 0.5) / knots)[::-1]
    place[[0, -1]] = -1.0, 1.0
    logs = np.log([LOWEST_INDEX, HIGHEST_INDEX])
    indices = np.exp(logs.mean() + place * np.ptp(logs) / 2.0)
    radius = np.geomspace(0.01, REACH, radii)
    exact = np.stack([smoothed_profile(index, radius) for index in indices])
    basis = chebyshev.chebvander(place, TERMS - 1)
    knots_alone = _knot_by_knot(radius, exact)
    start = np.asarray(np.linalg.lstsq(basis, knots_alone, rcond=None)[0], dtype=np.float64)
    return _fit_jointly(radius, exact, np.asarray(basis, dtype=np.float64), start.T)


def _weight(radius: Floats, exact: Floats) -> Floats:
    """Weigh relative errors by the root of the flux in a ring, as photon noise would."""
    return np.asarray(radius / np.sqrt(exact + 1e-6 * exact.max()))


def _gaussians(parameters: Floats, radius: Floats) -> tuple[Floats, Floats]:
    """Give each Gaussian (radii, gaussians), and its derivative by the logarithm of its width."""
    squared = np.exp(2.0 * parameters[:GAUSSIANS])
    variance = squared + CORE**2
    distance = radius[:, None] ** 2 / variance
    value = np.exp(parameters[GAUSSIANS:] - distance / 2.0) / (2.0 * np.pi * variance)
    return value, value * (distance - 2.0) * squared / variance


def _knot_by_knot(radius: Floats, exact: Floats) -> Floats:
    """Fit free Gaussians from the highest index down, each from its neighbour's solution."""
    widths = np.log(np.geomspace(0.025, 9.0, GAUSSIANS))
    current = np.concatenate([widths, np.full(GAUSSIANS, -np.log(GAUSSIANS))])
    solutions = np.empty((len(exact), 2 * GAUSSIANS))
    for knot in reversed(range(len(exact))):
        weight = _weight(radius, exact[knot])
        anchor = current.copy()

        def residuals(parameters: Floats, *, anchor=anchor, weight=weight, knot=knot) -> Floats:  # type: ignore[no-untyped-def]
            misfit = (_gaussians(parameters, radius)[0].sum(1) - exact[knot]) * weight
            return np.concatenate([misfit, STIFFNESS * (parameters - anchor)])

        current = least_squares(residuals, anchor).x
        solutions[knot] = current
    return solutions


def _fit_jointly(radius: Floats, exact: Floats, basis: Floats, start: Floats) -> Floats:
    weights = np.stack([_weight(radius, profile) for profile in exact])

    def residuals(flat: Floats) -> Floats:
        rows = basis @ flat.reshape(2 * GAUSSIANS, TERMS).T
        model = np.stack([_gaussians(row, radius)[0].sum(1) for row in rows])
        return np.concatenate([((model - exact) * weights).ravel(), STIFFNESS * flat])

    def jacobian(flat: Floats) -> Floats:
        rows = basis @ flat.reshape(2 * GAUSSIANS, TERMS).T
        blocks = []
        for row, weight, terms in zip(rows, weights, basis, strict=True):
            value, by_width = _gaussians(row, radius)
            slopes = np.concatenate([by_width, value], axis=1) * weight[:, None]
            blocks.append((slopes[:, :, None] * terms).reshape(len(radius), -1))
        return np.vstack([*blocks, STIFFNESS * np.eye(flat.size)])

    solution = least_squares(residuals, start.ravel(), jac=jacobian, max_nfev=300)
    return np.asarray(solution.x.reshape(2, GAUSSIANS, TERMS))


def main() -> None:
    """Write the table beside the module that reads it."""
    np.savez(Path(__file__).parent / TABLE, chebyshev=derive_table())


if __name__ == "__main__":
    main()
