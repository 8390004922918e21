"""Measure the pure functions that see every source of a survey, on one process of this machine.

They are what a worker does between reading and writing; the throughput of whole stages, with their
files and their cluster, stands in the report of a run. Run ``python -m benchmarks --rows 1000000``.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from kidsclf.features.colours import photometry_features
from kidsclf.ingest.crossmatch import mutual_nearest
from kidsclf.ingest.stamps import cut_stamps
from kidsclf.sky.partition import spatial_index

REPEATS = 3
FIELD_DEG = 1.0
STAMP_PX = 41
TILE_PX = 4000
BANDS = 9


def prepare_spatial_index(rows: int, random: np.random.Generator) -> Callable[[], object]:
    ra, dec = _positions(rows, random)
    return lambda: spatial_index(ra, dec)


def prepare_mutual_nearest(rows: int, random: np.random.Generator) -> Callable[[], object]:
    """Match a catalogue with itself, moved by about 0.3 arcsec."""
    ra, dec = _positions(rows, random)
    moved = (
        ra + random.normal(0.0, 0.2 / 3600.0, rows),
        dec + random.normal(0.0, 0.2 / 3600.0, rows),
    )
    return lambda: mutual_nearest(ra, dec, *moved, 1.0)


def prepare_photometry_features(rows: int, random: np.random.Generator) -> Callable[[], object]:
    magnitudes = random.uniform(15.0, 23.0, (rows, BANDS)).astype(np.float32)
    return lambda: photometry_features(magnitudes)


def prepare_cut_stamps(rows: int, random: np.random.Generator) -> Callable[[], object]:
    """Cut from one tile in blocks, as a stage does, so that memory stays bounded."""
    image = random.normal(0.0, 1e-12, (TILE_PX, TILE_PX)).astype(np.float32)
    x, y = random.uniform(0.0, TILE_PX, (2, rows))
    blocks = np.array_split(np.arange(rows), max(1, rows // 10_000))
    return lambda: [len(cut_stamps(image, x[block], y[block], STAMP_PX)[0]) for block in blocks]


MEASURED = {
    "spatial_index": prepare_spatial_index,
    "mutual_nearest": prepare_mutual_nearest,
    "photometry_features": prepare_photometry_features,
    "cut_stamps": prepare_cut_stamps,
}


def _positions(rows: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return random.uniform(0.0, FIELD_DEG, rows), random.uniform(0.0, FIELD_DEG, rows)


def _best_seconds(work: Callable[[], object]) -> float:
    """Time the work; the best of a few is the one that other programs disturbed least."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="sources (default: %(default)s)")
    rows = parser.parse_args().rows
    print(f"{'function':<22}{'rows':>10}{'seconds':>11}{'rows/s':>14}")
    for name, prepare in MEASURED.items():
        seconds = _best_seconds(prepare(rows, np.random.default_rng(1)))
        print(f"{name:<22}{rows:>10}{seconds:>11.4f}{rows / seconds:>14,.0f}")


if __name__ == "__main__":
    main()
