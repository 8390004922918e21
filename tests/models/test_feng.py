"""The networks of Feng et al.: layers, counts, and what they do with odd data."""

import numpy as np
import pytest

from kidsclf.errors import ConfigError
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription

prepare_backend("tensorflow", 2)

from kidsclf.models.feng import build_mlp, build_mnn  # noqa: E402
from kidsclf.models.neural import NeuralNetwork  # noqa: E402
from kidsclf.models.table import network_entry  # noqa: E402

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES = ("STAR", "QSO", "GALAXY")
KIDS = InputDescription(tuple("ugriZYJHK"), ("r",), 41, CLASSES)
PUBLISHED_PARAMETERS = 18_257_155


@pytest.fixture(scope="module")
def mnn():
    return build_mnn(KIDS, 1e-3)


def test_shapes_are_those_of_the_paper(mnn):
    assert mnn.get_layer("photometry_vector").output.shape == (None, 8704)
    assert mnn.get_layer("stem_pool").output.shape == (None, 20, 20, 32)
    assert mnn.get_layer("image_vector").output.shape == (None, 512)
    assert mnn.get_layer("concatenate").output.shape == (None, 9216)
    assert mnn.output.shape == (None, 3)


def test_parameters_are_as_documented_and_near_the_published_count(mnn):
    assert mnn.count_params() == 17_670_342
    assert mnn.count_params() == pytest.approx(PUBLISHED_PARAMETERS, rel=0.033)
    stages = [
        sum(layer.count_params() for layer in mnn.layers if layer.name.startswith(f"stage{stage}"))
        for stage in range(1, 6)
    ]
    assert stages == [46_880, 149_056, 593_024, 2_365_696, 9_449_984]


def test_cost_of_a_source_is_that_of_its_layers(mnn):
    network = NeuralNetwork(network_entry("mnn"), KIDS, mnn)
    photometry = 17 * (64 + 64 * 128 + 128 * 256 + 256 * 512)
    head = 9216 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3
    stem = 41 * 41 * 25 * 32
    sides, widths = (20, 10, 5, 3, 2), (32, 64, 128, 256, 512)
    entering = (32, *widths[:-1])
    stages = sum(
        9 * side**2 * (2 * narrow * wide + 3 * wide**2)
        for side, narrow, wide in zip(sides, entering, widths, strict=True)
    )
    assert network.multiply_adds == photometry + head + stem + stages


@pytest.mark.parametrize(
    ("bands", "image_bands", "size_px", "classes"),
    [(5, ("g", "r", "i"), 64, 4), (60, ("r",), 11, 2), (1, ("r",), 3, 2)],
)
def test_no_number_of_bands_images_or_classes_is_assumed(bands, image_bands, size_px, classes):
    names = tuple(f"b{band}" for band in range(bands))
    labels = tuple(f"c{label}" for label in range(classes))
    description = InputDescription(names, image_bands, size_px, labels)
    network = NeuralNetwork(network_entry("mnn"), description, build_mnn(description, 1e-3))
    photometry = np.full((3, 2 * bands - 1), 20.0, np.float32)
    stamps = np.zeros((3, size_px, size_px, len(image_bands)), np.float32)
    answer = network.predict(photometry, stamps, 4)
    assert answer.shape == (3, classes)
    np.testing.assert_allclose(answer.sum(axis=1), 1.0, rtol=1e-5)


def test_missing_and_absurd_magnitudes_stay_finite():
    model = build_mlp(KIDS.without_images(), 1e-3)
    model.get_layer("standardise").set_weights([np.full(17, 20.0), np.full(17, 2.0)])
    network = NeuralNetwork(network_entry("mlp"), KIDS.without_images(), model)
    centre = np.full((1, 17), 20.0, np.float32)
    missing = np.full((1, 17), np.nan, np.float32)
    absurd = np.full((1, 17), 1e30, np.float32)
    answer = network.predict(np.concatenate([centre, missing, absurd]), None, 3)
    assert np.isfinite(answer).all()
    np.testing.assert_array_equal(answer[0], answer[1])


def test_every_kernel_is_penalised_and_no_bias(mnn):
    with_kernel = [layer for layer in mnn.layers if hasattr(layer, "kernel")]
    assert len(with_kernel) == 1 + 5 * 5 + 4 + 4 + 1
    for layer in with_kernel:
        assert float(layer.kernel_regularizer.l2) == pytest.approx(1e-3)
        assert layer.bias_regularizer is None


def test_an_image_network_without_images_is_refused():
    with pytest.raises(ConfigError, match=r"'mnn'.*no image band.*'mlp'"):
        build_mnn(KIDS.without_images(), 1e-3)
