"""A trained network as it answers in the stage ``infer``: folded, tabulated, in one batch shape."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, final

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from kidsclf.models.backend import (
    Backend,
    Precision,
    has_accelerator,
    is_out_of_memory,
)
from kidsclf.models.description import InputDescription
from kidsclf.models.feng import HEAD_WIDTHS, IMAGE_VECTOR, PROBABILITIES, STAMPS
from kidsclf.models.fold import fold
from kidsclf.models.network import Photometry, Probabilities, Stamps, pad_rows
from kidsclf.models.neural import NeuralNetwork, inputs_of
from kidsclf.models.photometry_tables import PhotometryTables, can_be_tabulated
from kidsclf.models.rounded_tables import RoundedTables, can_be_rounded
from kidsclf.models.unpacking import named, reading_codes
from kidsclf.schema import PackedStamps

_log = logging.getLogger(__name__)

CLOSE_CALL = 0.05
"""Where the two largest probabilities differ by less, a rounded answer is not trusted."""

_SUMS, _TOLD = "photometry_sums", "photometry_told"
_CLOSE_ROWS = 64
"""Close calls asked at once; they are few."""
_FEWEST_ROWS = 16
"""A batch is not halved below this: who has no memory for so few has none for the network."""
_ROWS_WITHOUT_STAMPS = 8
"""A source without a stamp is small, so batches hold this many times as many of them."""


class Engine(Protocol):
    """What answers a batch: a Keras model, or what stands in its place."""

    def predict_on_batch(self, batch: Mapping[str, NDArray[Any]]) -> Any:
        """Answer arrays (n, ...) by name with probabilities (n, classes)."""
        ...


@dataclass(frozen=True)
class _Way:
    """What answers, and what it is told of sources, by the names of its inputs."""

    engine: Engine
    inputs: Callable[[Photometry, Stamps | None], dict[str, NDArray[Any]]]

    @cached_property
    def of_codes(self) -> Engine:
        """The same as it is shown packed stamps, which OpenVINO unpacks by itself."""
        is_keras = isinstance(self.engine, keras.Model)
        return reading_codes(self.engine) if is_keras else self.engine


@final
class FoldedNetwork:
    """A Keras model that says what the trained one says, for less.

    Attributes
    ----------
    description : InputDescription
    """

    def __init__(self, description: InputDescription, exact: _Way, rounded: _Way | None) -> None:
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
        model, answering = network.model, backend or keras.config.backend()
        # With an accelerator products are cheap, and what is looked up would have to be carried.
        on_processor = not has_accelerator(answering)
        tables = PhotometryTables.of(model) if on_processor and can_be_tabulated(model) else None
        ways = _on_openvino if answering == "openvino" else _on_keras
        return cls(network.description, *ways(model, tables, precision, threads))

    def predict(
        self, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        """Say the probability of each class, in padded batches of one shape."""
        times = 1 if stamps is not None else _ROWS_WITHOUT_STAMPS
        rows, close_rows = times * batch_size, times * _CLOSE_ROWS
        if self._rounded is None:
            return self._answer(self._exact, photometry, stamps, rows)
        probabilities = self._answer(self._rounded, photometry, stamps, rows)
        close = np.flatnonzero(_lead(probabilities) < CLOSE_CALL)
        asked_again = photometry[close], None if stamps is None else stamps[close]
        probabilities[close] = self._answer(self._exact, *asked_again, close_rows)
        return probabilities

    def _answer(
        self, way: _Way, photometry: Photometry, stamps: Stamps | None, batch_size: int
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
        self, way: _Way, photometry: Photometry, stamps: Stamps | None, batch_size: int
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
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def _on_keras(
    model: keras.Model, tables: PhotometryTables | None, precision: Precision, threads: int
) -> tuple[_Way, _Way | None]:
    exact = _way(model, "float32", tables, threads)
    if precision == "float32":
        return exact, None
    if tables is None or not _has_time_for_rounded(model, tables):
        return exact, _way(model, precision, tables, threads)
    return exact, _after_rounded_tables(model, RoundedTables.of(tables), precision, threads)


def _on_openvino(
    model: keras.Model, tables: PhotometryTables | None, precision: Precision, threads: int
) -> tuple[_Way, _Way | None]:
    """Let OpenVINO answer; it rounds by itself what Keras hands it in float32."""
    # Brings OpenVINO, which need not be installed.
    from kidsclf.models.openvino_engine import OpenvinoEngine  # noqa: PLC0415

    exact = _way(model, "float32", tables, threads)
    engine = OpenvinoEngine.of(exact.engine, threads)
    exact = replace(exact, engine=engine)
    if precision == "float32":
        return exact, None
    if tables is None or not _has_time_for_rounded(model, tables):
        return exact, replace(exact, engine=engine.rounded(precision))
    fewer = _after_rounded_tables(model, RoundedTables.of(tables), "float32", threads)
    rounded = OpenvinoEngine.of(fewer.engine, threads).rounded(precision)
    return exact, replace(fewer, engine=rounded)


def _has_time_for_rounded(model: keras.Model, tables: PhotometryTables) -> bool:
    """Say whether tables of fewer pieces save time: beside stamps that of tables is small."""
    return STAMPS not in model.input and can_be_rounded(tables)


def _way(
    model: keras.Model, precision: Precision, tables: PhotometryTables | None, threads: int
) -> _Way:
    if tables is not None:
        return _after_tables(model, precision, tables, threads)
    return _Way(fold(model, precision), lambda *of_sources: inputs_of(model, *of_sources))


def _after_tables(
    model: keras.Model, precision: Precision, tables: PhotometryTables, threads: int
) -> _Way:
    """Build what follows when the tables have said what the head is told of photometry."""
    sums = keras.Input((HEAD_WIDTHS[0],), name=_SUMS)
    inputs, values = {_SUMS: sums}, sums
    if STAMPS in model.input:
        branch = keras.Model({STAMPS: model.input[STAMPS]}, model.get_layer(IMAGE_VECTOR).output)
        inputs[STAMPS] = keras.Input(model.input[STAMPS].shape[1:], name=STAMPS)
        vector = fold(branch, precision)({STAMPS: inputs[STAMPS]})
        told = layers.Dense(HEAD_WIDTHS[0], use_bias=False, dtype=precision, name=_head(0))
        values = layers.Add(dtype="float32")([sums, told(vector)])
    values = layers.Activation("relu", dtype="float32")(values)
    built = _with_head(model, inputs, values, precision)
    if STAMPS in model.input:
        kernel = model.get_layer(_head(0)).get_weights()[0]
        of_image = model.get_layer(IMAGE_VECTOR).output.shape[-1]
        built.get_layer(_head(0)).set_weights([kernel[-of_image:]])

    def told_of(photometry: Photometry, stamps: Stamps | None) -> dict[str, NDArray[Any]]:
        return {_SUMS: tables.sums(photometry, threads), **named(stamps)}

    return _Way(built, told_of)


def _after_rounded_tables(
    model: keras.Model, tables: RoundedTables, precision: Precision, threads: int
) -> _Way:
    """Build what follows the first layer of the head of a network of photometry alone."""
    told = keras.Input((HEAD_WIDTHS[0],), name=_TOLD, dtype=precision)
    built = _with_head(model, {_TOLD: told}, told, precision)
    kind = told.dtype

    def told_of(photometry: Photometry, _: Stamps | None) -> dict[str, NDArray[Any]]:
        return {_TOLD: tables.told(photometry, threads).astype(kind, copy=False)}

    return _Way(built, told_of)


def _with_head(
    model: keras.Model, inputs: dict[str, Any], values: Any, precision: Precision
) -> keras.Model:
    """Let the layers of a model's head after the first, with their weights, follow ``values``."""
    for place in range(1, len(HEAD_WIDTHS)):
        values = layers.Dense(
            HEAD_WIDTHS[place], activation="relu", dtype=precision, name=_head(place)
        )(values)
    probabilities = layers.Dense(
        model.output.shape[-1], activation="softmax", dtype="float32", name=PROBABILITIES
    )(values)
    built = keras.Model(inputs, probabilities)
    for name in [*map(_head, range(1, len(HEAD_WIDTHS))), PROBABILITIES]:
        built.get_layer(name).set_weights(model.get_layer(name).get_weights())
    return built


def _head(place: int) -> str:
    return f"head_{HEAD_WIDTHS[place]}"
