"""What is asked of a run's scores: which classes, bins, thresholds and colours."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kidsclf.config import ReduceSettings
from kidsclf.errors import ConfigError

UNCLASSIFIED = "UNCLASSIFIED"
"""What is predicted where the network gave no class; it counts as a wrong answer."""

ALL = "ALL"
"""Class name of rows that hold the sources of every class."""

POOLED = -1
"""Fold number of rows that pool all folds, and of labels that belong to none."""


@dataclass(frozen=True)
class Context:
    """What the reductions of one run ask for.

    Attributes
    ----------
    classes : tuple of str
        In the order of the network's probabilities.
    training_sample : str
        Of this sample only the test sources count; of any other, all.
    magnitude_edges : tuple of float
        Ascending; a bin is ``low < r <= high`` (Feng's 22 < r <= 23).
    thresholds : tuple of float
        Of p_max, ascending.
    wanted_purity, wanted_completeness : tuple of float
        For which the probability to cut at is named, ascending.
    gallery : int
        Sources per class and kind.
    colours : two pairs of bands
        Abscissa and ordinate of the colour-colour diagram.
    quasar_class : str
        The class whose surface density is given.
    """

    classes: tuple[str, ...]
    training_sample: str
    magnitude_edges: tuple[float, ...]
    thresholds: tuple[float, ...]
    wanted_purity: tuple[float, ...] = ()
    wanted_completeness: tuple[float, ...] = ()
    gallery: int = 8
    colours: tuple[tuple[str, str], tuple[str, str]] = (("g", "r"), ("r", "i"))
    quasar_class: str = "QSO"

    @property
    def predicted_classes(self) -> tuple[str, ...]:
        """Everything that can be predicted: the classes, then `UNCLASSIFIED`."""
        return (*self.classes, UNCLASSIFIED)

    @property
    def slots(self) -> int:
        """Number of values of `magnitude_slots`."""
        return len(self.magnitude_edges) + 1

    @property
    def bins(self) -> tuple[tuple[int, float, float], ...]:
        """List the magnitude bins as (slot, low, high)."""
        pairs = itertools.pairwise(self.magnitude_edges)
        return tuple((slot, low, high) for slot, (low, high) in enumerate(pairs, start=1))


def context_of(
    settings: ReduceSettings, *, classes: tuple[str, ...], training_sample: str
) -> Context:
    """Derive what is asked from the settings.

    Raises
    ------
    ConfigError
        When the magnitudes leave no bin.
    """
    return Context(
        classes=classes,
        training_sample=training_sample,
        magnitude_edges=_magnitude_edges(settings),
        thresholds=tuple(sorted(set(settings.thresholds))),
        wanted_purity=tuple(sorted(set(settings.wanted_purity))),
        wanted_completeness=tuple(sorted(set(settings.wanted_completeness))),
        gallery=settings.gallery,
    )


def _magnitude_edges(settings: ReduceSettings) -> tuple[float, ...]:
    """Count steps from the bright end; the last bin stops at the faint end."""
    low, high, step = settings.magnitude_low, settings.magnitude_high, settings.magnitude_step
    if not low < high:
        raise ConfigError(
            f"reduce.magnitude_low = {low} is not brighter than reduce.magnitude_high = {high}; "
            f"leave room for at least one bin"
        )
    whole_steps = int((high - low) / step * (1.0 - 1e-9))
    return (*(round(low + step * k, 9) for k in range(whole_steps + 1)), high)


def magnitude_slots(magnitude: NDArray[np.float32], context: Context) -> NDArray[np.int64]:
    """Sort magnitudes into bins.

    Returns
    -------
    int64 array (n,)
        Slot k >= 1 is ``edges[k-1] < r <= edges[k]``; slot 0 is at or brighter than the first
        edge; the last slot is fainter than the last edge or not measured.

    Examples
    --------
    >>> context = Context(("A",), "s", (20.0, 21.0, 22.0), ())
    >>> magnitude_slots(np.array([20, 20.5, 21, 22.5, np.nan], np.float32), context).tolist()
    [0, 1, 1, 3, 3]
    """
    slots = np.searchsorted(np.array(context.magnitude_edges), magnitude, side="left")
    return slots.astype(np.int64)


def ordered_samples(samples: Iterable[str], context: Context) -> list[str]:
    """List sample names: the training sample, then the others by name."""
    return sorted(samples, key=lambda name: (name != context.training_sample, name))
