"""Several networks answer as one, trained, loaded or folded."""

from dataclasses import replace

import numpy as np
import pytest
from as_trained import as_if_trained
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_inference import CLASSES

from kidsclf.config import InferSettings
from kidsclf.models.committee import Committee, agree, member_folder
from kidsclf.models.description import InputDescription
from kidsclf.models.feng import build_mlp
from kidsclf.models.files import Card, load_network, save_network, write_card
from kidsclf.models.neural import NeuralNetwork
from kidsclf.models.table import network_entry
from kidsclf.pipeline.infer import ready

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SAID = arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.just(3)),
    elements=st.floats(np.float32(2**-20), 1, width=32),
).map(lambda raw: raw / raw.sum(axis=-1, keepdims=True))


@given(SAID)
def test_the_answer_is_the_median_renormalised(said):
    median = np.median(said.astype(np.float64), axis=0)
    wanted = median / median.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(agree(list(said)), wanted, rtol=3e-6)
    np.testing.assert_array_equal(agree(list(said[::-1])), agree(list(said)))


def test_members_that_are_sure_of_different_classes_are_averaged():
    agreed = agree([row[None] for row in np.eye(3, dtype=np.float32)])
    np.testing.assert_allclose(agreed, 1 / 3)


def test_a_source_without_an_answer_has_none():
    nothing = np.full((1, 3), np.nan, np.float32)
    assert np.isnan(agree([nothing, nothing, nothing])).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a committee of three."""
    path, description = (
        tmp_path_factory.mktemp("committee"),
        InputDescription(tuple("ug"), (), 0, CLASSES),
    )
    card: Card | None = None
    for number in range(3):
        own = path / member_folder(number)
        own.mkdir()
        model = as_if_trained(build_mlp(description, 0.0), number)
        network = NeuralNetwork(network_entry("mlp"), description, model)
        card = save_network(network, own, settings={}, seed=number, fingerprint="", scores={})
    assert card is not None
    write_card(replace(card, committee=3), path)
    return path


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_answers_from_its_folder_as_its_members_do_together(folder, precision):
    committee = load_network(folder)
    assert isinstance(committee, Committee)
    photometry = np.random.default_rng(1).normal(10, 9, (70, 3)).astype(np.float32)
    alone = [member.predict(photometry, None, 32) for member in committee.members]
    assert np.ptp(alone, axis=0).max() > 0.05  # or there is nothing to agree upon
    answering = ready(committee, InferSettings(precision=precision, threads=2))
    tolerance = 2e-5 if precision == "float32" else 0.1
    np.testing.assert_allclose(
        answering.predict(photometry, None, 32), agree(alone), atol=tolerance
    )
    np.testing.assert_array_equal(committee.predict(photometry, None, 32), agree(alone))
