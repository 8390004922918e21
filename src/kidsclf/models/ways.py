"""What answers in the place of a trained network, and what it is told of sources.

One way in float32, and one that rounds where that is asked for: of a folded model (``fold``), of
what follows tables of photometry, on Keras or on OpenVINO.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import keras
from keras import layers
from numpy.typing import NDArray

from kidsclf.models.backend import Backend, Precision, has_accelerator
from kidsclf.models.feng import HEAD_WIDTHS, IMAGE_VECTOR, PHOTOMETRY, PROBABILITIES, STAMPS
from kidsclf.models.fold import fold
from kidsclf.models.network import Photometry, Stamps
from kidsclf.models.neural import inputs_of
from kidsclf.models.photometry_tables import PhotometryTables, can_be_tabulated
from kidsclf.models.rounded_tables import RoundedTables
from kidsclf.models.tiled_network import TiledNetwork
from kidsclf.models.unpacking import named, reading_codes

_SUMS, _TOLD = "photometry_sums", "photometry_told"


class Engine(Protocol):
    """What answers a batch: a Keras model, or what stands in its place."""

    def predict_on_batch(self, batch: Mapping[str, NDArray[Any]]) -> Any:
        """Answer arrays (n, ...) by name with probabilities (n, classes)."""
        ...


@dataclass(frozen=True)
class Way:
    """What answers, and what it is told of sources, by the names of its inputs."""

    engine: Engine
    inputs: Callable[[Photometry, Stamps | None], dict[str, NDArray[Any]]]

    @cached_property
    def of_codes(self) -> Engine:
        """The same as it is shown packed stamps, which OpenVINO unpacks by itself."""
        is_keras = isinstance(self.engine, keras.Model)
        return reading_codes(self.engine) if is_keras else self.engine


def ways_to_answer(
    model: keras.Model, precision: Precision, threads: int, backend: Backend
) -> tuple[Way, Way | None]:
    """Make ready what answers in float32, and what does in a lower precision if that is wanted.

    Parameters
    ----------
    model : keras.Model
        As it was trained.
    precision : {"float32", "bfloat16"}
    threads : int
        Of the tables and of OpenVINO.
    backend : {"tensorflow", "jax", "torch", "openvino"}
        Ready to use.
    """
    # With an accelerator products are cheap, and what is looked up would have to be carried.
    on_processor = not has_accelerator(backend)
    tables = PhotometryTables.of(model) if on_processor and can_be_tabulated(model) else None
    ways = _on_openvino if backend == "openvino" else _on_keras
    return ways(model, tables, precision, threads)


def _on_keras(
    model: keras.Model, tables: PhotometryTables | None, precision: Precision, threads: int
) -> tuple[Way, Way | None]:
    exact = _way(model, "float32", tables, threads)
    if precision == "float32":
        return exact, None
    fewer = _rounded(model, tables)
    if fewer is None:
        return exact, _way(model, precision, tables, threads)
    if TiledNetwork.can_answer(model):
        return exact, _by_tiles(model, fewer, threads)
    return exact, _after_rounded_tables(model, fewer, precision, threads)


def _on_openvino(
    model: keras.Model, tables: PhotometryTables | None, precision: Precision, threads: int
) -> tuple[Way, Way | None]:
    """Let OpenVINO answer; it rounds by itself what Keras hands it in float32."""
    # Brings OpenVINO, which need not be installed.
    from kidsclf.models.openvino_engine import OpenvinoEngine  # noqa: PLC0415

    exact = _way(model, "float32", tables, threads)
    engine = OpenvinoEngine.of(exact.engine, threads)
    exact = replace(exact, engine=engine)
    if precision == "float32":
        return exact, None
    fewer = _rounded(model, tables)
    if fewer is None:
        return exact, replace(exact, engine=engine.rounded(precision))
    if TiledNetwork.can_answer(model):
        return exact, _by_tiles(model, fewer, threads)
    rounded = _after_rounded_tables(model, fewer, "float32", threads)
    engine = OpenvinoEngine.of(rounded.engine, threads).rounded(precision)
    return exact, replace(rounded, engine=engine)


def _rounded(model: keras.Model, tables: PhotometryTables | None) -> RoundedTables | None:
    """Round tables where that saves time (beside stamps theirs is small) and loses nothing."""
    if tables is None or STAMPS in model.input:
        return None
    return RoundedTables.of(tables)


def _way(
    model: keras.Model, precision: Precision, tables: PhotometryTables | None, threads: int
) -> Way:
    if tables is not None:
        return _after_tables(model, precision, tables, threads)
    return Way(fold(model, precision), lambda *of_sources: inputs_of(model, *of_sources))


def _after_tables(
    model: keras.Model, precision: Precision, tables: PhotometryTables, threads: int
) -> Way:
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

    return Way(built, told_of)


def _after_rounded_tables(
    model: keras.Model, tables: RoundedTables, precision: Precision, threads: int
) -> Way:
    """Build what follows the first layer of the head of a network of photometry alone."""
    told = keras.Input((HEAD_WIDTHS[0],), name=_TOLD, dtype=precision)
    built = _with_head(model, {_TOLD: told}, told, precision)
    kind = told.dtype

    def told_of(photometry: Photometry, _: Stamps | None) -> dict[str, NDArray[Any]]:
        return {_TOLD: tables.told(photometry, threads).astype(kind, copy=False)}

    return Way(built, told_of)


def _by_tiles(model: keras.Model, tables: RoundedTables, threads: int) -> Way:
    return Way(TiledNetwork.of(model, tables, threads), lambda values, _: {PHOTOMETRY: values})


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
