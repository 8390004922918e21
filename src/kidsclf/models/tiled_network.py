"""A network of photometry that answers by rounded tables and by tiles, where a processor has them.

What follows the tables is small: of the 0.9 us that it took of a source as a Keras model the
products were less than half. Sums are of float32; what a layer says is rounded to bfloat16 once,
with its bias added, where Keras rounds before and after. The last kernel is in two halves of
bfloat16, and so rounded less than float32 sums round.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kidsclf.models.compiled_head import MOST_CLASSES, ROWS, answer_rows, halves
from kidsclf.models.feng import HEAD_WIDTHS, PHOTOMETRY, PROBABILITIES
from kidsclf.models.network import Photometry, Probabilities
from kidsclf.models.rounded_tables import RoundedTables
from kidsclf.models.threads import fill_in_threads
from kidsclf.models.tiles import SIDE, configuration, have_tiles, packed
from kidsclf.models.vectors import room

_Layer = tuple[NDArray[Any], NDArray[np.float32]]


@dataclass(frozen=True)
class TiledNetwork:
    """What answers in the place of a Keras model of photometry alone.

    Attributes
    ----------
    tables : RoundedTables
        They end with the first layer of the head.
    layers : tuple of (kernel, bias)
        The rest of the head, kernels as of ``tiles.packed``.
    last : (kernel, bias)
        The kernel in two halves (``halves``).
    threads : int
    """

    tables: RoundedTables
    layers: tuple[_Layer, ...]
    last: _Layer
    threads: int

    @staticmethod
    def can_answer(model: keras.Model) -> bool:
        """Say whether this machine has tiles, and they have room for the classes of a model."""
        return have_tiles() and model.output.shape[-1] <= MOST_CLASSES

    @classmethod
    def of(cls, model: keras.Model, tables: RoundedTables, threads: int) -> "TiledNetwork":
        """Take the weights of a trained model's head."""
        weights = [model.get_layer(f"head_{width}").get_weights() for width in HEAD_WIDTHS[1:]]
        kernel, bias = model.get_layer(PROBABILITIES).get_weights()
        return cls(
            tables,
            tuple((packed(each), np.asarray(its_bias, np.float32)) for each, its_bias in weights),
            (packed(halves(kernel)), np.asarray(bias, np.float32)),
            threads,
        )

    def predict_on_batch(self, batch: Mapping[str, Photometry]) -> Probabilities:
        """Answer the photometry of a batch, float32 (n, features), NaN where missing."""
        photometry = batch[PHOTOMETRY]
        out = np.empty((len(photometry), len(self.last[1])), np.float32)
        fill_in_threads(self._fill, photometry, out, self.threads)
        return out

    def _fill(self, photometry: Photometry, out: Probabilities) -> None:
        rooms = [room((ROWS, width), np.uint16) for width in HEAD_WIDTHS]
        weights = self.tables.as_arguments, self.layers, self.last
        sums = room((SIDE, SIDE), np.float32)
        answer_rows(photometry, *weights, (*rooms, sums), configuration(), out)
