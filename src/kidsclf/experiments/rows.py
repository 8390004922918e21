"""Which labelled sources teach, choose and judge in a row of an experiment."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.config import TrainSettings
from kidsclf.experiments.variants import Variant
from kidsclf.schema import SPLITS
from kidsclf.train.split import split_of

FEWEST = 10
"""Training sources of a class below which a row is not answered: fewer teach chance alone."""

_TRAIN, _VALIDATION, _TEST = SPLITS


@dataclass(frozen=True)
class ChosenRows:
    """Row numbers of a labelled sample (int64 arrays, ascending)."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_for(names: Iterable[object], settings: TrainSettings, number: int) -> NDArray[np.str_]:
    """Say which sources train, validate and test for a seed, str array (n,).

    Seed 0 has the run's own split; each other seed draws one of its own, by the hash of its number
    and the source's name. So the spread over seeds is that of networks and samples together.
    """
    keys = names if number == 0 else (f"{number} {name}" for name in names)
    return split_of(
        keys,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
    )


def choose_rows(
    split: NDArray[np.str_], magnitude: NDArray[np.float32], variant: Variant, seed: int
) -> ChosenRows:
    """Choose the sources of a variant.

    Parameters
    ----------
    split : str array (n,)
    magnitude : float32 array (n,)
        Of the reference band; NaN where not measured.
    variant : Variant
        The validation sample is of the training range. A drawn training sample holds the sources
        of every smaller one of the same seed.
    seed : int
        Of the draw.
    """
    taught, judged = variant.train.holds(magnitude), variant.test.holds(magnitude)
    train = np.flatnonzero((split == _TRAIN) & taught)
    if variant.train_rows is not None:
        drawn = np.random.default_rng(seed).permutation(len(train))[: variant.train_rows]
        train = np.sort(train[drawn])
    return ChosenRows(
        train,
        np.flatnonzero((split == _VALIDATION) & taught),
        np.flatnonzero((split == _TEST) & judged),
    )


def why_not(
    rows: ChosenRows, codes: NDArray[np.int64], classes: tuple[str, ...], variant: Variant
) -> str:
    """Say why a variant cannot be answered with these sources; an empty string if it can.

    Examples
    --------
    >>> few = ChosenRows(np.arange(30), np.array([30]), np.array([31]))
    >>> why_not(few, np.arange(32) % 3 // 2, ("STAR", "QSO"), Variant("all", "all"))
    ''
    >>> why_not(few, np.zeros(32, np.int64), ("STAR", "QSO"), Variant("all", "all"))
    'its training sample of 30 sources holds 0 of the class QSO, and 10 are the least'
    """
    if variant.train_rows is not None and len(rows.train) < variant.train_rows:
        return (
            f"{variant.train_rows:,} training sources are asked for, but the sample has "
            f"{len(rows.train):,}"
        )
    counts = np.bincount(codes[rows.train], minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < FEWEST:
            return (
                f"its training sample of {len(rows.train):,} sources holds {count} of the class "
                f"{name}, and {FEWEST} are the least"
            )
    for what, some in (("validation", rows.validation), ("test", rows.test)):
        if len(some) == 0:
            return f"its {what} sample is empty"
    return ""
