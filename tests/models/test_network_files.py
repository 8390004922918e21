"""A network's folder: what is written is what is read, and nothing in it is executed."""

import json
import zipfile

import numpy as np
import pytest

from kidsclf.config import TreeSettings
from kidsclf.errors import StoreError
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.files import load_network, read_card, save_network
from kidsclf.models.table import network_entry

prepare_backend("tensorflow", 2)

import keras  # noqa: E402

from kidsclf.models.feng import build_mlp, build_mnn  # noqa: E402
from kidsclf.models.neural import NeuralNetwork  # noqa: E402
from kidsclf.models.trees import TreeNetwork, grow_trees  # noqa: E402

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PHOTOMETRY = InputDescription(tuple("ugriz"), (), 0, ("STAR", "QSO", "GALAXY"))
IMAGES = InputDescription(tuple("ugriz"), ("r",), 9, ("STAR", "QSO", "GALAXY"))


def _network(name):
    rng = np.random.default_rng(3)
    if name == "mnn":
        model = build_mnn(IMAGES, 1e-3)
        model.get_layer("stretch").set_weights([np.array([2e-12])])
        return NeuralNetwork(network_entry(name), IMAGES, model)
    if name == "mlp":
        return NeuralNetwork(network_entry(name), PHOTOMETRY, build_mlp(PHOTOMETRY, 1e-3))
    features, codes = rng.normal(20, 1, (60, 9)).astype(np.float32), rng.integers(0, 3, 60)
    settings = TreeSettings(trees=3, depth=2)
    booster, _ = grow_trees((features, features), (codes, codes), 3, settings, threads=1, seed=1)
    return TreeNetwork(network_entry(name), PHOTOMETRY, booster)


def _save(network, directory):
    directory.mkdir(exist_ok=True)
    return save_network(
        network,
        directory,
        settings={"epochs": 2},
        seed=1,
        fingerprint="abc",
        scores={"validation_accuracy": 0.9},
    )


@pytest.mark.parametrize("name", ["mnn", "mlp", "xgboost"])
def test_a_network_comes_back_bit_for_bit(name, tmp_path):
    network = _network(name)
    card = _save(network, tmp_path)
    again = load_network(tmp_path)
    rng = np.random.default_rng(4)
    features = rng.normal(20, 2, (40, 9)).astype(np.float32)
    stamps = rng.normal(0, 1e-11, (40, 9, 9, 1)).astype(np.float32) if name == "mnn" else None
    np.testing.assert_array_equal(
        again.predict(features, stamps, 32), network.predict(features, stamps, 32)
    )
    assert again.entry == network.entry
    assert again.description == network.description
    assert read_card(tmp_path) == card
    assert card.parameters == network.parameters
    assert "keras" in card.versions


@pytest.mark.parametrize("name", ["mlp", "xgboost"])
def test_the_same_network_gives_the_same_bytes(name, tmp_path):
    network = _network(name)
    for folder in ("a", "b"):
        _save(network, tmp_path / folder)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def _exchange(directory, model):
    """Put another Keras model into the folder of an MLP."""
    _save(_network("mlp"), directory)
    model.save(directory / "model.keras")


def test_a_lambda_layer_is_refused(tmp_path):
    inputs = keras.Input((9,))
    _exchange(tmp_path, keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs)))
    with pytest.raises(StoreError, match=r"names keras.layers.Lambda, which is no layer of ours"):
        load_network(tmp_path)


def test_a_layer_of_another_package_is_refused_before_it_is_imported(tmp_path):
    _save(_network("mlp"), tmp_path)
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1].update(module="antigravity", class_name="Dense")
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(StoreError, match=r"antigravity\.Dense"):
        load_network(tmp_path)


@pytest.mark.parametrize(("name", "file"), [("mlp", "model.keras"), ("xgboost", "model.ubj")])
def test_damaged_and_missing_files_are_named(name, file, tmp_path):
    _save(_network(name), tmp_path)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StoreError, match=file):
        load_network(tmp_path)
    path.unlink()
    with pytest.raises(StoreError, match=file):
        load_network(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 99}', '{"format": 1, "network": "mlp"}']
)
def test_a_card_that_is_none_is_refused(text, tmp_path):
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(StoreError, match=r"card\.json"):
        read_card(tmp_path)


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"card\.json"):
        load_network(tmp_path)
