"""How much memory training takes for few and for many labelled sources, stamps and all.

Each number of sources is trained on in a fresh process, for one epoch, as the stage ``train`` does
it: stamps of 41 x 41 pixels lie in a scratch file and are read batch by batch. What is printed is
the peak of the process, and how far it lies above what that process had needed for 256 sources.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kidsclf.config import TrainSettings
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.table import NETWORKS, network_entry
from kidsclf.pipeline.packed_sample import PackedSample
from kidsclf.pipeline.stamp_file import StampFile, stamp_file
from kidsclf.schema import Inputs
from kidsclf.train.fit import fit_network

SIZE_PX, BLOCK, FEW = 41, 1_000, 256
ROWS = (4000, 32_000)
BANDS, CLASSES = ("u", "g", "r", "i", "Z", "Y", "J", "H", "Ks"), ("STAR", "QSO", "GALAXY")
ALONE = "--alone"
"""Train in this process."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train in a process for each number of sources, and print their peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    named = [entry.name for entry in NETWORKS if entry.family == "keras"]
    parser.add_argument("network", nargs="?", default="mnn_fast", choices=named)
    parser.add_argument("rows", metavar="ROWS", nargs="*", type=int, default=ROWS)
    parser.add_argument(ALONE, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.alone:
        train(given.network, given.rows[0])
        return
    print(f"{'sources':>9} {'stamps':>12} {'peak':>12} {'above 256 sources':>18}")
    for each in given.rows:
        command = [sys.executable, __file__, ALONE, given.network, str(each)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, more = map(float, done.stdout.split()[-2:])
        stamps = each * 4 * SIZE_PX**2 / 2**20
        print(f"{each:>9,} {stamps:>8,.0f} MiB {peak:>8,.0f} MiB {more:>14,.0f} MiB", flush=True)


def train(name: str, rows: int) -> None:
    """Train for an epoch in this process; print its peak, and that above a few sources, MiB."""
    prepare_backend("tensorflow", 1)
    entry = network_entry(name)
    described = entry.reads(InputDescription(BANDS, ("r",), SIZE_PX, CLASSES), "r")
    settings = TrainSettings.model_validate({"threads": 1, "neural": {"epochs": 1}})
    shape = (1, SIZE_PX, SIZE_PX)
    peaks = []
    for number in (FEW, rows):
        with tempfile.TemporaryDirectory() as folder, stamp_file(Path(folder), shape) as stamps:
            sample = draw(stamps, number)
            taught, judged = np.split(np.arange(number), [number * 9 // 10])
            fit_network(entry, described, sample.only(taught), sample.only(judged), settings, 1)
        peaks.append(peak_mib())
    print(peaks[1], peaks[1] - peaks[0])


def draw(stamps: StampFile, rows: int) -> PackedSample:
    """Draw sources; their stamps go to the file, a thousand at a time."""
    rng = np.random.default_rng(1)
    for start in range(0, rows, BLOCK):
        shape = (min(BLOCK, rows - start), 1, SIZE_PX, SIZE_PX)
        stamps.append(rng.normal(0, 1e-12, shape).astype(np.float32))
    magnitudes = rng.normal(20, 1, (rows, len(BANDS))).astype(np.float32)
    inputs = Inputs(magnitudes, np.full_like(magnitudes, np.nan), BANDS)
    names = np.array([f"source {row}" for row in range(rows)], object)
    codes = rng.integers(0, len(CLASSES), rows)
    shapes = np.empty((rows, 0), np.float32)
    return PackedSample(names, codes, inputs, CLASSES, ("r",), stamps, np.arange(rows), shapes)


def peak_mib() -> float:
    """Read the largest memory that this process has had, MiB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main()
