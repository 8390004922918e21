"""Fitting: networks learn, keep their best epoch, and repeat themselves bit for bit."""

import random
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from kidsclf.config import TrainSettings
from kidsclf.errors import InputError, PlanError
from kidsclf.features import images
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.table import NetworkEntry, network_entry
from kidsclf.schema import Inputs, LabelledInputs
from kidsclf.train.fit import FittedNetwork, fit_network

prepare_backend("tensorflow", 2)

# Keras hands TensorFlow's tensors to numpy.array, which warns that they predate NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES = ("STAR", "QSO", "GALAXY")
DESCRIPTION = InputDescription(tuple("ugri"), ("r",), 9, CLASSES)
SETTINGS = TrainSettings.model_validate(
    {
        "threads": 2,
        "neural": {"epochs": 4, "batch_size": 32, "learning_rate": 1e-3, "l2": 1e-5},
        "trees": {"trees": 15, "depth": 3},
    }
)


SMALL = NetworkEntry(
    *("small", "classification", "all", "reference", "keras", "test_fit:build_small", "")
)
"""A network of images for what does not hang on its layers."""


def build_small(description, l2):
    import keras

    from kidsclf.models.feng import PHOTOMETRY, PROBABILITIES, STAMPS, STANDARDISE, STRETCH
    from kidsclf.models.layers import AsinhStretch, Standardise

    photometry = keras.Input((description.photometry_features,), name=PHOTOMETRY)
    stamps = keras.Input((description.size_px, description.size_px, 1), name=STAMPS)
    vectors = [
        Standardise(name=STANDARDISE)(photometry),
        keras.layers.Flatten(name="vector")(AsinhStretch(name=STRETCH)(stamps)),
    ]
    penalty = keras.regularizers.L2(l2)
    hidden = keras.layers.Dense(32, "relu", kernel_regularizer=penalty, name="hidden")
    answer = keras.layers.Dense(len(description.classes), "softmax", name=PROBABILITIES)
    vector = keras.layers.Concatenate(name="both")(vectors)
    inputs = {PHOTOMETRY: photometry, STAMPS: stamps}
    return keras.Model(inputs, answer(hidden(vector)), name="small")


def sky(rows: int, seed: int) -> LabelledInputs:
    """Draw three classes that differ in colour and, for galaxies, in extent."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, rows)
    colours = np.array([[1.2, 0.5, 0.2], [0.1, 0.1, 0.1], [1.4, 1.0, 0.4]])[codes]
    first = rng.uniform(18, 22, (rows, 1))
    magnitudes = np.hstack([first, first - colours.cumsum(axis=1)]) + rng.normal(0, 0.1, (rows, 4))
    radius = np.hypot(*(np.mgrid[:9, :9] - 4))
    profile = np.exp(-radius / np.where(codes == 2, 3.0, 1.0)[:, None, None])
    stamps = 10 ** (-0.4 * magnitudes[:, 2, None, None]) * profile / 30
    stamps = (stamps + rng.normal(0, 2e-12, stamps.shape)).astype(np.float32)
    magnitudes = magnitudes.astype(np.float32)
    magnitudes[:: rows // 5, 0] = np.nan
    inputs = Inputs(magnitudes, np.full_like(magnitudes, 0.1), tuple("ugri"), {"r": stamps})
    return LabelledInputs(inputs, codes.astype(np.int64), CLASSES)


def fit(name, seed=1, train=None, settings=SETTINGS, validation=None):
    train = sky(320, 1) if train is None else train
    validation = sky(120, 2) if validation is None else validation
    return fit_on(name, train, validation, settings, seed)


def fit_on(name, train, validation, settings, seed, checkpoints=None):
    entry = entry_of(name)
    reads = entry.reads(DESCRIPTION, "r")
    return fit_network(entry, reads, train, validation, settings, seed, checkpoints)


def entry_of(name) -> NetworkEntry:
    return SMALL if name == SMALL.name else network_entry(name)


def with_neural(**changes) -> TrainSettings:
    neural = SETTINGS.neural.model_copy(update=changes)
    return SETTINGS.model_copy(update={"neural": neural})


def fingerprint(name: str, directory: Path, seed: int = 1) -> str:
    return written(fit(name, seed), directory)


def written(fitted: FittedNetwork, directory: Path) -> str:
    fitted.network.write(directory)
    (file,) = directory.iterdir()
    return sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["mnn", "mlp", "xgboost"])
def test_each_network_learns_and_repeats_itself_in_a_fresh_process(name, tmp_path):
    fitted = fit(name)
    assert fitted.scores["validation_accuracy"] > 0.75
    assert fitted.history[-1].loss < fitted.history[0].loss
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    code = f"import test_fit; print(test_fit.fingerprint({name!r}, test_fit.Path({str(there)!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    assert done.stdout.split()[-1] == written(fitted, here)


def test_other_threads_that_draw_random_numbers_change_nothing(tmp_path):
    for folder in ("quiet", "busy"):
        (tmp_path / folder).mkdir()
    quiet = fingerprint("mlp", tmp_path / "quiet")
    stop = threading.Event()

    def draw() -> None:
        while not stop.wait(1e-4):
            random.random()

    noise = threading.Thread(target=draw)
    noise.start()
    try:
        busy = fingerprint("mlp", tmp_path / "busy")
    finally:
        stop.set()
        noise.join()
    assert busy == quiet


def test_another_seed_gives_another_network(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    assert fingerprint("mlp", tmp_path / "a", 1) != fingerprint("mlp", tmp_path / "b", 2)


def test_the_epoch_of_lowest_validation_loss_is_kept():
    fitted = fit("mlp")
    best = min(fitted.history, key=lambda row: row.val_loss)
    assert fitted.scores["best_epoch"] == best.epoch
    validation = sky(120, 2)
    from kidsclf.features.colours import photometry_features

    answer = fitted.network.predict(photometry_features(validation.inputs.magnitudes), None, 512)
    loss = -np.log(answer[np.arange(120), validation.codes].astype(np.float64)).mean()
    assert loss == best.val_loss


def test_the_training_loss_is_the_mean_over_all_batches():
    from kidsclf.features.colours import photometry_features

    still = {"epochs": 1, "learning_rate": 1e-12}
    settings = SETTINGS.model_copy(update={"neural": SETTINGS.neural.model_copy(update=still)})
    fitted, train = fit("mlp", settings=settings), sky(320, 1)
    answer = fitted.network.predict(photometry_features(train.inputs.magnitudes), None, 320)
    loss = -np.log(answer[np.arange(320), train.codes]).mean()
    assert fitted.history[0].loss == pytest.approx(loss, rel=1e-5)
    accuracy = (answer.argmax(axis=1) == train.codes).mean()
    assert fitted.history[0].accuracy == pytest.approx(accuracy, abs=1e-6)


def test_history_counts_epochs_and_rounds_from_one():
    assert [row.epoch for row in fit("mlp").history] == [1, 2, 3, 4]
    assert [row.epoch for row in fit("xgboost").history] == list(range(1, 16))


def test_sources_without_a_stamp_do_not_teach_an_image_network():
    train = sky(320, 1)
    train.inputs.images["r"][:20] = np.nan
    short = with_neural(epochs=1)
    assert fit("mnn", train=train, settings=short).scores["train_rows"] == 300
    assert fit("mlp", train=train).scores["train_rows"] == 320


def test_stamps_read_block_by_block_teach_the_same(monkeypatch, tmp_path):
    """With blocks of a batch, training looks for missing stamps and judges in several."""
    for folder in ("whole", "blocks"):
        (tmp_path / folder).mkdir()
    short = with_neural(epochs=1)
    whole = fit("small", settings=short, validation=sky(600, 2))
    monkeypatch.setattr(images, "BLOCK_BYTES", 1)
    blocks = fit("small", settings=short, validation=sky(600, 2))
    assert blocks.history == whole.history
    assert written(blocks, tmp_path / "blocks") == written(whole, tmp_path / "whole")


@pytest.mark.parametrize(
    ("name", "changes"), [("mlp", {"precision": "bfloat16"}), ("small", {"augment": "turns"})]
)
def test_bfloat16_and_turned_stamps_teach_a_network_of_the_same_kind(name, changes):
    plain, other = fit(name), fit(name, settings=with_neural(**changes))
    assert other.scores["validation_accuracy"] > 0.75
    assert other.history != plain.history
    assert other.network.model.to_json() == plain.network.model.to_json()
    assert {weight.dtype for weight in other.network.model.weights} == {"float32"}


def test_a_sample_smaller_than_a_batch_and_a_dead_band_are_learnt_from():
    train = sky(20, 1)
    train.inputs.magnitudes[:, 3] = np.nan
    assert np.isfinite(fit("mlp", train=train).scores["validation_loss"])


def test_a_class_without_sources_is_named():
    train = sky(60, 1)
    with pytest.raises(InputError, match=r"its training sample of .* holds no QSO"):
        fit("mlp", train=train.take(np.flatnonzero(train.codes != 1)))
    with pytest.raises(InputError, match="its training sample of 0 sources"):
        fit("xgboost", train=train.take(np.zeros(0, np.int64)))


def test_a_loss_that_runs_away_is_told_so():
    with pytest.raises(PlanError, match=r"lower train\.neural\.learning_rate"):
        fit("mlp", settings=with_neural(learning_rate=1e30))
