"""What a training task does: pack the sample, fit one network, publish it with its answers."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import Config, InferSettings, TrainSettings
from kidsclf.infer.score import score
from kidsclf.models.backend import prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.files import CARD, read_card, save_network
from kidsclf.models.network import Network
from kidsclf.models.table import NetworkEntry, network_entry
from kidsclf.pipeline.checkpoint_file import CheckpointFile
from kidsclf.pipeline.inputs import as_lists
from kidsclf.pipeline.mapping import Made
from kidsclf.pipeline.packed_sample import PackedSample, packed_sample
from kidsclf.places import Place, download_tree, is_local
from kidsclf.schema import SPLITS, Inputs
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.publish import published_folder
from kidsclf.store.tables import write_table
from kidsclf.train.fit import FittedNetwork, fit_network
from kidsclf.train.novelty import learn_novelty
from kidsclf.train.sample import HistoryRow
from kidsclf.train.split import fold_of, split_of

FINAL = -1
"""Fold number of the network that classifies the catalogue."""

PIXEL_SCALE = "pixel_scale_arcsec"
BRIGHTEST = "brightest_magnitude"
"""Entries of a card's scores: what the training sample was like."""

HISTORY = "history.parquet"
"""In a model's folder: losses and accuracies of every epoch."""
VALIDATION = "validation.parquet"
"""In a model's folder: what the network says of the sources that chose its epoch."""
NOVELTY = "novelty.parquet"
"""In a model's folder: what the photometry of its training sample is like."""
FOLD_SCORES = "scores.parquet"
"""In the folder of a fold: what the network says of the sources of that fold."""

PROBABILITIES = "probabilities"
"""In both: a list a source, in the order of the classes."""

ANSWER_BATCH = 512
"""Rows of a batch when a network answers for labelled sources; part of its answers' bits, so not
``infer.batch_size``, with which no network is trained anew."""

_TRAIN, _VALIDATION, _TEST = SPLITS


@dataclass(frozen=True)
class Lesson:
    """What one training task is told beside the run's settings.

    Attributes
    ----------
    network : str
    fold : int
        The one that is left out; ``FINAL`` is none.
    description : InputDescription
        What the network reads.
    seed : int
    made_from : str
        Fingerprint of the task.
    scale_arcsec : float
        Of the stamps, arcsec a pixel; 0 without images.
    bands : tuple of str
        All of the survey: the network's part of them teaches it, and all of them stand beside its
        answers.
    reference_band : str or None
    left_out : frozenset of str
        Labels of partitions in quarantine.
    member : int or None
        Its number in a committee; None is a network that answers alone.
    """

    network: str
    fold: int
    description: InputDescription
    seed: int
    made_from: str
    scale_arcsec: float
    bands: tuple[str, ...]
    reference_band: str | None
    left_out: frozenset[str]
    member: int | None = None

    @property
    def task(self) -> str:
        """Name of the task."""
        return task_name(self.network, self.fold, self.member)


def trained_names(settings: TrainSettings) -> list[str]:
    """Name every task of the stage; networks that are taken from another run have one each."""
    pretrained = settings.pretrained is not None
    folds = (FINAL,) if pretrained else (*range(settings.folds), FINAL)
    together = settings.committee > 1 and not pretrained
    members = (*range(settings.committee), None) if together else (None,)
    return [
        task_name(name, fold, member)
        for name in settings.networks
        for fold in folds
        for member in members
    ]


def task_name(network: str, fold: int, member: int | None = None) -> str:
    """Name the training task of a network and fold, or of a member of its committee.

    >>> task_name("mlp", FINAL), task_name("mlp", 3, 0)
    ('mlp', 'mlp-fold-3-member-0')
    """
    whole = network if fold == FINAL else f"{network}-fold-{fold}"
    return whole if member is None else f"{whole}-member-{member}"


def computing(network: NetworkEntry, settings: InferSettings) -> InferSettings:
    """Give the settings that its answers depend on, the others as by default.

    Trees compute without Keras and in one precision, so that another backend leaves theirs.
    """
    if network.family == "keras":
        return settings
    default = InferSettings()
    others = {"backend": default.backend, "precision": default.precision}
    return settings.model_copy(update=others)


def model_folder(work: WorkDirectory, network: str, fold: int, member: int | None = None) -> Place:
    """Say where a training task leaves its network."""
    if member is not None:
        return work.member_model(task_name(network, fold, member))
    return work.model(network) if fold == FINAL else work.fold_model(network, fold)


def train_network(work: WorkDirectory, config: Config, lesson: Lesson) -> Made:
    """Fit one network and publish it with its answers; with a fold, also those of that fold.

    Cut short, it goes on from the last epoch that it finished.
    """
    entry, settings = network_entry(lesson.network), config.train
    if entry.family == "keras":
        prepare_backend(config.infer.answering_backend, settings.threads)
    checkpoint = CheckpointFile.of(work, lesson.task, lesson.made_from)
    shown = replace(lesson.description, bands=lesson.bands)
    with packed_sample(
        work, settings.sample, shown, lesson.left_out, scratch_folder(work, config)
    ) as sample:
        split = splits(sample.names, settings, lesson.fold)
        parts = {which: sample.only(np.flatnonzero(split == which)) for which in SPLITS}
        train, validation = parts[_TRAIN], parts[_VALIDATION]
        fitted = fit_network(
            entry, lesson.description, train, validation, settings, lesson.seed, checkpoint
        )
        path = _publish(work, config, lesson, fitted, parts)
    checkpoint.remove()
    return Made(len(train) + len(validation), (path,), {"scores": dict(fitted.scores)})


def scratch_folder(work: WorkDirectory, config: Config) -> Path | None:
    """Give the folder of the workers' own files; None is the system's for temporary ones."""
    if is_local(work.scratch):
        return work.scratch
    return Path(config.store.scratch) if config.store.scratch is not None else None


def _publish(
    work: WorkDirectory,
    config: Config,
    lesson: Lesson,
    fitted: FittedNetwork,
    parts: dict[str, PackedSample],
) -> Place:
    path = model_folder(work, lesson.network, lesson.fold, lesson.member)
    about = {
        **fitted.scores,
        PIXEL_SCALE: lesson.scale_arcsec,
        BRIGHTEST: _brightest(parts[_TRAIN].photometry, lesson.reference_band),
    }
    asked = {VALIDATION: parts[_VALIDATION]}
    if lesson.fold != FINAL:
        asked[FOLD_SCORES] = parts[_TEST]
    with published_folder(path, last=CARD) as folder:
        save_network(
            fitted.network,
            folder,
            settings=config.train.model_dump(mode="json"),
            seed=lesson.seed,
            fingerprint=lesson.made_from,
            scores=about,
        )
        write_table(folder / HISTORY, _history(fitted.history, lesson))
        write_table(folder / NOVELTY, _novelty(parts, lesson))
        for file, sources in asked.items():
            said = _answers(fitted.network, sources)
            write_table(folder / file, said)
    return path


def _novelty(parts: dict[str, PackedSample], lesson: Lesson) -> pa.Table:
    """Tabulate what the photometry is like of those that teach."""
    train, validation = parts[_TRAIN], parts[_VALIDATION]
    taught = train.photometry
    return learn_novelty(
        taught.magnitudes,
        train.codes,
        validation.photometry.magnitudes,
        taught.bands,
        lesson.seed,
    ).as_table()


def _brightest(inputs: Inputs, reference_band: str | None) -> float:
    """Give the magnitude than which 1 in 200 training sources is brighter; -99 without a band."""
    if reference_band is None:
        return -99.0
    return float(np.nanquantile(inputs.magnitudes[:, inputs.bands.index(reference_band)], 0.005))


def splits(
    names: NDArray[np.object_], settings: TrainSettings, fold: int = FINAL
) -> NDArray[np.str_]:
    """Say which sources train, validate and test, str array (n,).

    Without folds the hash of each name decides. With folds, the fold is the test sample; the
    network of everything (``FINAL``) has none.
    """
    if not settings.folds:
        return split_of(
            names,
            validation_fraction=settings.validation_fraction,
            test_fraction=settings.test_fraction,
        )
    split = split_of(names, validation_fraction=settings.validation_fraction, test_fraction=0.0)
    if fold != FINAL:
        split[fold_of(names, settings.folds) == fold] = _TEST
    return split


def _history(rows: Iterable[HistoryRow], lesson: Lesson) -> pa.Table:
    table = pa.Table.from_pylist([asdict(row) for row in rows])
    of_it = {"network": lesson.network, "fold": lesson.fold, "member": lesson.member or 0}
    for place, (column, value) in enumerate(of_it.items()):
        table = table.add_column(place, column, pa.repeat(value, table.num_rows))
    return table


def _answers(network: Network, sources: PackedSample) -> pa.Table:
    """Tabulate what the network says of some labelled sources, with their labels."""
    blocks = sources.blocks(network.description.size_px, ANSWER_BATCH)
    scores = score(network, blocks, batch_size=ANSWER_BATCH)
    magnitudes = sources.photometry.magnitudes
    return pa.table(
        {
            "name": pa.array(sources.names, pa.string()),
            "code": sources.codes,
            PROBABILITIES: as_lists(scores.probabilities),
            "magnitudes": as_lists(magnitudes),
        }
    )


def adopt_network(work: WorkDirectory, name: str, source: Place) -> Made:
    """Copy a trained network into this run."""
    path = work.model(name)
    with published_folder(path, last=CARD) as folder:
        download_tree(source, folder)
    return Made(0, (path,), {"scores": dict(read_card(path).scores)})
