"""A trained network, whatever it is made of: numbers in, probabilities out."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kidsclf.models.description import InputDescription
from kidsclf.models.table import NetworkEntry
from kidsclf.schema import PackedStamps

Photometry = NDArray[np.float32]
Stamps = NDArray[np.float32] | PackedStamps
"""Packed ones only a ``FoldedNetwork`` takes, whose first step unpacks them."""
Probabilities = NDArray[np.float32]

ROWS_WITHOUT_STAMPS = 8
"""A source without a stamp is small, so batches hold this many times as many of them."""


class Answering(Protocol):
    """What can be asked about sources."""

    @property
    def description(self) -> InputDescription:
        """The data that it reads."""
        ...

    def predict(
        self, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        """Say the probability of each class, as ``Network`` has it."""
        ...


class Network(ABC):
    """What can be asked of every trained network.

    Attributes
    ----------
    entry : NetworkEntry
    description : InputDescription
        The data that it was trained on.
    """

    def __init__(self, entry: NetworkEntry, description: InputDescription) -> None:
        self.entry = entry
        self.description = description

    @abstractmethod
    def predict(
        self, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        """Say the probability of each class.

        Parameters
        ----------
        photometry : float32 array (n, 2 bands - 1)
            Magnitudes and colours; NaN where missing.
        stamps : float32 array (n, size, size, image bands) or None
            Maggies, finite; None for a network of photometry alone.
        batch_size : int
            Rows computed at once. The same for all, the answer for a row does not depend on
            the rows around it.

        Returns
        -------
        float32 array (n, classes)
            Within [0, 1], each row summing to 1.
        """

    @abstractmethod
    def write(self, directory: Path) -> None:
        """Write the model file into a directory that exists."""

    @property
    @abstractmethod
    def parameters(self) -> int | None:
        """Numbers that training adjusts or measures; None where that is no measure of size."""

    @property
    @abstractmethod
    def multiply_adds(self) -> int | None:
        """Multiplications that one source costs; None where there are few."""


def pad_rows(rows: NDArray[Any], batch_size: int) -> NDArray[Any]:
    """Fill a last batch up with zeros, so that every batch has the same shape.

    A backend compiles for a shape, and chooses the order of its sums by it.

    >>> pad_rows(np.ones((1, 2), np.float32), 2).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    if len(rows) == batch_size:
        return rows
    padded = np.zeros((batch_size, *rows.shape[1:]), dtype=rows.dtype)
    padded[: len(rows)] = rows
    return padded
