"""Training: sources and epochs a second, the share of its input, and memory at two sample sizes.

Each network learns in a fresh process, from drawn sources whose stamps of 41 x 41 pixels lie in a
stage's scratch file, as in a run: first few sources, then many. An epoch is timed from the end of
the one before, judging included; the first, in which the network is compiled, is not counted. The
share of the input is what gathering the same batches takes alone, of the processor time of an
epoch. Beside the wall clock stands processor time of all threads, which other programs on the
machine disturb less. Memory is the peak of the process; that of many sources over that of few says
how it grows.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Measurement, Record, ratio
from kidsclf.config import TrainSettings
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.files import installed_versions
from kidsclf.models.speed import PACKAGES
from kidsclf.models.table import network_entry
from kidsclf.pipeline.packed_sample import PackedSample
from kidsclf.pipeline.stamp_file import StampFile, stamp_file
from kidsclf.schema import Inputs, LabelledRows

SIZES = {
    "tiny": (("mlp",), 150, 300),
    "small": (("mnn", "mnn_fast", "mlp"), 1_000, 4_000),
    "full": (("mnn", "mnn_fast", "mlp"), 10_000, 40_000),
}
"""Networks, and sources of the two samples."""
SIZE_PX, BLOCK, VALIDATION = 41, 1_000, 0.1
CLASSES = ("STAR", "QSO", "GALAXY")
DATA = InputDescription(tuple("ugriZYJHK"), ("r",), SIZE_PX, CLASSES)
THREADS = 1
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
"""Of Keras, which itself reads this variable."""
COUNTED = {"sources": ("sources/s", 0), "of one core": ("sources/s", 1)}
"""Which of the two clocks a quantity is of."""
MOST_GROWTH = 1.1


def measure(size: str, repeats: int) -> Record:
    names, few, many = SIZES[size]
    measurements, ratios = [], []
    for name in names:
        found = _in_a_process(name, few, many, repeats)
        epochs = np.array(found["epochs"])
        for quantity, (unit, clock) in COUNTED.items():
            rates = tuple(float(found["learnt"] / each[clock]) for each in epochs)
            measurements.append(Measurement(name, quantity, unit, rates))
        measurements += [
            Measurement(name, "epochs", "1/s", tuple(float(1 / each[0]) for each in epochs)),
            Measurement(
                name,
                "share of the input",
                "of an epoch",
                tuple(float(a / b[1]) for a, b in zip(found["input"], epochs, strict=True)),
            ),
        ]
        peaks = [
            Measurement(f"{name}, {rows:,} sources", "peak memory", "MiB", (peak,) * repeats)
            for rows, peak in zip((few, many), found["peaks"], strict=True)
        ]
        measurements += peaks
        ratios.append(ratio(peaks[1], peaks[0], goal=MOST_GROWTH, at_least=False))
    facts = {
        "rows": [few, many],
        "stamps of many, MiB": round(many * 4 * SIZE_PX**2 / 2**20, 1),
        "batch": TrainSettings().neural.batch_size,
        "threads": THREADS,
        **installed_versions(PACKAGES),
    }
    return Record("training", size, tuple(measurements), tuple(ratios), facts)


def _in_a_process(*asked: object) -> dict[str, Any]:
    code = f"from benchmarks.training import train; train{asked!r}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class _Clock:
    """Stands where checkpoints are kept, and notes when each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    @contextmanager
    def opened(self) -> Iterator[None]:
        yield None

    def save(self, _: Iterable[object]) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))


def train(name: str, few: int, many: int, repeats: int) -> None:
    """Train in this process and print what it took."""
    prepare_backend(BACKEND, THREADS)
    from kidsclf.train.fit import fit_network

    entry = network_entry(name)
    description = entry.reads(DATA, "r")

    def fit(sample: PackedSample, epochs: int) -> tuple[LabelledRows, list[tuple[float, float]]]:
        settings = {"threads": THREADS, "neural": {"epochs": epochs}}
        kept, clock = TrainSettings.model_validate(settings), _Clock()
        order = np.arange(len(sample))
        parts = np.split(order, [len(order) - max(30, int(VALIDATION * len(order)))])
        taught, judging = map(sample.only, parts)
        fit_network(entry, description, taught, judging, kept, seed=1, checkpoints=clock)
        took = np.diff(np.array(clock.ends), axis=0) if epochs > 1 else []
        return taught, [tuple(map(float, each)) for each in took]

    with (
        tempfile.TemporaryDirectory() as folder,
        stamp_file(Path(folder), (1, SIZE_PX, SIZE_PX)) as first,
        stamp_file(Path(folder), (1, SIZE_PX, SIZE_PX)) as second,
    ):
        fit(draw(first, few), 2)
        peaks = [_peak_mib()]
        taught, epochs = fit(draw(second, many), repeats + 1)
        peaks.append(_peak_mib())
        gathered = [_input_seconds(taught, description) for _ in range(repeats)]
    learnt = len(taught)
    found = {"learnt": learnt, "epochs": epochs, "input": gathered, "peaks": peaks}
    sys.stdout.write(json.dumps(found) + "\n")


def _input_seconds(taught: LabelledRows, description: InputDescription) -> float:
    """Gather the batches of an epoch and do nothing with them; seconds of processor time."""
    from kidsclf.train.sample import Sample

    sample, size = Sample.of(taught, description), TrainSettings().neural.batch_size
    order = np.random.default_rng(1).permutation(len(sample))
    started = time.process_time()
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        sample.stamps(rows)
        sample.photometry[rows]
    return time.process_time() - started


def draw(stamps: StampFile, rows: int) -> PackedSample:
    """Draw sources; their stamps go to the file, a thousand at a time."""
    rng = np.random.default_rng(1)
    for start in range(0, rows, BLOCK):
        shape = (min(BLOCK, rows - start), 1, SIZE_PX, SIZE_PX)
        stamps.append(rng.normal(0, 1e-12, shape).astype(np.float32))
    magnitudes = rng.normal(20, 1, (rows, len(DATA.bands))).astype(np.float32)
    inputs = Inputs(magnitudes, np.full_like(magnitudes, np.nan), DATA.bands)
    names = np.array([f"source {row}" for row in range(rows)], object)
    codes, places = rng.integers(0, len(CLASSES), rows), np.arange(rows)
    shapes = np.empty((rows, 0), np.float32)
    return PackedSample(names, codes, inputs, CLASSES, DATA.image_bands, stamps, places, shapes)


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
