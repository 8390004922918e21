"""Does a network go wrong where novelty says that it may? Against other distances, and the truth.

A mock sky is drawn for each repeat; trees learn from spectroscopic labels, either from all of them
(they reach r = 22.5 or so) or only from those of r <= 20, three quarters of which teach and one
validates. Two questions:

``area under curve`` (labels only): for labels fainter than r = 20, given to trees that learnt from
brighter ones, the probability that a source of wrong class has the larger distance than one of
right class; mean over bins of half a magnitude, so that brightness itself plays no part. 0.5 is
chance. This is what the distance was chosen by.

``accuracy, quarter k`` (truth): of all sources of the sky without a spectrum, in bins of r beyond
the labels, for the quarter that is nearest to the training sample (1) to the furthest (4). The
ratio of the last quarter's accuracy to the first's is below 1 where novelty tells. ``novel`` is the
share of sources with a novelty of 0.99 or more.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.record import Measurement, Record, ratio
from kidsclf.config import TrainSettings, TreeSettings
from kidsclf.infer.score import score
from kidsclf.mock import MockSettings, write_survey
from kidsclf.mock.settings import BANDS, R
from kidsclf.models.description import InputDescription
from kidsclf.models.novelty import Novelty, expectation
from kidsclf.models.table import network_entry
from kidsclf.schema import Inputs, LabelledInputs
from kidsclf.train.fit import fit_network
from kidsclf.train.novelty import learn_novelty

SKIES = {"tiny": (4000, 2500, 5), "small": (60_000, 8000, 100), "full": (300_000, 20_000, 200)}
"""Rows of the catalogue, labels among them, and trees a class."""

CLASSES = ("STAR", "QSO", "GALAXY")
SHALLOW = 20.0
DEPTHS = {"labels of r <= 20": SHALLOW, "all labels": 30.0}
BINS = {"labels of r <= 20": (20.0, 20.5, 21.0, 21.5, 22.0, 22.5), "all labels": (21.5, 22.0, 22.5)}
STEP = 0.5
FEWEST_WRONG = 10
"""In a bin whose area under the curve is taken, but for tiny skies."""

Sky = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw_sky(rows: int, labelled: int, seed: int) -> Sky:
    """Give magnitudes (n, 9), true classes (n,) and which sources have spectra (n,)."""
    with tempfile.TemporaryDirectory() as folder:
        settings = MockSettings(catalogue_rows=rows, labelled=labelled, seed=seed, workers=2)
        survey = write_survey(settings, Path(folder) / "survey")
        truth = pd.read_parquet(survey.truth, columns=["ID", "class", "labelled"])
        tables = [fits.getdata(path, 1) for path in survey.catalogues]
        names = np.concatenate([np.asarray(table["ID"], str) for table in tables])
        columns = [[table[f"MAG_GAAP_{band}"] for table in tables] for band in BANDS]
        magnitudes = np.stack([np.concatenate(parts) for parts in columns], axis=1)
    magnitudes = np.where(np.abs(magnitudes) > 98, np.nan, magnitudes).astype(np.float32)
    names, first = np.unique(names, return_index=True)
    known = truth.drop_duplicates("ID").set_index("ID").reindex(names)
    codes = pd.Index(CLASSES).get_indexer(known["class"])
    use = codes >= 0
    labels = known["labelled"].to_numpy(bool)
    return magnitudes[first][use], codes[use].astype(np.int64), labels[use]


def measure(size: str, repeats: int) -> Record:
    rows, labelled, trees = SKIES[size]
    values: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats):
        sky = draw_sky(rows, labelled, seed=11 + repeat)
        for key, value in _measured(sky, trees, repeat, 1 if size == "tiny" else FEWEST_WRONG):
            values.setdefault(key, []).append(float(value))
    found = {
        key: Measurement(*key, "us" if key[1] == "time a source" else "", tuple(each))
        for key, each in values.items()
        if len(each) == repeats
    }
    ratios = [
        ratio(
            Measurement(f"{subject}, far", "accuracy", "", each.values),
            Measurement(f"{subject}, near", "accuracy", "", found[subject, _quarter(1)].values),
            goal=1.0,
            at_least=False,
        )
        for (subject, quantity), each in found.items()
        if quantity == _quarter(4)
    ]
    facts = {"catalogue rows": rows, "labels": labelled, "trees": trees, "network": "xgboost"}
    return Record("novelty", size, tuple(found.values()), tuple(ratios), facts)


def _measured(
    sky: Sky, trees: int, seed: int, fewest: int
) -> Iterator[tuple[tuple[str, str], float]]:
    magnitudes, codes, labels = sky
    r = magnitudes[:, R]
    validates = np.random.default_rng(seed).random(len(r)) < 0.25
    for name, depth in DEPTHS.items():
        teach = labels & (r <= depth) & ~validates
        check = labels & (r <= depth) & validates
        learnt = learn_novelty(magnitudes[teach], codes[teach], magnitudes[check], BANDS, seed)
        judged = ~teach & ~check & (r > BINS[name][0])
        wrong = _wrong(sky, teach, check, judged, trees, seed)
        if depth == SHALLOW:
            yield from _areas(sky, learnt, teach, judged & labels, wrong[labels[judged]], fewest)
        started = time.process_time()
        distance = learnt.distances(magnitudes[judged])
        novelty = learnt.novelty(distance)
        yield (name, "time a source"), 1e6 * (time.process_time() - started) / len(distance)
        unseen = ~labels[judged]
        for low in BINS[name]:
            inside = unseen & (r[judged] > low) & (r[judged] <= low + STEP)
            subject = f"{name}, r {low:g}-{low + STEP:g}"
            order = np.array_split(np.argsort(distance[inside], kind="stable"), 4)
            for k, quarter in enumerate(order, start=1):
                yield (subject, _quarter(k)), 1 - wrong[inside][quarter].mean()
            yield (subject, "novel"), (novelty[inside] >= 0.99).mean()


def _quarter(number: int) -> str:
    return f"accuracy, quarter {number}"


def _wrong(
    sky: Sky, teach: np.ndarray, check: np.ndarray, judged: np.ndarray, trees: int, seed: int
) -> np.ndarray:
    """Say of the judged sources which ones trees give a wrong class."""
    magnitudes, codes, _ = sky

    def inputs(rows: np.ndarray) -> Inputs:
        return Inputs(magnitudes[rows], np.full_like(magnitudes[rows], np.nan), BANDS)

    samples = [LabelledInputs(inputs(rows), codes[rows], CLASSES) for rows in (teach, check)]
    settings = TrainSettings(trees=TreeSettings(trees=trees))
    reads = InputDescription(BANDS, (), 0, CLASSES)
    fitted = fit_network(network_entry("xgboost"), reads, *samples, settings, seed)
    return score(fitted.network, [inputs(judged)], batch_size=4096).codes != codes[judged]


def _areas(
    sky: Sky,
    learnt: Novelty,
    teach: np.ndarray,
    rows: np.ndarray,
    wrong: np.ndarray,
    fewest: int,
) -> Iterator[tuple[tuple[str, str], float]]:
    """Compare distances by how well they tell wrong classes, at equal magnitude."""
    magnitudes, codes, _ = sky
    shown, r = magnitudes[rows], magnitudes[rows, R]
    whitened, taught = _scaled(learnt, shown), _scaled(learnt, magnitudes[teach])
    means = np.stack([taught[codes[teach] == code].mean(axis=0) for code in range(len(CLASSES))])
    some = np.random.default_rng(0).permutation(len(taught))[:4000]
    near = NearestNeighbors(n_neighbors=5).fit(taught[some]).kneighbors(whitened)[0]
    distances = {
        "nearest of 256 centres (ours)": learnt.distances(shown),
        "Mahalanobis, nearest class": np.linalg.norm(whitened[:, None] - means, axis=2).min(axis=1),
        "fifth nearest of 4,000 sources": near[:, -1],
    }
    for name, distance in distances.items():
        areas = []
        for low in np.arange(SHALLOW, 22.5, STEP):
            inside = (r > low) & (r <= low + STEP)
            if fewest <= wrong[inside].sum() < inside.sum():
                areas.append(roc_auc_score(wrong[inside], distance[inside]))
        yield (name, "area under curve"), float(np.mean(areas))


def _scaled(learnt: Novelty, magnitudes: np.ndarray) -> np.ndarray:
    """Bring magnitudes to the space of novelty, missing ones filled in as there."""
    missing = np.isnan(magnitudes)
    centred = np.nan_to_num(magnitudes - learnt.centre)
    scaled = np.empty_like(centred)
    for pattern in np.unique(missing, axis=0):
        rows = (missing == pattern).all(axis=1)
        scaled[rows] = centred[rows] @ (learnt.scale @ expectation(learnt.covariance, pattern)).T
    return scaled
