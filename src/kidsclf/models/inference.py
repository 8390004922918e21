"""A trained network as it answers in the stage ``infer``: folded, tabulated, in one batch shape."""

import logging
import threading
from typing import final

import keras
import numpy as np
from numpy.typing import NDArray

from kidsclf.models.backend import Backend, Precision, is_out_of_memory
from kidsclf.models.compiled import lead_rows
from kidsclf.models.description import InputDescription
from kidsclf.models.network import (
    ROWS_WITHOUT_STAMPS,
    Photometry,
    Probabilities,
    Stamps,
    pad_rows,
)
from kidsclf.models.neural import NeuralNetwork
from kidsclf.models.tiled_network import TiledNetwork
from kidsclf.models.ways import Way, ways_to_answer
from kidsclf.schema import PackedStamps

_log = logging.getLogger(__name__)

CLOSE_CALL = 0.05
"""Where the two largest probabilities differ by less, a rounded answer is not trusted."""

_CLOSE_ROWS = 64
"""Close calls asked at once; they are few."""
_FEWEST_ROWS = 16
"""A batch is not halved below this: who has no memory for so few has none for the network."""


@final
class FoldedNetwork:
    """What says for less what a trained Keras model says.

    Attributes
    ----------
    description : InputDescription
    """

    def __init__(self, description: InputDescription, exact: Way, rounded: Way | None) -> None:
        self.description = description
        self._exact = exact
        self._rounded = rounded
        self._halvings = 0
        self._halving = threading.Lock()

    @classmethod
    def of(
        cls,
        network: NeuralNetwork,
        precision: Precision,
        threads: int,
        backend: Backend | None = None,
    ) -> "FoldedNetwork":
        """Make a trained network ready to answer.

        Parameters
        ----------
        network : NeuralNetwork
        precision : {"float32", "bfloat16"}
            Of the products in most layers (``fold``). Sources whose answer is close
            (``CLOSE_CALL``) are asked again in float32.
        threads : int
            Of the tables and of OpenVINO; those of Keras are fixed by ``prepare_backend``.
        backend : {"tensorflow", "jax", "torch", "openvino"}, optional
            That is to answer, and is ready; by default what Keras runs on.
        """
        answering = backend or keras.config.backend()
        return cls(
            network.description, *ways_to_answer(network.model, precision, threads, answering)
        )

    @property
    def by_tiles(self) -> bool:
        """Whether only close calls are asked of the backend."""
        return self._rounded is not None and isinstance(self._rounded.engine, TiledNetwork)

    def predict(
        self, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        """Say the probability of each class, in padded batches of one shape."""
        times = 1 if stamps is not None else ROWS_WITHOUT_STAMPS
        rows, close_rows = times * batch_size, times * _CLOSE_ROWS
        if self._rounded is None:
            return self._answer(self._exact, photometry, stamps, rows)
        probabilities = self._answer(self._rounded, photometry, stamps, rows)
        close = np.flatnonzero(_lead(probabilities) < CLOSE_CALL)
        asked_again = photometry[close], None if stamps is None else stamps[close]
        probabilities[close] = self._answer(self._exact, *asked_again, close_rows)
        return probabilities

    def _answer(
        self, way: Way, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        """Answer; where the memory of a card that others share runs out, in smaller batches.

        They stay so for the rest of the process. Sums of another order may differ in last bits.
        """
        while True:
            tried = self._halvings
            rows = max(batch_size >> tried, min(batch_size, _FEWEST_ROWS))
            try:
                return self._in_batches(way, photometry, stamps, rows)
            except Exception as error:
                if rows <= _FEWEST_ROWS or not is_out_of_memory(error):
                    raise
            with self._halving:
                # Threads whose batches failed together found the same memory short: halve it once.
                if self._halvings == tried:
                    self._halvings += 1
                    _log.warning("no memory for batches of %d sources, halved from here on", rows)

    def _in_batches(
        self, way: Way, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        shape = (len(photometry), len(self.description.classes))
        probabilities = np.empty(shape, dtype=np.float32)
        engine = way.of_codes if isinstance(stamps, PackedStamps) else way.engine
        for start in range(0, len(photometry), batch_size):
            rows = slice(start, start + batch_size)
            inputs = way.inputs(photometry[rows], None if stamps is None else stamps[rows])
            batch = {name: pad_rows(values, batch_size) for name, values in inputs.items()}
            answer = engine.predict_on_batch(batch)
            probabilities[rows] = answer[: len(probabilities[rows])]
        return probabilities


def _lead(probabilities: Probabilities) -> NDArray[np.float32]:
    """By how much the most probable class is ahead of the next."""
    leads = np.empty(len(probabilities), np.float32)
    lead_rows(probabilities, leads)
    return leads
