"""Several networks of one kind that answer as one: the median of what they say, renormalised."""

from collections.abc import Sequence
from typing import Generic, TypeVar, final

import numpy as np

from kidsclf.models.description import InputDescription
from kidsclf.models.network import Answering, Photometry, Probabilities, Stamps

Member = TypeVar("Member", bound=Answering)


def agree(answers: Sequence[Probabilities]) -> Probabilities:
    """Take the median of each class's probability, and bring their sum to 1.

    Parameters
    ----------
    answers : sequence of float32 arrays (n, classes)
        One a member; NaN where it could say nothing.

    Returns
    -------
    float32 array (n, classes)
        Where the median of each class is 0, so that nothing can be renormalised, the mean.

    Examples
    --------
    >>> said = [np.array([[p, 1 - p]], np.float32) for p in (0.5, 0.75, 0.0)]
    >>> agree(said).tolist()
    [[0.5, 0.5]]
    """
    stacked = np.stack(answers)
    median = np.median(stacked, axis=0)
    total = median.sum(axis=1, keepdims=True)
    possible = total > 0
    renormalised = median / np.where(possible, total, 1.0)
    return np.where(possible, renormalised, stacked.mean(axis=0)).astype(np.float32)


def member_folder(number: int) -> str:
    """Name the folder of a member in that of its committee."""
    return f"member-{number}"


@final
class Committee(Generic[Member]):
    """Networks that are asked one after the other."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)

    @property
    def description(self) -> InputDescription:
        """The data that all of them read."""
        return self.members[0].description

    def predict(
        self, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        """Say the probability of each class, as ``Network`` has it."""
        return agree([each.predict(photometry, stamps, batch_size) for each in self.members])
