"""How often do the bounds of unfolded numbers hold the truth of simulated bins?"""

import argparse
from collections.abc import Sequence

import numpy as np

from kidsclf.reduce.unfolding import WRONG_LABELS, Doubts, Selection, unfold

BINS = 500
SKY = np.array([1500, 240, 6000])
LABELLED = np.array([100, 190, 400])
"""Stars, quasars, galaxies. Quasars are 3 % of the sky and 28 % of the labels."""
CHANCES = np.array([[0.97, 0.004, 0.02], [0.02, 0.8, 0.1], [0.01, 0.005, 0.98]])
"""Selected as each class, by true class; the rest as nothing."""
TWICE_AS_COMMON = np.array([*CHANCES[:2], [0.01, 0.01, 0.975]])
"""Galaxies of the sky pass for quasars twice as often as labelled ones."""

_DOUBTS = Doubts.drawn(np.random.default_rng(0))


def simulated(seed: int, sky=CHANCES, labels=CHANCES, wrong: float = WRONG_LABELS / 2) -> Selection:
    """Draw one bin; ``wrong`` of the labelled quasars have the label of another class."""
    rng = np.random.default_rng(seed)

    def counts(numbers, chances):
        rest = 1.0 - chances.sum(axis=1, keepdims=True)
        return rng.multinomial(numbers, np.concatenate([chances, rest], axis=1))[:, :3]

    true = rng.poisson(SKY)
    matrix = counts(LABELLED, labels)
    mistaken = rng.binomial(LABELLED[1], [wrong / 2, 0, wrong / 2])
    moved = counts(mistaken, np.tile(labels[1], (3, 1)))
    labelled = LABELLED + mistaken - [0, mistaken.sum(), 0]
    matrix += moved
    matrix[1] -= moved.sum(axis=0)
    return Selection(1, counts(true, sky).sum(axis=0), labelled, matrix)


def coverage(selections: list[Selection], share: float = 0.68) -> float:
    """Say how often the central part of the draws holds the number that the sky was drawn from."""
    held = 0
    for seed, selection in enumerate(selections):
        draws = unfold(selection, _DOUBTS, np.random.default_rng(seed)).number_draws
        low, high = np.percentile(draws, [50 - 50 * share, 50 + 50 * share])
        held += low <= SKY[1] <= high
    return held / len(selections)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for what labels promise, and for each way in which they mislead."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    cases = {
        "as the labels say, 1.5 % labelled wrongly": {},
        "no label wrong": {"wrong": 0.0},
        "contaminants twice as common": {"sky": TWICE_AS_COMMON},
    }
    for name, case in cases.items():
        selections = [simulated(seed, **case) for seed in range(BINS)]
        numbers = [unfold(each, _DOUBTS, np.random.default_rng(1)).number for each in selections]
        print(
            f"{name}: the central 68 % hold the truth in {coverage(selections):.0%} of {BINS} bins,"
            f" mean of estimate / truth - 1: {np.mean(numbers) / SKY[1] - 1:+.0%}"
        )


if __name__ == "__main__":
    main()
