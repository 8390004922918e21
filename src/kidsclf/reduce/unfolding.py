"""How many sources of a class there are, from how many a network selects and what labels say.

A network selects n_j sources as class j. If a source of class i is selected as j with probability
M_ij, n = M^T N, to be solved for the true numbers N. The M_ij are counted among labelled sources
that the network has not seen. Unlike the purity of the labelled sample they do not depend on its
mix of classes, which is never that of the sky. Two things do depend on the labels, and are doubted:

*The mix within a class.* Labelled galaxies are not like those of the sky, so the share of them that
passes for quasars is taken to be known within a factor only (`CONTAMINATION_FACTOR`); and sources
are best selected by a high probability, where few others pass.

*Wrong labels.* A quasar that is labelled as a galaxy, and selected as the quasar that it is, looks
like a galaxy that passes for one. Galaxies are far more numerous on the sky than among labels, so
a few of these weigh much. What up to `WRONG_LABELS` of the quasars would do is taken off.

Both are the same for all bins, so that they do not average out in a sum over bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

CONTAMINATION_FACTOR = 2.0
"""One standard deviation of the factor by which contaminants may be more or less common on the sky
than among the labelled sources of their class. An assumption, made before it was tried on a sky
whose truth is known; docs/metrics.md says how it did."""

WRONG_LABELS = 0.03
"""Largest share of the class asked for that is labelled as another, evenly those; from 0 to this
all are as likely. Feng et al. (section 5.2) put wrong SDSS labels at "about only a few percent"."""

DRAWS = 1000

FEWEST_LABELS = 20
"""Labelled sources of the class in a bin: with fewer its completeness is not known to a tenth."""

MOST_PER_LABEL = 0.5
"""Sources of another class for each labelled one, in units of the sources selected: with more, one
contaminant that the labels happen to miss may be half of the selection."""


@dataclass(frozen=True)
class Selection:
    """What a network selects in one magnitude bin, and what labels say of it.

    Attributes
    ----------
    target : int
        Index of the class asked for.
    selected : int64 array (k,)
        Sources of the catalogue selected as each of k classes.
    labelled : int64 array (k,)
        Labelled sources of each true class, selected or not.
    matrix : int64 array (k, k)
        Of them, by true class and the class that they are selected as.
    """

    target: int
    selected: Counts
    labelled: Counts
    matrix: Counts

    def why_not(self, classes: tuple[str, ...]) -> str:
        """Say why labels cannot correct this bin; "" where they can."""
        name = classes[self.target]
        if self.labelled[self.target] < FEWEST_LABELS:
            return f"fewer than {FEWEST_LABELS} labelled {name} in the bin"
        if self.matrix[self.target, self.target] == 0:
            return f"no labelled {name} in the bin is selected"
        most = MOST_PER_LABEL * self.selected[self.target]
        for code, other in enumerate(classes):
            if code != self.target and self.selected[code] > most * self.labelled[code]:
                return f"too few labelled {other} in the bin to tell how many pass for {name}"
        return ""


@dataclass(frozen=True)
class Unfolded:
    """True numbers of the class asked for, and what they rest on.

    Attributes
    ----------
    number, completeness, purity : float
        Purity is that of the catalogue's selection, not of the labelled one. The number is NaN
        where the labels of two classes are selected alike, or those of one not at all.
    number_draws, completeness_draws, purity_draws : float64 arrays (DRAWS,)
        Of their joint distribution.
    """

    number: float
    completeness: float
    purity: float
    number_draws: Floats
    completeness_draws: Floats
    purity_draws: Floats


@dataclass(frozen=True)
class Doubts:
    """What is not known of the labels, the same for all bins: float64 arrays (DRAWS,).

    Attributes
    ----------
    factors : of contaminants on the sky, relative to labels; lognormal.
    wrong : share of the class asked for that is labelled as something else.
    """

    factors: Floats
    wrong: Floats

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Doubts":
        """Draw them."""
        factors = CONTAMINATION_FACTOR ** rng.standard_normal(DRAWS)
        return cls(factors, rng.uniform(0.0, WRONG_LABELS, DRAWS))


def unfold(selection: Selection, doubts: Doubts, rng: np.random.Generator) -> Unfolded:
    """Solve for the true number of the class asked for, with its uncertainty.

    The draws vary the rows of M (Dirichlet, a prior of one source spread over all outcomes), the
    selected numbers (Poisson: gamma of n + 1/2) and the doubts. The number itself is the solution
    with the counts as they are and half of `WRONG_LABELS`; none is below 0.
    """
    target, k = selection.target, len(selection.selected)
    rest = selection.labelled - selection.matrix.sum(axis=1)
    outcomes = np.concatenate([selection.matrix, rest[:, None]], axis=1)
    chances = np.stack([rng.dirichlet(row + 1.0 / (k + 1), DRAWS) for row in outcomes], axis=1)
    matrices = _doubted(chances[:, :, :k], selection, doubts.factors, doubts.wrong)
    selected = rng.gamma(selection.selected + 0.5, 1.0, (DRAWS, k))
    number = _solve(matrices, selected, target)
    share = selection.matrix / np.maximum(selection.labelled, 1)[:, None]
    likely = _doubted(share[None], selection, np.ones(1), np.full(1, WRONG_LABELS / 2))
    best = _solve(likely, selection.selected[None].astype(np.float64), target)
    completeness = matrices[:, target, target]
    return Unfolded(
        float(best[0]),
        float(share[target, target]),
        float(_purity(best, share[target, target], selection.selected[target])[0]),
        number,
        completeness,
        _purity(number, completeness, selected[:, target]),
    )


def _doubted(matrices: Floats, selection: Selection, factors: Floats, wrong: Floats) -> Floats:
    """Change how often others are selected as the class asked for; (draws, k, k) with (draws,)."""
    target, k = selection.target, len(selection.labelled)
    found = matrices[:, target, target]
    passing = selection.labelled[target] * found * wrong / (k - 1)
    by_label = passing[:, None] / np.maximum(selection.labelled, 1)
    changed = np.clip((matrices[:, :, target] - by_label) * factors[:, None], 0.0, 1.0)
    changed[:, target] = found
    doubted = matrices.copy()
    doubted[:, :, target] = changed
    return doubted


def _solve(matrices: Floats, selected: Floats, target: int) -> Floats:
    """Solve M^T N = n for each of several M; NaN where a class is never selected."""
    transposed = np.swapaxes(matrices, 1, 2)
    singular = np.abs(np.linalg.det(transposed)) < 1e-12
    transposed = np.where(singular[:, None, None], np.eye(matrices.shape[1]), transposed)
    solved = np.linalg.solve(transposed, selected[:, :, None])[:, target, 0]
    return np.where(singular, np.nan, np.maximum(solved, 0.0))


def _purity(number: Floats, completeness: Floats | float, selected: Floats | float) -> Floats:
    share = number * completeness / np.maximum(selected, 1e-9)
    return np.asarray(np.clip(share, 0.0, 1.0))
