"""The backend is chosen once in a process."""

import pytest

from kidsclf.errors import ConfigError, PlanError
from kidsclf.models.backend import prepare_backend


def test_repeating_is_harmless_but_changing_is_refused():
    prepare_backend("tensorflow", 2)
    import tensorflow

    tensorflow.constant(1.0)  # starts the runtime, which fixes the threads
    prepare_backend("tensorflow", 2)
    with pytest.raises(PlanError, match="2 threads; start a new process"):
        prepare_backend("tensorflow", 1)


def test_a_second_backend_is_refused(monkeypatch):
    prepare_backend("tensorflow", 2)
    import keras

    assert keras.config.backend() == "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(PlanError, match="runs it on tensorflow"):
        prepare_backend("jax", 2)


def test_an_absent_backend_is_named(monkeypatch):
    import sys

    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ConfigError, match="'torch' was asked for, but that package is not installed"
    ):
        prepare_backend("torch", 2)


def test_openvino_answers_beside_tensorflow_and_tells_nobody(monkeypatch):
    import sys

    # Who imported OpenVINO before, as a test of every module does, has brought it.
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    prepare_backend("openvino", 2)
    import keras

    assert keras.config.backend() == "tensorflow"
    assert "openvino" in sys.modules
    assert sys.modules["openvino_telemetry"] is None


def test_an_absent_openvino_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"'openvino' was asked for, .* kidsclf\[openvino\]"):
        prepare_backend("openvino", 2)
