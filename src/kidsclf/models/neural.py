"""A trained Keras network, its cost, and its file."""

import json
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, final

import keras
import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.models import layers as own_layers
from kidsclf.models.description import InputDescription
from kidsclf.models.feng import PHOTOMETRY, STAMPS
from kidsclf.models.network import Network, Photometry, Probabilities, Stamps, pad_rows
from kidsclf.models.table import NetworkEntry
from kidsclf.models.unpacking import named

FILE_NAME = "model.keras"

_OWN = {
    f"{own_layers.PACKAGE}>{layer.__name__}"
    for layer in (
        own_layers.Standardise,
        own_layers.AsinhStretch,
        own_layers.Channel,
        own_layers.Quadrant,
    )
}
# What a file may name. Lambda, TFSMLayer, TorchModuleWrapper and the like run code of the file.
_KERAS = frozenset({
    "Functional", "InputLayer", "Dense", "Conv2D", "AveragePooling2D", "BatchNormalization",
    "Activation", "Add", "Concatenate", "Flatten", "Reshape", "L2", "DTypePolicy",
    "GlorotUniform", "Zeros", "Ones", "__keras_tensor__",
})  # fmt: skip


@final
class NeuralNetwork(Network):
    """A Keras model with the names of its inputs and outputs."""

    def __init__(
        self, entry: NetworkEntry, description: InputDescription, model: keras.Model
    ) -> None:
        super().__init__(entry, description)
        self.model = model

    def predict(
        self, photometry: Photometry, stamps: Stamps | None, batch_size: int
    ) -> Probabilities:
        """Say the probability of each class, in padded batches of one shape."""
        inputs = inputs_of(self.model, photometry, stamps)
        shape = (len(photometry), len(self.description.classes))
        probabilities = np.empty(shape, dtype=np.float32)
        for start in range(0, len(photometry), batch_size):
            rows = slice(start, start + batch_size)
            batch = {name: pad_rows(values[rows], batch_size) for name, values in inputs.items()}
            answer = self.model.predict_on_batch(batch)
            probabilities[rows] = answer[: len(probabilities[rows])]
        return probabilities

    def write(self, directory: Path) -> None:
        """Write ``model.keras``: the same network gives the same bytes."""
        path = directory / FILE_NAME
        self.model.save(path)
        _make_repeatable(path)

    @property
    def parameters(self) -> int:
        """All weights, those of normalisations included."""
        return int(self.model.count_params())

    @property
    def multiply_adds(self) -> int:
        """Products in dense and convolution layers; the rest is a few per cent."""
        return sum(_multiply_adds(layer) for layer in self.model.layers)


def inputs_of(
    model: keras.Model, photometry: Photometry, stamps: Stamps | None
) -> dict[str, NDArray[Any]]:
    """Name what a model takes of a source's photometry and stamps, by the names of its inputs."""
    of_photometry = {PHOTOMETRY: photometry} if PHOTOMETRY in model.input else {}
    return {**of_photometry, **(named(stamps) if STAMPS in model.input else {})}


def read_neural(
    entry: NetworkEntry, description: InputDescription, directory: Path
) -> NeuralNetwork:
    """Load ``model.keras`` without executing anything that it holds.

    Raises
    ------
    StoreError
        If the file is missing or damaged, or names a layer other than those of our networks.
    """
    path = directory / FILE_NAME
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        _refuse_strangers(config, path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise StoreError(
            f"the network in {path} was asked for, but the file cannot be read ({error}); "
            "train the network again"
        ) from error
    return NeuralNetwork(entry, description, model)


def _refuse_strangers(config: Any, path: Path) -> None:
    for module, name, registered in _classes_named(config):
        ours = registered in _OWN and module == own_layers.__name__
        keras_own = name in _KERAS and (module is None or module.split(".")[0] == "keras")
        if not (ours or keras_own):
            raise StoreError(
                f"the network in {path} was asked for, but the file names {module}.{name}, which "
                "is no layer of ours and could run code; take the file from whom you trust and "
                "train it here"
            )


def _classes_named(config: Any) -> Iterator[tuple[str | None, str, str | None]]:
    """Walk a configuration and yield module, class and registered name wherever they stand."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config.get("module"), str(config["class_name"]), config.get("registered_name")
        for value in config.values():
            yield from _classes_named(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes_named(value)


def _make_repeatable(path: Path) -> None:
    """Write an archive anew without the time of day and the addresses of this process's memory."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    about = json.loads(members["metadata.json"])
    about.pop("date_saved", None)
    members["metadata.json"] = json.dumps(about, sort_keys=True).encode()
    config = json.loads(members["config.json"])
    _number_shared_objects(config, {})
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _number_shared_objects(config: Any, numbers: dict[int, int]) -> None:
    """Replace memory addresses, by which Keras tells objects apart, by their order."""
    if isinstance(config, dict):
        if "shared_object_id" in config:
            address = config["shared_object_id"]
            config["shared_object_id"] = numbers.setdefault(address, len(numbers))
        for value in config.values():
            _number_shared_objects(value, numbers)
    elif isinstance(config, list):
        for value in config:
            _number_shared_objects(value, numbers)


def _multiply_adds(layer: keras.layers.Layer) -> int:
    if not isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
        return 0
    positions = prod(layer.output.shape[1:-1])
    return int(positions * prod(layer.kernel.shape))
