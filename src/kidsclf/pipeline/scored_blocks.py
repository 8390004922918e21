"""Scores, photometry and labels side by side, as the reductions are shown them."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.config import Config
from kidsclf.infer.calibration import calibrate, prediction_sets, sets_from_names
from kidsclf.infer.score import summarise
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.fitting import FOLD_SCORES, splits
from kidsclf.pipeline.infer import (
    CLASS,
    ENTROPY,
    FLAGS,
    NOVELTY_COLUMN,
    P_MAX,
    PREDICTION_SET,
    TRAINING_DISTANCE,
    read_calibration,
    read_novelty,
)
from kidsclf.pipeline.inputs import columns_read, errors_of, magnitudes_of, matrix, rows_of
from kidsclf.reduce.block import SampleLabels, ScoredBlock
from kidsclf.reduce.context import Context as Questions
from kidsclf.reduce.morphology import SHAPES
from kidsclf.schema import (
    DEC,
    LABEL,
    NAME,
    RA,
    SPATIAL_INDEX,
    Scores,
    calibrated_column,
    error_column,
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
    reference = bands.index(reference_band) if reference_band else 0
    columns = [*columns_read(bands), error_column(bands[reference])]
    table = HatsCatalogue(work.catalogue).read(partition, columns)
    scored = HatsCatalogue(work.scores(name)).read(partition, _columns_said(asked))
    magnitudes = magnitudes_of(table, bands)
    return ScoredBlock(
        partition,
        table[NAME].to_numpy(zero_copy_only=False),
        table[RA].to_numpy(),
        table[DEC].to_numpy(),
        table[SPATIAL_INDEX].to_numpy(),
        magnitudes,
        bands,
        magnitudes[:, reference],
        _scores(scored, asked.classes),
        _stacked(scored, map(calibrated_column, asked.classes)),
        sets_from_names(scored[PREDICTION_SET], asked.classes),
        scored[TRAINING_DISTANCE].to_numpy(),
        scored[NOVELTY_COLUMN].to_numpy(),
        scored[FLAGS].to_numpy(),
        {sample: _labels(work, partition, sample, table, asked, config) for sample in samples},
        _shapes(work, partition, config),
        errors_of(table, bands[reference : reference + 1])[:, 0],
    )


def _columns_said(asked: Questions) -> list[str]:
    by_class = [
        column(name) for name in asked.classes for column in (probability_column, calibrated_column)
    ]
    said = (CLASS, P_MAX, ENTROPY, PREDICTION_SET, TRAINING_DISTANCE, NOVELTY_COLUMN, FLAGS)
    return [*by_class, *said]


def _scores(table: pa.Table, classes: tuple[str, ...]) -> Scores:
    """Read what was said; an empty class stands for none."""
    codes = pc.fill_null(pc.index_in(table[CLASS], pa.array(classes)), -1)
    return Scores(
        _stacked(table, map(probability_column, classes)),
        codes.to_numpy().astype(np.int64),
        table[P_MAX].to_numpy(),
        table[ENTROPY].to_numpy(),
        classes,
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
    count = catalogue.num_rows
    codes = np.full(count, -1, np.int64)
    split = np.full(count, "", dtype="<U10")
    store = HatsCatalogue(work.sample(sample))
    if store.exists(partition):
        table = store.read(partition, [SPATIAL_INDEX, NAME, LABEL])
        rows = rows_of(catalogue, table, partition)
        codes[rows] = pd.Index(asked.classes).get_indexer(table[LABEL].to_pandas())
        if sample == asked.training_sample:
            names = table[NAME].to_numpy(zero_copy_only=False)
            split[rows] = _split(names, config)
    return SampleLabels(codes, split, np.full(count, -1, np.int64))


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
