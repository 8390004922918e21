"""Memory of training on stamps of 41 x 41 pixels: from a stage's scratch file, against held arrays.

Each subject is a fresh process that trains a network of one small layer for an epoch, so that what
the sample takes stands out beside what the network takes. Memory: the peak of the process above
what it has when Keras is imported and one batch is learnt.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.record import Measurement, Record, ratio
from kidsclf.config import TrainSettings
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.table import NetworkEntry
from kidsclf.pipeline.packed_sample import PackedSample
from kidsclf.pipeline.stamp_file import StampFile, stamp_file
from kidsclf.schema import Inputs, LabelledRows

ROWS = {"tiny": (700, 1_400), "small": (10_000, 40_000), "full": (20_000, 80_000)}
SUBJECTS = ("scratch file", "held in memory")
SIZE_PX, BLOCK = 41, 1_000
CLASSES = ("STAR", "QSO", "GALAXY")
DESCRIPTION = InputDescription(tuple("ugri"), ("r",), SIZE_PX, CLASSES)
SMALL = NetworkEntry(
    "small", "classification", "all", "reference", "keras", "benchmarks.training:build_small", ""
)


def build_small(description, l2):  # noqa: ARG001  (of the interface of builders)
    """Build a network that costs next to nothing, of the inputs that the others have."""
    import keras

    from kidsclf.models.feng import PHOTOMETRY, PROBABILITIES, STAMPS, STANDARDISE, STRETCH
    from kidsclf.models.layers import AsinhStretch, Standardise

    photometry = keras.Input((description.photometry_features,), name=PHOTOMETRY)
    stamps = keras.Input((description.size_px, description.size_px, 1), name=STAMPS)
    pooled = keras.layers.AveragePooling2D(8)(AsinhStretch(name=STRETCH)(stamps))
    vector = keras.layers.Flatten()(pooled)
    both = keras.layers.Concatenate()([Standardise(name=STANDARDISE)(photometry), vector])
    answer = keras.layers.Dense(len(description.classes), activation="softmax", name=PROBABILITIES)
    return keras.Model({PHOTOMETRY: photometry, STAMPS: stamps}, answer(both))


def measure(size: str, repeats: int) -> Record:
    few, many = ROWS[size]
    peaks: dict[tuple[str, int], list[float]] = {}
    for _ in range(repeats):
        for rows in (few, many):
            for subject in SUBJECTS:
                peaks.setdefault((subject, rows), []).append(peak_mib(subject, rows))
    found = {
        key: Measurement(f"{key[0]}, {key[1]:,} sources", "peak memory", "MiB", tuple(values))
        for key, values in peaks.items()
    }
    grown = [ratio(found[subject, many], found[subject, few]) for subject in SUBJECTS]
    facts = {"size_px": SIZE_PX, "rows": [few, many], "stamps_mib": [mib(few), mib(many)]}
    return Record("training", size, tuple(found.values()), tuple(grown), facts)


def mib(rows: int) -> float:
    return round(rows * 4 * SIZE_PX**2 / 2**20, 1)


def peak_mib(subject: str, rows: int) -> float:
    code = f"from benchmarks.training import train; train({subject!r}, {rows})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return float(done.stdout.split()[-1])


def train(subject: str, rows: int) -> None:
    """Train in this process and print how far its memory went up, MiB."""
    prepare_backend("tensorflow", 1)
    from kidsclf.train.fit import fit_network

    settings = TrainSettings.model_validate({"threads": 1, "neural": {"epochs": 1}})

    def fit(sample: LabelledRows, validation: LabelledRows) -> None:
        fit_network(SMALL, DESCRIPTION, sample, validation, settings, seed=1)

    with (
        tempfile.TemporaryDirectory() as folder,
        stamp_file(Path(folder), (1, SIZE_PX, SIZE_PX)) as first,
        stamp_file(Path(folder), (1, SIZE_PX, SIZE_PX)) as stamps,
    ):
        fit(draw(first, 256), draw(first, 256))
        before = _peak_kib()
        sample = draw(stamps, rows)
        parts = np.split(np.arange(rows), [rows * 9 // 10])
        if subject == "held in memory":
            fit(*map(sample.take, parts))
        else:
            fit(*map(sample.only, parts))
        print((_peak_kib() - before) / 1024)


def draw(stamps: StampFile, rows: int) -> PackedSample:
    """Draw sources; their stamps go to the file, a thousand at a time."""
    rng = np.random.default_rng(1)
    for start in range(0, rows, BLOCK):
        shape = (min(BLOCK, rows - start), 1, SIZE_PX, SIZE_PX)
        stamps.append(rng.normal(0, 1e-12, shape).astype(np.float32))
    magnitudes = rng.normal(20, 1, (rows, 4)).astype(np.float32)
    inputs = Inputs(magnitudes, np.full_like(magnitudes, np.nan), DESCRIPTION.bands)
    names = np.array([f"source {row}" for row in range(rows)], object)
    codes, places = rng.integers(0, 3, rows), np.arange(rows)
    return PackedSample(names, codes, inputs, CLASSES, DESCRIPTION.image_bands, stamps, places)


def _peak_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
