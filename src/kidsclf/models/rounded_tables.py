"""The tables of photometry in 16 bits and of fewer pieces, to within what bfloat16 rounds off.

Trained networks are smooth: a few dozen of the hundreds of pieces of their tables say the same to
some 1e-4. Then the tables of all magnitudes and colours fit into the second-level cache of a
processor, which the exact ones do not.
"""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kidsclf.models.compiled import cells
from kidsclf.models.compiled_pairs import SHARES, sum_pairs
from kidsclf.models.network import Photometry
from kidsclf.models.photometry_tables import PhotometryTables
from kidsclf.models.piecewise import PiecewiseLinear, thinned
from kidsclf.models.threads import fill_in_threads
from kidsclf.models.vectors import aligned

TOLERANCE = 2.0**-12
"""By how much fewer pieces may change what one feature says, over the usual size of the sums.

These are rounded to bfloat16 in the end, by up to 2^-9 of each."""

COARSEST = 2.0**-10
"""Of the steps, in the same units: those of a trained network are a few times finer."""

_CELLS = 512
_LARGEST, _LARGEST_SUM = 2.0**15 - 1, 2.0**31 - 1


@dataclass(frozen=True)
class RoundedTables:
    """What the head of a network of photometry alone is told, after its first ReLU.

    Its attributes are what ``compiled_pairs.sum_pairs`` takes.
    """

    centre: NDArray[np.float32]
    factor: NDArray[np.float32]
    pieces: NDArray[np.float32]
    density: NDArray[np.float32]
    before: NDArray[np.int32]
    pairs: NDArray[np.int16]
    step: np.float32
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, exact: PhotometryTables) -> "RoundedTables | None":
        """Leave out nodes of exact tables, and round what stays.

        None where that would round off more than is meant: some numbers are none, or one step of
        16 bits is coarse beside the usual sum, as where a function is steep far from all sources.
        """
        numbers = (exact.tables, exact.bias, exact.centre, exact.width)
        if not all(np.isfinite(each).all() for each in numbers):
            return None
        lines = [PiecewiseLinear(exact.nodes, each) for each in exact.tables.astype(np.float64)]
        usual = _usual_sum(lines, exact.bias)
        lines = [thinned(line, TOLERANCE * usual) for line in lines]
        middles = [(line.values.max(axis=0) + line.values.min(axis=0)) / 2 for line in lines]
        apart = [line.values - middle for line, middle in zip(lines, middles, strict=True)]
        entry = _entry([np.abs(each).max(axis=0) for each in apart])
        if entry > COARSEST * usual:
            return None
        entry = entry or 1.0  # of a network that says the same of every source
        starts = np.cumsum([0, *(len(line.nodes) - 1 for line in lines[:-1])])
        before = [cells(line.nodes, _CELLS) + at for line, at in zip(lines, starts, strict=True)]
        lengths = np.concatenate([np.diff(line.nodes) for line in lines])
        return cls(
            centre=exact.centre,
            factor=(1.0 / exact.width).astype(np.float32),
            pieces=np.concatenate([_ends(line.nodes) for line in lines]),
            density=(SHARES / lengths).astype(np.float32),
            before=np.array(before, np.int32),
            pairs=aligned(np.concatenate([_pairs(np.rint(each / entry)) for each in apart])),
            step=np.float32(entry / SHARES),
            bias=(exact.bias + np.sum(middles, axis=0)).astype(np.float32),
        )

    def told(self, photometry: Photometry, threads: int) -> NDArray[ml_dtypes.bfloat16]:
        """Say what the head's second layer is told.

        Parameters
        ----------
        photometry : float32 array (n, features)
            Magnitudes and colours; NaN where missing.
        threads : int

        Returns
        -------
        bfloat16 array (n, units)
            Not negative.
        """
        out = np.empty((len(photometry), len(self.bias)), np.uint16)
        fill_in_threads(self._fill, photometry, out, threads)
        return out.view(ml_dtypes.bfloat16)

    def _fill(self, photometry: Photometry, out: NDArray[np.uint16]) -> None:
        sum_pairs(photometry, *self.as_arguments, out)

    @property
    def as_arguments(self) -> tuple[Any, ...]:
        """What ``sum_pairs`` takes between photometry and what is filled in."""
        scaling, pieces = (self.centre, self.factor), (self.pieces, self.density, self.before)
        return (*scaling, *pieces, self.pairs, self.step, self.bias)


def _usual_sum(lines: list[PiecewiseLinear], bias: NDArray[np.float32]) -> float:
    """Give the root mean square of the sums, where features are independent and normal."""
    mean, variance = bias.astype(np.float64), np.zeros(len(bias))
    for line in lines:
        weights = np.gradient(line.nodes.astype(np.float64)) * np.exp(-0.5 * line.nodes**2.0)
        weights /= weights.sum()
        of_feature = weights @ line.values
        mean, variance = mean + of_feature, variance + weights @ (line.values - of_feature) ** 2
    return float(np.sqrt((mean**2 + variance).mean()))


def _entry(spans: list[NDArray[np.float64]]) -> float:
    """Choose the step of entries: none overflows 16 bits, and no sum of products 32."""
    largest, largest_sum = np.max(spans), np.sum(spans, axis=0).max()
    # An entry is rounded by up to half a step: half of one a feature is left for that.
    return float(max(largest / _LARGEST, largest_sum / (_LARGEST_SUM / SHARES - len(spans))))


def _ends(nodes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pair each node with the next; the last piece has no end."""
    upper = np.append(nodes[1:-1], np.float32(np.inf))
    return np.stack([nodes[:-1], upper], axis=1)


def _pairs(entries: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.stack([entries[:-1], entries[1:]], axis=2).astype(np.int16)
