"""One task of an experiment: some labelled sources teach a network, others judge it."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import Config, TrainSettings
from kidsclf.experiments.rows import ChosenRows, choose_rows, split_for, why_not
from kidsclf.experiments.scores import Judged
from kidsclf.experiments.shapes import answer_with_shapes
from kidsclf.experiments.variants import Variant
from kidsclf.features.images import span_unit
from kidsclf.infer.score import score
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.table import network_entry
from kidsclf.pipeline.checkpoint_file import CheckpointFile
from kidsclf.pipeline.fitting import ANSWER_BATCH, scratch_folder
from kidsclf.pipeline.inputs import as_lists, matrix
from kidsclf.pipeline.mapping import Made
from kidsclf.pipeline.packed_sample import PackedSample, packed_sample
from kidsclf.places import Place
from kidsclf.schema import Inputs
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt
from kidsclf.store.tables import read_table, write_table
from kidsclf.train.fit import fit_network

REASON, TRAIN_ROWS, BEST_EPOCH = "reason", "train_rows", "best_epoch"
"""Facts of a receipt: why there is no answer, and how the training went."""


@dataclass(frozen=True)
class Trial:
    """One training of an experiment.

    Attributes
    ----------
    network : str
    variant : Variant
    number, seed, draw_seed : int
        The seed's number, which chooses the split; of weights; of the draw of training sources.
    description : InputDescription
        What the network reads.
    reference_band : str or None
    left_out : frozenset of str
        Labels of partitions in quarantine.
    """

    network: str
    variant: Variant
    number: int
    seed: int
    draw_seed: int
    description: InputDescription
    reference_band: str | None
    left_out: frozenset[str]


def fit_variant(
    work: WorkDirectory, config: Config, trial: Trial, path: Place, checkpoint: CheckpointFile
) -> Made:
    """Train one network and publish its answers for the test sources.

    Cut short, it goes on from the last epoch that it finished.

    Parameters
    ----------
    work : WorkDirectory
    config : Config
    trial : Trial
    path : Place
        Of the table of answers, which is empty where there can be none.
    checkpoint : CheckpointFile
    """
    settings, band = config.train, trial.reference_band
    if network_entry(trial.network).family == "keras":
        prepare_backend(config.infer.keras_backend, settings.threads)
    bands = dict.fromkeys([*trial.description.bands, *([band] if band else [])])
    read = replace(trial.description, bands=tuple(bands))
    prepare = span_unit if trial.variant.normalised else None
    with packed_sample(
        work,
        settings.sample,
        read,
        trial.left_out,
        scratch_folder(work, config),
        prepare,
        trial.variant.shapes,
    ) as sample:
        magnitude = _reference(sample.photometry, band)
        split = split_for(sample.names, settings, trial.number)
        rows = choose_rows(split, magnitude, trial.variant, trial.draw_seed)
        test = sample.only(rows.test)
        reason = why_not(rows, sample.codes, sample.classes, trial.variant)
        if reason:
            nothing = np.empty((0, len(sample.classes)), np.float32)
            write_table(path, _answers(test.only(rows.test[:0]), magnitude[:0], nothing))
            return Made(0, (path,), {REASON: reason})
        said, epoch = _answer(trial, sample, rows, settings, checkpoint)
        write_table(path, _answers(test, magnitude[rows.test], said))
    checkpoint.remove()
    taught = len(rows.train)
    facts = {REASON: "", TRAIN_ROWS: taught, BEST_EPOCH: epoch}
    return Made(taught + len(rows.test), (path,), facts)


def _answer(
    trial: Trial,
    sample: PackedSample,
    rows: ChosenRows,
    settings: TrainSettings,
    checkpoint: CheckpointFile,
) -> tuple[NDArray[np.float32], int]:
    """Train, and say the probabilities of the test rows, and which epoch was kept."""
    description = trial.description
    if trial.variant.shapes:
        return answer_with_shapes(sample, rows, settings, len(description.bands), trial.seed)
    train, validation = sample.only(rows.train), sample.only(rows.validation)
    entry = network_entry(trial.network)
    fitted = fit_network(entry, description, train, validation, settings, trial.seed, checkpoint)
    blocks = sample.only(rows.test).blocks(description.size_px, ANSWER_BATCH)
    said = score(fitted.network, blocks, batch_size=ANSWER_BATCH)
    return said.probabilities, int(fitted.scores["best_epoch"])


def _reference(inputs: Inputs, band: str | None) -> np.ndarray:
    if band is None:
        return np.full(len(inputs), np.nan, np.float32)
    return inputs.magnitudes[:, inputs.bands.index(band)]


def _answers(test: PackedSample, magnitude: np.ndarray, probabilities: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "name": pa.array(test.names, pa.string()),
            "code": test.codes,
            "magnitude": magnitude,
            "probabilities": as_lists(probabilities),
        }
    )


def read_judged(path: Place, receipt: Receipt, name: str, variant: Variant, number: int) -> Judged:
    """Read the answers that a task has left."""
    table = read_table(path, ["code", "probabilities"])
    said = matrix(table["probabilities"])
    predicted = np.where(np.isfinite(said).all(axis=1), said.argmax(axis=1), -1)
    return Judged(
        variant.key,
        name,
        number,
        int(receipt.facts[TRAIN_ROWS]),
        table["code"].to_numpy(),
        predicted.astype(np.int64),
    )
