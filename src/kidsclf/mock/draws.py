"""Random draws that several populations of the mock sky share."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def truncated_normal(
    mean: FloatArray | float,
    sigma: float,
    limits: tuple[float, float],
    count: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw normals of one mean or of one each; those outside the limits are drawn again."""
    means = np.broadcast_to(mean, count)
    values = rng.normal(means, sigma)
    while (outside := (values < limits[0]) | (values > limits[1])).any():
        values[outside] = rng.normal(means[outside], sigma)
    return values


def split_counts(
    total: int, shares: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Share out ``total`` at random in the proportions given, which need not sum to one."""
    probabilities = np.asarray(shares) / np.sum(shares)
    return np.asarray(rng.multinomial(total, probabilities), dtype=np.int64)


def draw_cells(
    expected: FloatArray, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw points of a plane with the density of a table.

    Parameters
    ----------
    expected
        Relative number per cell, shape (a, b).

    Returns
    -------
    row, column
        Continuous indices, 0 to a and 0 to b, uniform within the cell drawn; shape (count,).
    """
    cumulative = np.cumsum(expected.ravel())
    cell = np.searchsorted(cumulative, rng.uniform(0.0, cumulative[-1], count), side="right")
    row, column = np.divmod(np.minimum(cell, expected.size - 1), expected.shape[1])
    return row + rng.uniform(size=count), column + rng.uniform(size=count)
