"""Networks made ready to answer say what the trained ones say."""

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from as_trained import SOFTENING, as_if_trained
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription

prepare_backend("tensorflow", 2)

import keras  # noqa: E402

from kidsclf.models.fold import fold  # noqa: E402
from kidsclf.models.inference import CLOSE_CALL, FoldedNetwork  # noqa: E402
from kidsclf.models.neural import NeuralNetwork, inputs_of  # noqa: E402
from kidsclf.models.piecewise import tabulate  # noqa: E402
from kidsclf.models.table import network_entry  # noqa: E402
from kidsclf.schema import PackedStamps  # noqa: E402
from kidsclf.store.stamp_encoding import decode_stamps, encode_stamps  # noqa: E402

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES = ("STAR", "QSO", "GALAXY")
SOURCES = 700


def spread(model, inputs):
    """Scale the last layer, so that the classes' odds vary by factors and none is always ahead."""
    last = model.get_layer("probabilities")
    kernel, bias = last.get_weights()
    logits = np.log(model.predict_on_batch(inputs) + 1e-30)
    logits -= logits.mean(axis=1, keepdims=True)
    factor = 1.5 / logits.std(axis=0).mean()
    last.set_weights([factor * kernel, factor * (bias - logits.mean(axis=0))])


@pytest.fixture(scope="module", params=["mlp", "mnn", "mnn_all_stamps", "mnn_fast"])
def network(request):
    data = InputDescription(tuple("ugriZYJHK"), tuple("ir"), 21, CLASSES)
    entry = network_entry(request.param)
    description = entry.reads(data, "r")
    module, function = entry.builder.split(":")
    model = getattr(importlib.import_module(module), function)(description, 0)
    return NeuralNetwork(entry, description, as_if_trained(model, 5))


@pytest.fixture(scope="module")
def sources(network):
    """Photometry with gaps and outliers, and stamps over six decades of flux."""
    rng = np.random.default_rng(8)
    shape = (SOURCES, network.description.photometry_features)
    photometry = rng.normal(10, 9, shape).astype(np.float32)
    photometry[rng.random(shape) < 0.1] = np.nan
    photometry[:3] = [[99.0], [-99.0], [np.nan]]
    if not network.description.image_bands:
        spread(network.model, inputs_of(network.model, photometry, None))
        return photometry, None
    size, channels = network.description.size_px, len(network.description.image_bands)
    stamps = rng.normal(0, SOFTENING, (SOURCES, size, size, channels))
    stamps[:, size // 2, size // 2] += 10 ** rng.uniform(-13, -7, (SOURCES, channels))
    stamps = stamps.astype(np.float32)
    spread(network.model, inputs_of(network.model, photometry, stamps))
    return photometry, stamps


def test_in_float32_it_says_the_same(network, sources):
    trained = network.predict(*sources, 128)
    folded = FoldedNetwork.of(network, "float32", 1).predict(*sources, 128)
    assert np.ptp(trained, axis=0).min() > 0.3  # or there is nothing to be told apart
    assert np.abs(folded - trained).max() < 2e-5


def test_in_bfloat16_close_calls_are_asked_again(network, sources):
    """These weights round off more than trained ones do: 0.015 at most on a mock sky."""
    trained = network.predict(*sources, 128)
    rounded = FoldedNetwork.of(network, "bfloat16", 1).predict(*sources, 128)
    off = np.abs(rounded - trained).max(axis=1)
    first, second = np.sort(rounded, axis=1)[:, [-1, -2]].T
    close = first - second < CLOSE_CALL
    assert 5 < close.sum() < SOURCES // 2
    assert off[close].max() < 2e-5
    assert 1e-3 < off[~close].max() < 0.1
    assert (rounded.argmax(axis=1) != trained.argmax(axis=1)).sum() <= 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_answer_does_not_depend_on_its_neighbours(network, sources, precision):
    folded = FoldedNetwork.of(network, precision, 1)
    photometry, stamps = sources
    whole = folded.predict(photometry, stamps, 128)
    some = np.random.default_rng(2).permutation(SOURCES)[:301]
    alone = folded.predict(photometry[some], None if stamps is None else stamps[some], 128)
    assert alone.tobytes() == whole[some].tobytes()
    two = FoldedNetwork.of(network, precision, 2).predict(photometry, stamps, 128)
    assert two.tobytes() == whole.tobytes()


def test_packed_stamps_give_the_bits_of_unpacked_ones(network, sources):
    """In bfloat16, in float32 for close calls, and in a last batch that is padded."""
    photometry, stamps = sources
    if stamps is None:
        pytest.skip("it reads no stamps")
    packed, unpacked = packed_and_not(stamps)
    folded = FoldedNetwork.of(network, "bfloat16", 1)
    said = folded.predict(photometry, packed, 128)
    assert said.tobytes() == folded.predict(photometry, unpacked, 128).tobytes()


def packed_and_not(stamps):
    codes, steps, bands = np.empty(stamps.shape, np.int16), [], []
    for band in range(stamps.shape[-1]):
        encoded = encode_stamps(np.ascontiguousarray(stamps[..., band]))
        codes[..., band] = encoded.codes
        steps.append(encoded.step)
        bands.append(decode_stamps(encoded.codes, encoded.step))
    return PackedStamps(codes, np.stack(steps, axis=-1)), np.stack(bands, axis=-1)


# Branches of further bands are like that of the first.
of_openvino = pytest.mark.parametrize(
    "network", ["mlp", "mnn", "mnn_fast"], indirect=True, scope="module"
)


@pytest.fixture(scope="module")
def on_openvino(network):
    prepare_backend("openvino", 2)
    return FoldedNetwork.of(network, "bfloat16", 1, "openvino")


@of_openvino
def test_openvino_says_the_same(network, sources, on_openvino):
    """In float32 and, where the processor has it, in bfloat16."""
    trained = network.predict(*sources, 128)
    exact = on_openvino._in_batches(on_openvino._exact, *sources, 128)
    assert np.abs(exact - trained).max() < 2e-5
    assert (exact.argmax(axis=1) == trained.argmax(axis=1)).all()
    rounded = on_openvino.predict(*sources, 128)
    off = np.abs(rounded - trained).max(axis=1)
    close = np.diff(np.sort(rounded, axis=1)[:, 1:], axis=1)[:, 0] < CLOSE_CALL
    assert off[close].max() < 2e-5
    assert off.max() < 0.1
    assert (rounded.argmax(axis=1) != trained.argmax(axis=1)).sum() <= SOURCES / 100


@of_openvino
def test_openvino_answers_a_source_whatever_stands_beside_it(network, sources, on_openvino):
    photometry, stamps = sources
    some = np.random.default_rng(2).permutation(SOURCES)[:301]
    asked_for = photometry[some], None if stamps is None else stamps[some]
    for way in (on_openvino._exact, on_openvino._rounded):
        whole = on_openvino._in_batches(way, photometry, stamps, 128)
        alone = on_openvino._in_batches(way, *asked_for, 128)
        assert alone.tobytes() == whole[some].tobytes()
    whole = on_openvino.predict(photometry, stamps, 128)
    assert on_openvino.predict(*asked_for, 128).tobytes() == whole[some].tobytes()
    if stamps is not None:
        packed, unpacked = packed_and_not(stamps)
        said = on_openvino.predict(photometry, packed, 128)
        assert said.tobytes() == on_openvino.predict(photometry, unpacked, 128).tobytes()


@of_openvino
def test_openvino_answers_threads_one_by_one(network, sources, on_openvino):
    whole = on_openvino.predict(*sources, 128)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: on_openvino.predict(*sources, 128), range(2)))
    assert both[0].tobytes() == both[1].tobytes() == whole.tobytes()


def test_a_batch_that_finds_no_memory_is_halved_and_said_so(network, sources, monkeypatch, caplog):
    folded, asked = FoldedNetwork.of(network, "float32", 1), []
    ask = folded._in_batches

    def with_little_memory(model, photometry, stamps, batch_size):
        asked.append(batch_size)
        if batch_size > 100:
            raise type("ResourceExhaustedError", (RuntimeError,), {})("the card is full")
        return ask(model, photometry, stamps, batch_size)

    photometry, stamps = (None if each is None else each[:150] for each in sources)
    whole = folded.predict(photometry, stamps, 128)
    monkeypatch.setattr(folded, "_in_batches", with_little_memory)
    assert np.abs(folded.predict(photometry, stamps, 128) - whole).max() < 2e-5
    assert asked[-2] // 2 == asked[-1] <= 100
    assert "halved from here on" in caplog.text
    asked.clear()
    folded.predict(photometry, stamps, 128)
    assert max(asked) <= 100, "it forgot that the memory was short"


def test_threads_that_find_no_memory_together_halve_once(network, sources, monkeypatch):
    folded, together = FoldedNetwork.of(network, "float32", 1), threading.Barrier(2)
    asked = []

    def with_little_memory(model, photometry, stamps, batch_size):
        asked.append(batch_size)
        if len(asked) <= 2:
            together.wait(60)
            raise MemoryError("both at once")
        return np.zeros((len(photometry), 3), np.float32)

    monkeypatch.setattr(folded, "_in_batches", with_little_memory)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: folded.predict(*sources, 128), range(2)))
    assert sorted(asked) == [asked[0] // 2] * 2 + [asked[0]] * 2


def test_a_network_that_fits_nowhere_says_so(network, sources, monkeypatch):
    folded = FoldedNetwork.of(network, "float32", 1)

    def without_memory(*_):
        raise MemoryError("none")

    monkeypatch.setattr(folded, "_in_batches", without_memory)
    with pytest.raises(MemoryError):
        folded.predict(sources[0], sources[1], 64)


def test_nothing_is_asked_of_no_sources(network, sources):
    photometry, stamps = sources
    folded = FoldedNetwork.of(network, "bfloat16", 2)
    answer = folded.predict(photometry[:0], None if stamps is None else stamps[:0], 128)
    assert answer.shape == (0, 3)


def test_a_whole_model_is_folded(network, sources):
    """As it is where an accelerator makes tables needless."""
    inputs = inputs_of(network.model, *sources)
    folded = fold(network.model, "float32")
    assert not any(isinstance(each, keras.layers.BatchNormalization) for each in folded.layers)
    said = folded.predict_on_batch(inputs)
    assert np.abs(said - network.model.predict_on_batch(inputs)).max() < 2e-5


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (2, 1), (3, 1), (3, 2), (2, 2)])
def test_a_convolution_of_a_small_map_becomes_one_product(side, stride):
    rng = np.random.default_rng(side)
    given_map = keras.Input((side, side, 12))
    made = keras.layers.Conv2D(9, 3, strides=stride, padding="same")(given_map)
    model = keras.Model(given_map, keras.layers.Activation("linear")(made))
    model.layers[1].set_weights([rng.normal(size=(3, 3, 12, 9)), rng.normal(size=9)])
    folded = fold(model, "float32")
    assert not any(isinstance(each, keras.layers.Conv2D) for each in folded.layers)
    maps = rng.normal(size=(5, side, side, 12)).astype(np.float32)
    assert np.allclose(folded.predict_on_batch(maps), model.predict_on_batch(maps), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.floats(0.5, 20.0),
)
def test_a_chain_is_its_table(widths, seed, limit):
    rng = np.random.default_rng(seed)
    chain = [
        (rng.normal(size=(narrow, wide)), rng.normal(size=wide))
        for narrow, wide in zip([1, *widths], widths, strict=False)
    ]
    table = tabulate(chain, -limit, limit)
    assert (np.diff(table.nodes) > 0).all()
    numbers = rng.uniform(-limit, limit, 500)
    values = numbers[:, None]
    for kernel, bias in chain:
        values = np.maximum(values @ kernel + bias, 0)
    looked_up = np.stack([np.interp(numbers, table.nodes, each) for each in table.values.T], axis=1)
    assert np.abs(looked_up - values).max() <= 1e-5 * (1 + np.abs(table.values).max())
