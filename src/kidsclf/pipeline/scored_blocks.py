"""Scores, photometry and labels side by side, as the reductions are shown them."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import Config
from kidsclf.infer.calibration import calibrate, prediction_sets, sets_from_names
from kidsclf.infer.score import summarise
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.fitting import FOLD_SCORES, splits
from kidsclf.pipeline.infer import (
    FLAGS,
    NOVELTY_COLUMN,
    PREDICTION_SET,
    TRAINING_DISTANCE,
    read_calibration,
    read_novelty,
)
from kidsclf.pipeline.inputs import matrix, photometry, rows_of
from kidsclf.reduce.block import SampleLabels, ScoredBlock
from kidsclf.reduce.context import Context as Questions
from kidsclf.reduce.morphology import SHAPES
from kidsclf.schema import (
    DEC,
    LABEL,
    NAME,
    RA,
    SPATIAL_INDEX,
    calibrated_column,
    probability_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.tables import read_table


def read_block(
    work: WorkDirectory,
    partition: Partition,
    name: str,
    asked: Questions,
    samples: tuple[str, ...],
    config: Config,
    bands: tuple[str, ...],
    reference_band: str | None,
) -> ScoredBlock:
    """Read what one network says of a partition, and which of its sources have labels."""
    table = HatsCatalogue(work.catalogue).read(partition)
    scored = HatsCatalogue(work.scores(name)).read(partition)
    magnitudes, errors = photometry(table, bands)
    reference = bands.index(reference_band) if reference_band else 0
    return ScoredBlock(
        partition,
        table[NAME].to_numpy(zero_copy_only=False),
        table[RA].to_numpy(),
        table[DEC].to_numpy(),
        table[SPATIAL_INDEX].to_numpy(),
        magnitudes,
        bands,
        magnitudes[:, reference],
        summarise(_stacked(scored, map(probability_column, asked.classes)), asked.classes),
        _stacked(scored, map(calibrated_column, asked.classes)),
        sets_from_names(scored[PREDICTION_SET], asked.classes),
        scored[TRAINING_DISTANCE].to_numpy(),
        scored[NOVELTY_COLUMN].to_numpy(),
        scored[FLAGS].to_numpy(),
        {sample: _labels(work, partition, sample, table, asked, config) for sample in samples},
        _shapes(work, partition, config),
        errors[:, reference],
    )


def _shapes(
    work: WorkDirectory, partition: Partition, config: Config
) -> dict[str, NDArray[np.float32]]:
    columns = [name for name in SHAPES if name in config.features.measure]
    if not columns:
        return {}
    table = HatsCatalogue(work.features).read(partition, columns)
    return {name: table[name].to_numpy() for name in columns}


def _stacked(table: pa.Table, columns: Iterable[str]) -> NDArray[np.float32]:
    """Put columns side by side, float32 array (rows, columns)."""
    return np.stack([table[column].to_numpy() for column in columns], axis=1)


def _labels(
    work: WorkDirectory,
    partition: Partition,
    sample: str,
    catalogue: pa.Table,
    asked: Questions,
    config: Config,
) -> SampleLabels:
    names = catalogue[NAME].to_numpy(zero_copy_only=False)
    codes = np.full(len(names), -1, np.int64)
    split = np.full(len(names), "", dtype="<U10")
    store = HatsCatalogue(work.sample(sample))
    if store.exists(partition):
        table = store.read(partition, [SPATIAL_INDEX, NAME, LABEL])
        rows = rows_of(catalogue, table, partition)
        codes[rows] = pd.Index(asked.classes).get_indexer(table[LABEL].to_pandas())
        if sample == asked.training_sample:
            split[rows] = _split(names[rows], config)
    return SampleLabels(codes, split, np.full(len(names), -1, np.int64))


def _split(names: NDArray[np.object_], config: Config) -> NDArray[np.str_]:
    """Say which labels judge: with a network from elsewhere all, with folds none of these."""
    if config.train.pretrained is not None:
        return np.full(len(names), "test", dtype="<U10")
    return splits(names, config.train)


def held_out_blocks(context: Context, name: str, asked: Questions) -> Iterator[ScoredBlock]:
    """Give each fold's sources with the scores of the network that has not seen them."""
    band = context.survey.reference_band
    place = context.bands.index(band) if band else 0
    for fold in range(context.config.train.folds):
        folder = context.work.fold_model(name, fold)
        table = read_table(folder / FOLD_SCORES)
        count = table.num_rows
        magnitudes, said = matrix(table["magnitudes"]), matrix(table["probabilities"])
        calibration = read_calibration(folder, context.config.infer.coverage)
        calibrated = calibrate(said, calibration.temperature)
        labels = SampleLabels(
            table["code"].to_numpy(), np.full(count, "test"), np.full(count, fold, np.int64)
        )
        nowhere, learnt = np.zeros(count), read_novelty(folder)
        distance = learnt.distances(magnitudes)
        yield ScoredBlock(
            Partition(0, 0),
            table["name"].to_numpy(zero_copy_only=False),
            nowhere,
            nowhere,
            np.zeros(count, np.int64),
            magnitudes,
            context.bands,
            magnitudes[:, place],
            summarise(said, asked.classes),
            calibrated,
            prediction_sets(calibrated, calibration.thresholds),
            distance,
            learnt.novelty(distance),
            np.zeros(count, np.int32),
            {asked.training_sample: labels},
        )
