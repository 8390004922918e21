"""A source's score is its own: not that of its place, its neighbours or its partition."""

from dataclasses import replace

import numpy as np
import pytest

from kidsclf.config import TreeSettings
from kidsclf.errors import InputError, PlanError
from kidsclf.infer.score import score, summarise
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.table import network_entry
from kidsclf.schema import Inputs

prepare_backend("tensorflow", 2)

from kidsclf.models.feng import build_mlp, build_mnn  # noqa: E402
from kidsclf.models.forest import ForestNetwork  # noqa: E402
from kidsclf.models.neural import NeuralNetwork  # noqa: E402
from kidsclf.models.trees import TreeNetwork, grow_trees  # noqa: E402

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BANDS = tuple("ugriZYJHK")
KIDS = InputDescription(BANDS, ("r",), 41, ("STAR", "QSO", "GALAXY"))
BUILDERS = {"mnn": build_mnn, "mlp": build_mlp}
BATCH = 64


def _neural(name):
    entry = network_entry(name)
    description = entry.reads(KIDS, "r")
    model = BUILDERS[name](description, 1e-3)
    model.get_layer("standardise").set_weights([np.r_[np.full(9, 20.0), np.zeros(8)], np.ones(17)])
    if entry.images:
        model.get_layer("stretch").set_weights([np.array([2e-12])])
    return NeuralNetwork(entry, description, model)


def _trees():
    rng = np.random.default_rng(3)
    features, codes = rng.normal(20, 1, (400, 17)).astype(np.float32), rng.integers(0, 3, 400)
    settings = TreeSettings(trees=20, depth=5, learning_rate=0.3)
    booster, _ = grow_trees((features, features), (codes, codes), 3, settings, threads=2, seed=1)
    entry = network_entry("xgboost")
    return TreeNetwork(entry, entry.reads(KIDS, "r"), booster)


@pytest.fixture(scope="module", params=["mnn", "mlp", "xgboost", "xgboost, laid out"])
def network(request):
    if request.param == "xgboost, laid out":
        laid_out = ForestNetwork.of(_trees(), 2)
        assert isinstance(laid_out, ForestNetwork)
        return laid_out
    return _trees() if request.param == "xgboost" else _neural(request.param)


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(7)
    magnitudes = rng.normal(20, 1, (333, 9)).astype(np.float32)
    magnitudes[::10, 3] = np.nan
    stamps = rng.normal(0, 2e-11, (333, 41, 41)).astype(np.float32)
    return Inputs(magnitudes, np.full_like(magnitudes, 0.1), BANDS, {"r": stamps})


def test_order_does_not_matter(network, inputs):
    plain = score(network, [inputs], batch_size=BATCH)
    order = np.random.default_rng(1).permutation(len(inputs))
    mixed = score(network, [inputs.take(order)], batch_size=BATCH)
    for field in ("probabilities", "codes", "p_max", "entropy"):
        np.testing.assert_array_equal(getattr(mixed, field), getattr(plain, field)[order])


@pytest.mark.parametrize("cuts", [(1,), (64,), (5, 70, 200), (63, 65, 129, 332)])
def test_partitioning_does_not_matter(network, inputs, cuts):
    plain = score(network, [inputs], batch_size=BATCH)
    parts = np.split(np.arange(len(inputs)), cuts)
    blocks = [inputs.take(rows) for rows in parts]
    split = [score(network, [block], batch_size=BATCH) for block in blocks]
    in_blocks = score(network, iter(blocks), batch_size=BATCH)
    for field in ("probabilities", "codes", "p_max", "entropy"):
        joined = np.concatenate([getattr(part, field) for part in split])
        np.testing.assert_array_equal(joined, getattr(plain, field))
        np.testing.assert_array_equal(getattr(in_blocks, field), getattr(plain, field))


def test_scores_are_probabilities(network, inputs):
    scores = score(network, [inputs], batch_size=BATCH)
    assert scores.probabilities.dtype == np.float32
    np.testing.assert_allclose(scores.probabilities.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(scores.codes, scores.probabilities.argmax(axis=1))
    np.testing.assert_array_equal(scores.p_max, scores.probabilities.max(axis=1))
    assert (scores.entropy >= 0).all()
    assert (scores.entropy <= np.float32(np.log(3))).all()


def test_what_cannot_be_classified_says_so_and_leaves_the_others_alone(network, inputs):
    plain = score(network, [inputs], batch_size=BATCH)
    magnitudes, stamps = inputs.magnitudes.copy(), inputs.images["r"].copy()
    magnitudes[2] = np.nan
    stamps[5] = np.nan
    block = Inputs(magnitudes, inputs.errors, BANDS, {"r": stamps})
    spoilt = score(network, [block], batch_size=BATCH)
    lost = [2, 5] if network.description.image_bands else [2]
    assert np.flatnonzero(spoilt.codes == -1).tolist() == lost
    assert np.isnan(spoilt.probabilities[lost]).all()
    assert np.isnan(spoilt.p_max[lost]).all()
    assert np.isnan(spoilt.entropy[lost]).all()
    kept = np.setdiff1d(np.arange(len(inputs)), lost)
    np.testing.assert_array_equal(spoilt.probabilities[kept], plain.probabilities[kept])


def test_no_sources_give_no_scores(network, inputs):
    scores = score(network, [inputs.take(np.zeros(0, np.int64))], batch_size=BATCH)
    assert scores.probabilities.shape == (0, 3)
    assert len(scores) == 0


def test_other_bands_and_stamps_are_refused(inputs):
    network = _neural("mnn")
    fewer = Inputs(inputs.magnitudes[:, 1:], inputs.errors[:, 1:], BANDS[1:], inputs.images)
    with pytest.raises(PlanError, match="u g r i Z Y J H K was asked"):
        score(network, [fewer], batch_size=BATCH)
    small = {"r": inputs.images["r"][:, :9, :9]}
    with pytest.raises(PlanError, match=r"cutouts\.size_px = 41"):
        score(network, [replace(inputs, images=small)], batch_size=BATCH)
    with pytest.raises(InputError, match="stamps in band 'r'"):
        score(network, [replace(inputs, images={})], batch_size=BATCH)


def test_bands_are_found_by_name(inputs):
    network = _neural("mlp")
    turned = Inputs(inputs.magnitudes[:, ::-1], inputs.errors, BANDS[::-1])
    more = Inputs(np.c_[inputs.magnitudes[:, 0], inputs.magnitudes], inputs.errors, ("z", *BANDS))
    plain = score(network, [inputs], batch_size=BATCH).probabilities
    for other in (turned, more):
        said = score(network, [other], batch_size=BATCH).probabilities
        np.testing.assert_array_equal(said, plain)


def test_entropy_of_certainty_ignorance_and_silence():
    table = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [np.nan] * 3], np.float32)
    scores = summarise(table, KIDS.classes)
    assert scores.codes.tolist() == [0, 0, -1]
    np.testing.assert_allclose(scores.entropy, [0, np.log(3), np.nan], rtol=1e-6)
    assert not np.signbit(scores.entropy[0])
