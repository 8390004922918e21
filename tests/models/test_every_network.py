"""What every network of the table has to do, whatever the survey gives it."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from kidsclf.config import TrainSettings
from kidsclf.errors import ConfigError
from kidsclf.infer.score import score
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.files import load_network, save_network
from kidsclf.models.table import NETWORKS, network_entry
from kidsclf.schema import Inputs, LabelledInputs
from kidsclf.train.fit import fit_network

prepare_backend("tensorflow", 2)

from kidsclf.models import feng  # noqa: E402
from kidsclf.models.inference import FoldedNetwork  # noqa: E402
from kidsclf.models.neural import NeuralNetwork  # noqa: E402

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES = ("STAR", "QSO", "GALAXY")
KIDS = InputDescription(tuple("ugriZYJHK"), tuple("ugri"), 41, CLASSES)
SMALL = InputDescription(tuple("griz"), ("g", "r"), 9, CLASSES)
READS = {
    "mnn": (tuple("ugriZYJHK"), ("r",)),
    "mnn_imaged_bands": (tuple("ugri"), ("r",)),
    "mnn_all_stamps": (tuple("ugri"), tuple("ugri")),
    "cnn": ((), tuple("ugri")),
    "mlp": (tuple("ugriZYJHK"), ()),
    "mnn_fast": (tuple("ugriZYJHK"), ("r",)),
    "xgboost": (tuple("ugriZYJHK"), ()),
}
SIZES = {
    "mnn": (17_670_342, 116_066_848),
    "mnn_imaged_bands": (15_048_882, 111_724_448),
    "mnn_all_stamps": (53_651_733, 437_262_080),
    "cnn": (51_643_655, 434_222_400),
    "mlp": (4_802_725, 7_554_304),
    "mnn_fast": (296_806, 293_696),
}
SETTINGS = TrainSettings.model_validate(
    {"neural": {"epochs": 1, "batch_size": 32}, "trees": {"trees": 2, "depth": 2}}
)
BATCH = 32

every_network = pytest.mark.parametrize("entry", NETWORKS, ids=lambda entry: entry.name)


def build(entry, description):
    module, function = entry.builder.split(":")
    return getattr(importlib.import_module(module), function)(description, 1e-3)


def sky(rows, seed):
    """Draw sources of no meaning, in bands and stamps that no network wants all of."""
    rng = np.random.default_rng(seed)
    magnitudes = rng.normal(20, 1, (rows, len(SMALL.bands))).astype(np.float32)
    images = {
        band: rng.normal(0, 1e-11, (rows, 9, 9)).astype(np.float32) for band in SMALL.image_bands
    }
    inputs = Inputs(magnitudes, np.full_like(magnitudes, 0.1), SMALL.bands, images)
    return LabelledInputs(inputs, np.arange(rows) % 3, CLASSES)


@every_network
def test_it_reads_what_the_paper_gives_it_of_kids(entry):
    reads = entry.reads(KIDS, "r")
    assert (reads.bands, reads.image_bands) == READS[entry.name]
    assert reads.size_px == (41 if entry.images else 0)


@every_network
def test_its_size_is_as_documented(entry):
    if entry.family != "keras":
        pytest.skip("trees have no parameters")
    reads = entry.reads(KIDS, "r")
    network = NeuralNetwork(entry, reads, build(entry, reads))
    assert (network.parameters, network.multiply_adds) == SIZES[entry.name]


@every_network
@pytest.mark.parametrize(
    "data",
    [
        InputDescription(("r",), ("r",), 3, ("STAR", "GALAXY")),
        InputDescription(tuple("ugriz"), ("r", "z", "VIS"), 12, ("A", "B", "C", "D")),
    ],
    ids=["one band", "five bands, three stamps"],
)
def test_no_number_of_bands_stamps_or_classes_is_assumed(entry, data):
    reads = entry.reads(data, "r")
    assert set(reads.bands) <= set(data.bands)
    if entry.family == "keras":
        model = build(entry, reads)
        assert model.output.shape == (None, len(data.classes))
        shapes = {name: tensor.shape[1:] for name, tensor in model.input.items()}
        stamp = (reads.size_px, reads.size_px, len(reads.image_bands))
        wanted = {"photometry": (2 * len(reads.bands) - 1,)} if reads.bands else {}
        assert shapes == wanted | ({"stamps": stamp} if entry.images else {})


@every_network
def test_it_learns_is_kept_and_answers_folded(entry, tmp_path, monkeypatch):
    """The answers of a source without its magnitudes or stamps are missing, no others."""
    monkeypatch.setattr(feng, "STAGE_WIDTHS", (8,))  # compiled in less time
    reads = entry.reads(SMALL, "r")
    fitted = fit_network(entry, reads, sky(64, 1), sky(32, 2), SETTINGS, seed=3)
    assert np.isfinite(fitted.scores["validation_loss"])
    save_network(fitted.network, tmp_path, settings={}, seed=3, fingerprint="", scores={})
    kept = load_network(tmp_path)
    assert kept.description == reads
    inputs = sky(48, 4).inputs
    inputs.magnitudes[0] = np.nan
    inputs.magnitudes[1, 0] = np.nan
    inputs.images["r"][2] = np.nan
    inputs.images["g"][3] = np.nan
    said = score(kept, [inputs], batch_size=BATCH)
    lost = [0] if reads.bands else []
    lost += [row for row, band in ((2, "r"), (3, "g")) if band in reads.image_bands]
    assert np.flatnonzero(said.codes < 0).tolist() == lost
    if entry.family == "keras":
        folded = score(FoldedNetwork.of(kept, "float32", 1), [inputs], batch_size=BATCH)
        np.testing.assert_allclose(folded.probabilities, said.probabilities, atol=2e-5)


@every_network
def test_what_it_lacks_is_named(entry):
    photometry = replace(KIDS, image_bands=(), size_px=0)
    if entry.images:
        with pytest.raises(ConfigError, match=rf"'{entry.name}' needs images.*'mlp'"):
            entry.reads(photometry, "r")
    else:
        assert entry.reads(photometry, "r").bands == KIDS.bands
    others = replace(KIDS, image_bands=("g", "i"))
    if entry.stamps == "reference":
        with pytest.raises(ConfigError, match=r"reference band r, but cutouts\.bands holds g, i"):
            entry.reads(others, "r")
    else:
        assert entry.reads(others, "r").image_bands == (("g", "i") if entry.images else ())
    foreign = replace(KIDS, image_bands=("VIS",))
    if entry.magnitudes == "imaged":
        with pytest.raises(ConfigError, match=r"none is among cutouts\.bands \(VIS\)"):
            entry.reads(foreign, "r")
    else:
        assert entry.reads(foreign, "r").image_bands == (("VIS",) if entry.images else ())


def test_a_single_image_band_is_taken_whichever_it_is():
    assert network_entry("mnn").reads(replace(KIDS, image_bands=("g",)), "r").image_bands == ("g",)
