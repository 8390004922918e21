"""A network of photometry answers by tiles of a processor, or without, to the same effect."""

import importlib
import os
import subprocess
import sys

import ml_dtypes
import numba
import numpy as np
import pytest
import scipy.special
from as_trained import as_if_trained

from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription

prepare_backend("tensorflow", 2)


from kidsclf.config import InferSettings  # noqa: E402
from kidsclf.models import tiled_network  # noqa: E402
from kidsclf.models.committee import Committee  # noqa: E402
from kidsclf.models.inference import FoldedNetwork  # noqa: E402
from kidsclf.models.neural import NeuralNetwork  # noqa: E402
from kidsclf.models.table import network_entry  # noqa: E402
from kidsclf.models.tiles import (  # noqa: E402
    SIDE,
    configuration,
    finish,
    have_tiles,
    multiply,
    packed,
    release,
    set_up,
)
from kidsclf.models.vectors import data  # noqa: E402
from kidsclf.pipeline.infer import _answered_by  # noqa: E402

needs_tiles = pytest.mark.skipif(not have_tiles(), reason="this processor has no tiles (AMX)")


def made(bands, classes):
    description = InputDescription(tuple(bands), (), 21, tuple(f"C{k}" for k in range(classes)))
    entry = network_entry("mlp")
    module, function = entry.builder.split(":")
    model = getattr(importlib.import_module(module), function)(description, 0)
    return NeuralNetwork(entry, description, as_if_trained(model, 5))


@pytest.fixture(scope="module")
def network():
    return made("ugriZYJHK", 3)


@pytest.fixture(scope="module")
def photometry():
    rng = np.random.default_rng(8)
    drawn = rng.normal(10, 3, (1000, 17)).astype(np.float32)
    drawn[rng.random(drawn.shape) < 0.05] = np.nan
    drawn[:3] = [[99.0], [-99.0], [np.nan]]
    return drawn


@needs_tiles
@pytest.mark.parametrize("depth", [32, 64, 512])
def test_products_are_those_of_bfloat16_numbers(depth):
    @numba.njit
    def product(rows, kernel, bias, ready, sums, out):
        set_up(data(ready))
        multiply(data(rows), rows.shape[1], data(kernel), data(sums))
        finish(data(sums), data(bias), data(out), out.shape[1])
        release()

    rng = np.random.default_rng(depth)
    rows = rng.normal(0, 1, (SIDE, depth)).astype(ml_dtypes.bfloat16)
    kernel, bias = rng.normal(0, 1, (depth, SIDE)), rng.normal(0, 9, SIDE).astype(np.float32)
    sums, out = np.full((SIDE, SIDE), np.nan, np.float32), np.ones((SIDE, 2 * SIDE), np.uint16)
    product(rows.view(np.uint16), packed(kernel), bias, configuration(), sums, out)
    expected = rows.astype(np.float64) @ kernel.astype(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_allclose(sums, expected, rtol=0, atol=1e-6 * depth)
    rounded = np.maximum(sums + bias, 0).astype(ml_dtypes.bfloat16)
    assert out[:, :SIDE].tobytes() == rounded.tobytes()
    assert (out[:, SIDE:] == 1).all()


@needs_tiles
def test_they_round_no_more_than_keras_does(network, photometry, monkeypatch):
    exact = FoldedNetwork.of(network, "float32", 1).predict(photometry, None, 64)
    tiled = FoldedNetwork.of(network, "bfloat16", 1)
    monkeypatch.setattr(tiled_network, "have_tiles", lambda: False)
    without = FoldedNetwork.of(network, "bfloat16", 1)
    assert tiled.by_tiles
    assert not without.by_tiles
    off, off_without = (
        np.sqrt(np.mean((each.predict(photometry, None, 64) - exact) ** 2))
        for each in (tiled, without)
    )
    assert 0 < off < 1.1 * off_without


def in_numpy(model, tables, photometry):
    """Answer in float64, where only what a layer says is rounded to bfloat16."""
    values = tables.told(photometry, 1).astype(np.float64)
    for width in (256, 128, 64):
        kernel, bias = model.get_layer(f"head_{width}").get_weights()
        said = values @ kernel.astype(ml_dtypes.bfloat16).astype(np.float64) + bias
        values = np.maximum(said, 0).astype(ml_dtypes.bfloat16).astype(np.float64)
    kernel, bias = model.get_layer("probabilities").get_weights()
    return scipy.special.softmax(values @ kernel.astype(np.float64) + bias, axis=1)


@needs_tiles
@pytest.mark.parametrize(("bands", "classes"), [("u", 2), ("ugriz", 16), ("ugriZYJHK", 3)])
def test_only_what_a_layer_says_is_rounded(bands, classes, photometry):
    network = made(bands, classes)
    engine = FoldedNetwork.of(network, "bfloat16", 1)._rounded.engine
    asked = photometry[:, : 2 * len(bands) - 1]
    said = engine.predict_on_batch({"photometry": asked})
    off = np.abs(said - in_numpy(network.model, engine.tables, asked)).max(axis=1)
    # Sums in another order may be rounded another way, seldom.
    assert (off < 1e-5).mean() > 0.95
    assert off.max() < 0.05


@needs_tiles
def test_a_receipt_tells_of_them(network):
    one = FoldedNetwork.of(network, "bfloat16", 1)
    exact = FoldedNetwork.of(network, "float32", 1)
    by_tiles = {"by_tiles": True}
    for each, facts in ((one, by_tiles), (Committee([one]), by_tiles), (exact, {})):
        assert _answered_by(each, InferSettings()) == {"answered_by": "tensorflow", **facts}


def test_more_classes_than_a_tile_has_columns_are_left_to_keras():
    assert not FoldedNetwork.of(made("u", 17), "bfloat16", 1).by_tiles


@needs_tiles
@pytest.mark.parametrize("rows", [1, 31, 129, 257])
def test_an_answer_does_not_depend_on_its_neighbours(network, photometry, rows):
    engine = FoldedNetwork.of(network, "bfloat16", 1)._rounded.engine
    whole = engine.predict_on_batch({"photometry": photometry})
    some = engine.predict_on_batch({"photometry": photometry[-rows:]})
    assert some.tobytes() == whole[-rows:].tobytes()


def test_a_processor_without_tiles_leaves_it_to_keras(network, photometry, monkeypatch):
    monkeypatch.setattr(tiled_network, "have_tiles", lambda: False)
    said = FoldedNetwork.of(network, "bfloat16", 1).predict(photometry, None, 64)
    trained = network.predict(photometry, None, 64)
    assert 0 < np.abs(said - trained).max() < 0.1
    two = FoldedNetwork.of(network, "bfloat16", 2).predict(photometry, None, 64)
    assert two.tobytes() == said.tobytes()


def test_numba_is_not_asked_for_tiles_that_it_does_not_know_of():
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    asked = "from kidsclf.models.tiles import have_tiles; print(have_tiles())"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False"]
