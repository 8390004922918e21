"""What a training that is cut short needs to go on: names and arrays, and nothing that runs.

Keras' own checkpoints hold neither the state of the generator that orders the rows nor the weights
of the best epoch; without both, other bits would come out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kidsclf.train.sample import HistoryRow

Arrays = Mapping[str, NDArray[Any]]

_HISTORY = "history"
_GENERATOR = "generator"


class Checkpoints(Protocol):
    """Where the state of one training is kept."""

    def save(self, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
        """Keep named arrays in place of those before; they are asked for one after the other."""

    def opened(self) -> AbstractContextManager[Arrays | None]:
        """Give what was kept last; None where nothing was."""
        ...


def progress_arrays(
    history: Sequence[HistoryRow], generator: np.random.Generator
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Write down how far a training has come and what is drawn next."""
    yield _HISTORY, np.array([astuple(row) for row in history], np.float64)
    yield _GENERATOR, np.array(json.dumps(generator.bit_generator.state))


def read_history(arrays: Arrays) -> list[HistoryRow]:
    """Read the epochs that ``progress_arrays`` wrote down."""
    return [HistoryRow(int(epoch), *map(float, row)) for epoch, *row in arrays[_HISTORY]]


def restore_generator(arrays: Arrays, generator: np.random.Generator) -> None:
    """Let a generator go on where that of ``progress_arrays`` was."""
    generator.bit_generator.state = json.loads(str(arrays[_GENERATOR]))


def numbered(name: str, values: Iterable[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Name arrays or variables by their order."""
    for number, value in enumerate(values):
        yield f"{name}-{number}", np.asarray(value)


def read_numbered(name: str, arrays: Arrays) -> Iterator[NDArray[Any]]:
    """Give back what ``numbered`` named, one after the other."""
    number = 0
    while f"{name}-{number}" in arrays:
        yield arrays[f"{name}-{number}"]
        number += 1
