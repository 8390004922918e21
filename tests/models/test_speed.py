"""Backends answer alike from the same weights, and which is taken is decided once."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from backend_answers import DATA, NETWORKS, answers

from kidsclf.config import Config
from kidsclf.models import speed
from kidsclf.models.backend import installed_backends, is_out_of_memory, prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.speed import Speeds, fastest
from kidsclf.models.table import network_entry
from kidsclf.pipeline import choosing
from kidsclf.pipeline.tasks import Mapped, perform
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import read_receipt
from kidsclf.surveys.map_files import load_column_map

prepare_backend("tensorflow", 2)

SAME_ANSWER = 1e-4
"""Between backends in float32, whose sums have other orders: a probability moves by no more."""
MLP = InputDescription(tuple("ugri"), (), 0, ("STAR", "QSO", "GALAXY"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A folder of networks with weights of a seed, and of sources; and what TensorFlow says."""
    folder = tmp_path_factory.mktemp("networks")
    for name in NETWORKS:
        write_network(folder, name)
    return folder, answers(folder, "tensorflow")


def write_network(folder, name):
    from kidsclf.models.neural import NeuralNetwork

    rng, entry = np.random.default_rng(3), network_entry(name)
    description = entry.reads(DATA, "r")
    module, _, builder = entry.builder.partition(":")
    model = getattr(importlib.import_module(module), builder)(description, 0)
    for weight in model.weights:
        if weight.name == "kernel":
            deviation = np.sqrt(2 / np.prod(weight.shape[:-1]))
            weight.assign(rng.normal(0, deviation, weight.shape))
        elif weight.name == "softening":
            weight.assign(np.full(weight.shape, 2e-12))
    (folder / name).mkdir()
    NeuralNetwork(entry, description, model).write(folder / name)
    photometry = rng.normal(0, 2, (150, description.photometry_features)).astype(np.float32)
    codes = rng.normal(0, 5, (150, 21, 21, 1)).astype(np.int16)
    steps = rng.uniform(3e-13, 5e-13, (150, 1)).astype(np.float32)
    given = {"photometry": photometry, "codes": codes, "steps": steps}
    np.savez(folder / name / "sources.npz", **given)


@pytest.fixture(scope="module", params=["jax", "torch", "openvino"])
def elsewhere(request, asked):
    """What another backend says of the same, in a process of its own."""
    backend, (folder, _) = request.param, asked
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; it is no dependency")
    program = Path(__file__).with_name("backend_answers.py")
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, str(program), backend, str(folder)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / f"{backend}.npz") as found:
        return backend, dict(found)


@pytest.mark.parametrize("name", NETWORKS)
def test_backends_say_the_same_of_the_same_weights(name, asked, elsewhere):
    (_, said), (_, found) = asked, elsewhere
    assert np.ptp(said[name], axis=0).min() > 0.02
    assert np.abs(found[name] - said[name]).max() < SAME_ANSWER
    first, second = np.sort(said[name], axis=1)[:, [-1, -2]].T
    clear = first - second > 2 * SAME_ANSWER
    assert clear.mean() > 0.9
    assert (found[name].argmax(axis=1) == said[name].argmax(axis=1))[clear].all()


def test_openvino_says_the_same_bits_in_any_process(asked, elsewhere):
    (folder, _), (backend, found) = asked, elsewhere
    if backend != "openvino":
        pytest.skip("it is OpenVINO's promise")
    prepare_backend("openvino", 2)
    for name, said in answers(folder, "openvino").items():
        assert found[name].tobytes() == said.tobytes()


def test_packed_stamps_give_the_same_bits_on_other_backends(elsewhere):
    _, found = elsewhere
    assert found["mnn_fast packed"].tobytes() == found["mnn_fast"].tobytes()


def test_another_backend_has_to_be_clearly_faster():
    assert fastest({"tensorflow": 1000.0, "torch": 1050.0}) == "tensorflow"
    assert fastest({"tensorflow": 1000.0, "jax": None, "torch": 2000.0}) == "torch"
    assert fastest({"tensorflow": None, "torch": 2000.0}) == "tensorflow"
    assert fastest({"jax": 10.0, "torch": 2000.0}) == "torch"


class Here:
    """Does tasks in this process."""

    def __init__(self, work):
        self.work, self.done = work, 0

    def map(self, tasks):
        self.done += len(tasks)
        return Mapped(tuple(perform(task, self.work) for task in tasks), len(tasks), 0.0)


def test_it_is_measured_once_and_stands(tmp_path, monkeypatch):
    answers = iter(["torch", "jax"])
    monkeypatch.setattr(choosing, "installed_backends", lambda: ("tensorflow", "torch"))
    monkeypatch.setattr(
        choosing,
        "compare_backends",
        lambda _: Speeds(next(answers), {"tensorflow": 10.0, "torch": 20.0, "jax": None}, {}),
    )
    settings = {"survey": {"preset": "kids_dr5"}, "infer": {"backend": "auto"}}
    config = Config.model_validate({**settings, "train": {"networks": ["xgboost", "mlp"]}})
    survey, work = load_column_map("kids_dr5"), WorkDirectory(tmp_path)
    assert choosing.remembered_backend(config, work).infer.backend == "tensorflow"
    settled, told = choosing.settle_backend(config, survey, work, Here(work))
    assert settled.infer.backend == settled.infer.keras_backend == "torch"
    assert "torch 20" in told
    assert "jax too slow or failed" in told
    # Neither other settings nor other networks, as of an experiment, take a choice back.
    other = config.model_copy(update={"infer": config.infer.model_copy(update={"threads": 2})})
    train = config.train.model_copy(update={"networks": ("mnn",)})
    for each in (config, other, other.model_copy(update={"train": train})):
        again, _ = choosing.settle_backend(each, survey, work, Here(work))
        assert again.infer.backend == "torch", "it was measured anew"
    assert choosing.remembered_backend(config, work) == settled
    monkeypatch.setattr(choosing, "installed_backends", lambda: ("tensorflow", "jax"))
    assert choosing.settle_backend(config, survey, work, Here(work))[0].infer.backend == "jax"


def test_auto_measures_what_is_installed(tmp_path):
    """For real: each in a process of its own. Which is faster is the machine's business."""
    survey, work = load_column_map("kids_dr5"), WorkDirectory(tmp_path)
    settings = {"infer": {"backend": "auto", "batch_size": 32}, "train": {"networks": ["mlp"]}}
    config = Config.model_validate({"survey": {"preset": "kids_dr5"}, **settings})
    here = Here(work)
    settled, told = choosing.settle_backend(config, survey, work, here)
    facts = read_receipt(work.receipts, "backend", "chosen").facts
    speeds = facts["sources_per_second"]
    assert set(speeds) == set(installed_backends()) >= {"tensorflow", "jax", "openvino"}
    assert min(speeds.values()) > 0
    assert settled.infer.backend == facts["chosen"] == fastest(speeds)
    assert f"jax {speeds['jax']:,.0f}" in told
    assert choosing.settle_backend(config, survey, work, here)[0] == settled
    assert here.done == 1


def test_a_backend_that_cannot_even_be_started_is_not_taken(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert speed._asked_apart("torch", speed.Question("mlp", MLP, 8, 1, "float32")) is None


def test_nothing_is_measured_where_nothing_is_to_be_chosen(tmp_path):
    survey, work = load_column_map("kids_dr5"), WorkDirectory(tmp_path)
    here = Here(work)
    for networks, backend, expected in (
        (["xgboost"], "auto", "tensorflow"),
        (["mlp"], "torch", "torch"),
    ):
        config = Config.model_validate(
            {
                "survey": {"preset": "kids_dr5"},
                "infer": {"backend": backend},
                "train": {"networks": networks},
            }
        )
        settled, told = choosing.settle_backend(config, survey, work, here)
        assert settled.infer.backend == expected
        assert told is None
    assert here.done == 0


OF_TORCH = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 400000000000000 bytes. Error code 12 (Cannot allocate memory)"
)
"""What PyTorch 2.13 says on a processor."""


def test_out_of_memory_is_told_from_other_errors():
    names = ("ResourceExhaustedError", "OutOfMemoryError")
    kinds = [type(name, (RuntimeError,), {}) for name in names]
    texts = ("RESOURCE_EXHAUSTED: 2 GiB", "allocator.cpp:79: std::bad_alloc", OF_TORCH)
    for error in (*(kind("full") for kind in kinds), *map(RuntimeError, texts)):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shapes differ"))
