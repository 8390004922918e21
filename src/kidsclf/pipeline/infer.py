"""Stage ``infer``: apply the networks to every partition."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import Config, InferSettings
from kidsclf.infer.calibration import (
    Calibration,
    calibrate,
    fit_calibration,
    prediction_sets,
    set_names,
)
from kidsclf.infer.score import score
from kidsclf.models.backend import (
    choose_precision,
    has_accelerator,
    prepare_backend,
    running_backend,
)
from kidsclf.models.committee import Committee
from kidsclf.models.files import load_network, read_card
from kidsclf.models.network import Answering, Network
from kidsclf.models.novelty import Novelty
from kidsclf.models.table import network_entry
from kidsclf.pipeline.context import (
    ANSWERED_BY,
    BY_TILES,
    ON_GPU,
    Context,
    Share,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    require_current,
    settings_of,
    task_fingerprint,
)
from kidsclf.pipeline.fitting import BRIGHTEST, NOVELTY, VALIDATION, computing
from kidsclf.pipeline.inputs import matrix, open_sources
from kidsclf.pipeline.mapping import Made, Mapped, Task, let_next_begin
from kidsclf.pipeline.read_ahead import cores_allowed, readers_for
from kidsclf.pipeline.score_flags import score_flags, trained_on
from kidsclf.pipeline.train import training_tasks
from kidsclf.places import Place, local_folder
from kidsclf.schema import (
    DEC,
    NAME,
    RA,
    SPATIAL_INDEX,
    ScoreFlag,
    Scores,
    calibrated_column,
    probability_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory, keep_only
from kidsclf.store.receipts import fingerprint
from kidsclf.store.tables import read_table

CLASS = "class"
P_MAX = "p_max"
ENTROPY = "entropy"
PREDICTION_SET = "prediction_set"
TRAINING_DISTANCE = "training_distance"
NOVELTY_COLUMN = "novelty"
FLAGS = "flags"

_ENDING = threading.Lock()
"""Of the one partition of this process whose answers are written while another is scored."""


def run(context: Context) -> StageOutcome:
    """Score all partitions with all networks.

    Raises
    ------
    StoreError
        When the networks are not those that today's settings ask for.
    """
    require_current(context, training_tasks(context))
    mapped: list[Mapped] = []
    for name in context.config.train.networks:
        done = context.engine.map(scoring_tasks(context, name))
        mapped.append(done)
        store = HatsCatalogue(context.work.scores(name))
        store.finish(
            f"scores_{name}",
            [
                (Partition.parse(receipt.task.split("@")[1]), receipt.rows)
                for receipt in done.receipts
            ],
        )
    keep_only(context.work.all_scores, context.config.train.networks)
    named = zip(context.config.train.networks, mapped, strict=True)
    shares = {name: Share.of(done.receipts) for name, done in named}
    return replace(StageOutcome.of("infer", *mapped), by_network=shares)


def scoring_tasks(context: Context, name: str) -> list[Task]:
    """Plan one task a partition for one network."""
    entry, config = network_entry(name), context.config
    network = task_fingerprint(context, "train", name)
    base = fingerprint(
        code_fingerprint("infer", "models", "features"),
        network,
        settings_of(computing(entry, config.infer)),
    )
    labelled = bool(context.samples) and config.train.pretrained is None
    tasks = []
    for partition, receipt in finished_partitions(context, "infer").items():
        made_from = [
            base,
            receipt.fingerprint,
            task_fingerprint(context, "cutouts", partition.label) if context.has_images else None,
            task_fingerprint(context, "match", partition.label) if labelled else None,
        ]
        arguments = (
            context.work,
            partition,
            entry.name,
            network,
            config,
            context.survey.reference_band,
        )
        tasks.append(
            Task(
                "infer",
                f"{name}@{partition.label}",
                fingerprint(*made_from),
                score_partition,
                arguments,
                receipt.rows,
                name,
            )
        )
    return tasks


def read_calibration(folder: Place, coverage: float) -> Calibration:
    """Fit the calibration of a trained network to the answers that training left beside it."""
    said = read_table(folder / VALIDATION, ["code", "probabilities"])
    return fit_calibration(matrix(said["probabilities"]), said["code"].to_numpy(), coverage)


def read_novelty(folder: Place) -> Novelty:
    """Read what the photometry of a network's training sample is like."""
    return Novelty.from_table(read_table(folder / NOVELTY))


@lru_cache(maxsize=1)
def _loaded(
    folder: Place,
    made_from: str,  # noqa: ARG001  # part of the cache's key
    settings: InferSettings,
) -> tuple[Answering, Calibration, Novelty]:
    with local_folder(folder) as local:
        network = ready(load_network(local), settings)
        return network, read_calibration(local, settings.coverage), read_novelty(local)


def ready(network: Network | Committee[Network], settings: InferSettings) -> Answering:
    """Make a network, or each of a committee, answer as fast as this process can."""
    if isinstance(network, Committee):
        return Committee([ready(member, settings) for member in network.members])
    if network.entry.family == "xgboost":
        # Brings XGBoost, as what follows brings Keras, and the client does without.
        from kidsclf.models.forest import ForestNetwork  # noqa: PLC0415
        from kidsclf.models.trees import TreeNetwork  # noqa: PLC0415

        return ForestNetwork.of(cast("TreeNetwork", network), settings.threads)
    from kidsclf.models.inference import FoldedNetwork  # noqa: PLC0415
    from kidsclf.models.neural import NeuralNetwork  # noqa: PLC0415

    precision = choose_precision(settings.precision, settings.answering_backend)
    return FoldedNetwork.of(
        cast("NeuralNetwork", network), precision, settings.threads, settings.answering_backend
    )


def score_partition(
    work: WorkDirectory,
    partition: Partition,
    name: str,
    made_from: str,
    config: Config,
    reference_band: str | None,
) -> Made:
    """Score one partition and publish what the network says.

    Where the network answers on a GPU, the worker begins its next partition while this one's
    answers are turned into a table, which is the processor's work.
    """
    backend, on_processor = config.infer.answering_backend, True
    if network_entry(name).family == "keras":
        prepare_backend(backend, config.infer.threads)
        on_processor = not has_accelerator(backend)
    network, calibration, learnt = _loaded(work.model(name), made_from, config.infer)
    description, batch_size = network.description, config.infer.batch_size
    sources = open_sources(
        work,
        partition,
        description,
        stamps=config.has_images,
        bands=(*learnt.bands, *([reference_band] if reference_band else [])),
    )
    blocks = sources.blocks(batch_size, readers_for(cores_allowed(), on_processor=on_processor))
    scores = score(network, blocks, batch_size=batch_size)
    with nullcontext() if on_processor else _handing_on():
        flags = score_flags(
            sources,
            scores,
            trained_on(work, partition, sources.table[NAME], config),
            reference_band=reference_band,
            brightest=float(read_card(work.model(name)).scores.get(BRIGHTEST, -99.0)),
            faintest=config.infer.extrapolated_from,
        )
        distance = learnt.distances(sources.magnitudes_in(learnt.bands))
        novelty = learnt.novelty(distance)
        flags[novelty >= np.float32(config.infer.novel_from)] |= ScoreFlag.NOVEL
        columns = {
            **_score_columns(sources.table, scores, calibration),
            TRAINING_DISTANCE: distance,
            NOVELTY_COLUMN: novelty,
            FLAGS: flags,
        }
        path = HatsCatalogue(work.scores(name)).write(partition, pa.table(columns))
    return Made(len(scores), (path,), _answered_by(network, config.infer))


@contextmanager
def _handing_on() -> Iterator[None]:
    """Let the worker begin its next partition, when the scores of the one before are written.

    So it holds two, and for as long as that takes the checksum and the receipt of a third.
    """
    with _ENDING:
        let_next_begin()
        yield


def _answered_by(network: Answering, settings: InferSettings) -> dict[str, Any]:
    """Note for the receipt what answered, and that a GPU or tiles did, where they did."""
    one = network.members[0] if isinstance(network, Committee) else network
    by_tiles = getattr(one, "by_tiles", None)
    if by_tiles is None:  # of trees
        return {}
    backend = settings.answering_backend
    answered = backend if backend == "openvino" else running_backend()
    facts = {ON_GPU: has_accelerator(backend), BY_TILES: by_tiles}
    return {ANSWERED_BY: answered, **{name: True for name, is_so in facts.items() if is_so}}


def _score_columns(sources: pa.Table, scores: Scores, calibration: Calibration) -> dict[str, Any]:
    calibrated = calibrate(scores.probabilities, calibration.temperature)
    inside = prediction_sets(calibrated, calibration.thresholds)
    return {
        **{name: sources[name] for name in (SPATIAL_INDEX, NAME, RA, DEC)},
        CLASS: _class_names(scores),
        **_by_class(probability_column, scores.probabilities, scores.classes),
        P_MAX: scores.p_max,
        ENTROPY: scores.entropy,
        **_by_class(calibrated_column, calibrated, scores.classes),
        PREDICTION_SET: set_names(inside, scores.classes),
    }


def _by_class(
    column: Callable[[str], str], values: NDArray[np.float32], classes: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    return {column(each): values[:, place] for place, each in enumerate(classes)}


def _class_names(scores: Scores) -> pa.Array:
    """Name the classes; an empty string where the network gave none."""
    names = pa.array([*scores.classes, ""], pa.string())
    unclassified = len(scores.classes)
    return names.take(pa.array(np.where(scores.codes < 0, unclassified, scores.codes)))
