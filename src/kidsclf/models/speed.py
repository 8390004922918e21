"""How fast each backend answers on this machine.

A process can run Keras on one backend only, so each is measured in one of its own:
``python -m kidsclf.models.speed JSON`` prints the sources a second of one. What the networks say
does not matter to it, so they have random weights, by which no answer is a close call.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kidsclf.models.backend import (
    Backend,
    Precision,
    choose_precision,
    installed_backends,
    prepare_backend,
)
from kidsclf.models.description import InputDescription
from kidsclf.models.files import installed_versions
from kidsclf.models.network import ROWS_WITHOUT_STAMPS
from kidsclf.models.table import network_entry
from kidsclf.schema import PackedStamps

CLEARLY_FASTER = 1.1
"""Another backend than TensorFlow is taken if it answers so many times as many sources."""

_LONGEST_SECONDS = 120.0
"""A backend that has not said by then how fast it is, is too slow."""
_ENOUGH_SECONDS, _MOST_BATCHES = 1.0, 20
PACKAGES = ("keras", "tensorflow-cpu", "tensorflow", "jax", "jaxlib", "torch", "openvino")
"""Those that computing with Keras depends on."""


@dataclass(frozen=True)
class Question:
    """What is asked of a backend.

    Attributes
    ----------
    network : str
        Of the table, of the family ``keras``.
    description : InputDescription
        What it reads.
    batch_size, threads, precision
        As ``[infer]`` has them.
    """

    network: str
    description: InputDescription
    batch_size: int
    threads: int
    precision: Precision | Literal["auto"]


@dataclass(frozen=True)
class Speeds:
    """What was found.

    Attributes
    ----------
    chosen : str
        The backend to take.
    sources_per_second : mapping of backend to float or None
        Of those that are installed; None for one that failed or was too slow to measure. Empty
        where there is but one.
    versions : mapping of package to str
    """

    chosen: Backend
    sources_per_second: dict[Backend, float | None]
    versions: dict[str, str]


def compare_backends(question: Question) -> Speeds:
    """Measure every backend that is installed, one after the other, each in a fresh process."""
    installed = installed_backends()
    if len(installed) == 1:
        return Speeds(installed[0], {}, installed_versions(PACKAGES))
    found = {backend: _asked_apart(backend, question) for backend in installed}
    return Speeds(fastest(found), found, installed_versions(PACKAGES))


def fastest(speeds: dict[Backend, float | None]) -> Backend:
    """Choose; where TensorFlow is installed it stays unless another is clearly faster.

    So neither noise nor a machine too busy to answer in time decides.

    >>> fastest({"tensorflow": 1000.0, "torch": 1050.0})
    'tensorflow'
    >>> fastest({"tensorflow": 1000.0, "jax": None, "torch": 2000.0})
    'torch'
    """
    known = {backend: speed for backend, speed in speeds.items() if speed is not None}
    if not known or ("tensorflow" in speeds and "tensorflow" not in known):
        return "tensorflow"
    best = max(known, key=lambda backend: known[backend])
    usual = known.get("tensorflow", 0.0)
    return best if known[best] > CLEARLY_FASTER * usual else "tensorflow"


def _asked_apart(backend: Backend, question: Question) -> float | None:
    record = {**asdict(question), "description": question.description.as_dict()}
    command = [sys.executable, "-m", __name__, json.dumps({"backend": backend, **record})]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
            check=True,
            env=environment,
        )
        return float(done.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # it cannot be started, fails, is too slow or says no number


def measure(backend: Backend, question: Question) -> float:
    """Measure a backend in this process, which must not run another; sources a second."""
    _keep_to(question.threads)
    prepare_backend(backend, question.threads)
    # Bring Keras, on the backend that was made ready.
    from kidsclf.models.inference import FoldedNetwork  # noqa: PLC0415
    from kidsclf.models.neural import NeuralNetwork  # noqa: PLC0415

    entry, description = network_entry(question.network), question.description
    module, _, builder = entry.builder.partition(":")
    model = getattr(importlib.import_module(module), builder)(description, 0.0)
    _decide(model)
    network = FoldedNetwork.of(
        NeuralNetwork(entry, description, model),
        choose_precision(question.precision, backend),
        question.threads,
        backend,
    )
    photometry, stamps = _sources(description, question.batch_size)
    network.predict(photometry, stamps, question.batch_size)  # compiles
    took: list[float] = []
    while sum(took) < _ENOUGH_SECONDS and len(took) < _MOST_BATCHES:
        started = time.perf_counter()
        network.predict(photometry, stamps, question.batch_size)
        took.append(time.perf_counter() - started)
    return len(photometry) / min(took)


def _decide(model: Any) -> None:
    """Let the last layer say one class whatever it is told."""
    last = model.layers[-1]
    kernel, bias = last.get_weights()
    last.set_weights([np.zeros_like(kernel), 9.0 * np.eye(len(bias))[0]])


def _sources(
    description: InputDescription, rows: int
) -> tuple[NDArray[np.float32], PackedStamps | None]:
    """Draw a batch, or the several that sources without a stamp are asked in."""
    rng, size, bands = np.random.default_rng(1), description.size_px, description.image_bands
    rows *= 1 if bands else ROWS_WITHOUT_STAMPS
    photometry = rng.normal(20, 2, (rows, description.photometry_features)).astype(np.float32)
    if not bands:
        return photometry, None
    codes = rng.normal(0, 5, (rows, size, size, len(bands))).astype(np.int16)
    return photometry, PackedStamps(codes, np.full((rows, len(bands)), 2e-13, np.float32))


def _keep_to(threads: int) -> None:
    """Keep this process to as many processors as it may have threads, which JAX asks nobody."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _main(text: str) -> None:
    record = json.loads(text)
    backend = record.pop("backend")
    record["description"] = InputDescription.from_dict(record["description"])
    speed = measure(backend, Question(**record))
    sys.stdout.write(f"{speed}\n")


if __name__ == "__main__":
    _main(sys.argv[1])
