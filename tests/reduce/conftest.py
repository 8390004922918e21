"""Scored surveys made of random numbers, whole or split over the sky."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kidsclf.reduce import Context, SampleLabels, ScoredBlock
from kidsclf.schema import Scores
from kidsclf.sky.partition import INDEX_ORDER, Partition, spatial_index
from kidsclf.sky.split import PixelCounts, split_sky

CLASSES = ("STAR", "QSO", "GALAXY")
SMALLEST_ORDER = 12


def _sprinkle(rng, rows):
    """A field of 2 by 2 degrees across RA 0 and the equator, on many base pixels' borders."""
    return rng.uniform(-1.0, 1.0, rows) % 360.0, rng.uniform(-1.0, 1.0, rows)


def _scores(rng, rows):
    probabilities = rng.dirichlet((0.4, 0.4, 0.4), rows).astype(np.float32)
    unknown = rng.random(rows) < 0.05
    probabilities[unknown] = np.nan
    codes = np.where(unknown, -1, np.argmax(np.nan_to_num(probabilities), axis=1))
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-30)), axis=1)
    return Scores(
        probabilities, codes.astype(np.int64), probabilities.max(axis=1), entropy, CLASSES
    )


def _labels(rng, rows, codes, *, folds, split):
    truth = np.where(rng.random(rows) < 0.7, np.maximum(codes, 0), rng.integers(0, 3, rows))
    member = rng.random(rows) < 0.5
    fold = rng.integers(0, folds, rows) if folds else np.full(rows, -1)
    names = rng.choice(["train", "validation", "test"], rows) if split else np.full(rows, "")
    return SampleLabels(np.where(member, truth, -1), names, fold.astype(np.int64))


def _distances(rng, rows):
    distances = rng.exponential(2.0, rows).astype(np.float32)
    distances[rng.random(rows) < 0.05] = np.nan
    return distances


def make_survey(seed: int, rows: int, folds: int = 0) -> ScoredBlock:
    rng = np.random.default_rng(seed)
    ra, dec = _sprinkle(rng, rows)
    scores = _scores(rng, rows)
    magnitudes = rng.normal(20.0, 1.5, (rows, 4)).astype(np.float32)
    magnitudes[rng.random((rows, 4)) < 0.05] = np.nan
    drawn = {
        "half_light_radius": rng.lognormal(-0.7, 0.5, rows),
        "gini": rng.normal(0.5, 0.05, rows),
        "m20": rng.normal(-1.6, 0.3, rows),
    }
    withheld = rng.random(rows) < 0.05
    shapes = {name: np.where(withheld, np.nan, x).astype(np.float32) for name, x in drawn.items()}
    return ScoredBlock(
        partition=Partition(0, 0),
        name=np.array([f"source-{seed}-{k}" for k in range(rows)], dtype=str),
        ra=ra,
        dec=dec,
        index29=spatial_index(ra, dec) if rows else np.empty(0, np.int64),
        magnitudes=magnitudes,
        bands=("u", "g", "r", "i"),
        reference_magnitude=magnitudes[:, 2],
        scores=scores,
        calibrated=scores.probabilities**2 / (scores.probabilities**2).sum(axis=1, keepdims=True),
        sets=scores.probabilities >= np.float32(0.3),
        training_distance=(drawn_distance := _distances(rng, rows)),
        novelty=1 - np.exp(-drawn_distance / 2),
        flags=rng.integers(0, 512, rows).astype(np.int32),
        labels={
            "sdss": _labels(rng, rows, scores.codes, folds=folds, split=True),
            "gama": _labels(rng, rows, scores.codes, folds=0, split=False),
        },
        shapes=shapes,
    )


def take(block: ScoredBlock, rows, partition: Partition) -> ScoredBlock:
    return replace(block.take(rows), partition=partition)


def split_survey(block: ScoredBlock, max_rows: int) -> list[ScoredBlock]:
    """Split as ingest does, the rows of a partition in the order of the spatial index."""
    counts = PixelCounts.of_indices(block.index29, SMALLEST_ORDER)
    max_rows = max(max_rows, int(counts.rows.max(initial=1)))
    order = np.argsort(block.index29, kind="stable")
    return [
        take(block, order[partition.contains(block.index29[order])], partition)
        for partition, _ in split_sky(counts, max_rows)
    ]


@pytest.fixture(scope="session")
def survey() -> Callable[..., ScoredBlock]:
    return make_survey


@pytest.fixture(scope="session")
def split() -> Callable[[ScoredBlock, int], list[ScoredBlock]]:
    return split_survey


@pytest.fixture(scope="session")
def subset() -> Callable[..., ScoredBlock]:
    return take


@pytest.fixture(scope="session")
def context() -> Context:
    return Context(
        classes=CLASSES,
        training_sample="sdss",
        magnitude_edges=(18.0, 19.0, 20.0, 21.0, 22.0),
        thresholds=(0.34, 0.5, 0.9, 0.99),
        wanted_purity=(0.6, 0.95),
        wanted_completeness=(0.5, 0.9),
        gallery=4,
    )


@pytest.fixture(scope="session")
def square() -> Callable[..., ScoredBlock]:
    """Sources evenly spread over a square of the sphere; gives the block and its true area."""

    def build(seed, density, side, ra0, dec0):
        rng = np.random.default_rng(seed)
        low, high = np.sin(np.radians([dec0 - side / 2, dec0 + side / 2]))
        width = side / np.cos(np.radians(dec0))
        true = float(np.degrees(high - low)) * width
        rows = int(density * true)
        block = make_survey(seed, 1)
        block = take(block, np.zeros(rows, np.int64), Partition(0, 0))
        ra = (ra0 + rng.uniform(0, width, rows)) % 360.0
        dec = np.degrees(np.arcsin(rng.uniform(low, high, rows)))
        return replace(block, ra=ra, dec=dec, index29=spatial_index(ra, dec)), true

    assert SMALLEST_ORDER < INDEX_ORDER
    return build
