"""The networks of Feng et al.: layers, counts, and what they do with odd data."""

import numpy as np
import pytest

from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription

prepare_backend("tensorflow", 2)

import keras  # noqa: E402

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


def test_image_bands_have_branches_of_their_own():
    """Feng §5.1: each band's stamp goes through a branch; no weight and no pixel is shared."""
    description = InputDescription(("g", "r"), ("r", "g"), 9, CLASSES)
    both, one = (
        build_mnn(description, 1e-3),
        build_mnn(InputDescription(("g",), ("r",), 9, CLASSES), 1e-3),
    )
    assert both.get_layer("image_vector").output.shape == (None, 1024)
    stages = [layer for layer in one.layers if layer.name.startswith("stage")]
    for prefix in ("image1_", "image2_"):
        alike = [both.get_layer(prefix + layer.name) for layer in stages]
        shapes = [[weight.shape for weight in layer.weights] for layer in alike]
        assert shapes == [[weight.shape for weight in layer.weights] for layer in stages]
    of_branches = keras.Model(
        both.input, [both.get_layer(f"image{band}_vector").output for band in (1, 2)]
    )
    photometry = np.zeros((1, 3), np.float32)
    dark, bright = np.zeros((2, 1, 9, 9, 2), np.float32)
    bright[..., 1] = 5.0
    before, after = (
        of_branches.predict_on_batch({"photometry": photometry, "stamps": stamps})
        for stamps in (dark, bright)
    )
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).max() > 0


def test_missing_and_absurd_magnitudes_stay_finite():
    entry = network_entry("mlp")
    photometry = entry.reads(KIDS, "r")
    model = build_mlp(photometry, 1e-3)
    model.get_layer("standardise").set_weights([np.full(17, 20.0), np.full(17, 2.0)])
    network = NeuralNetwork(entry, photometry, model)
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
