"""Stage ``infer``: apply the networks to every partition."""

from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import Config
from kidsclf.infer.score import score
from kidsclf.models.backend import prepare_backend
from kidsclf.models.files import load_network, read_card
from kidsclf.models.network import Network
from kidsclf.models.table import network_entry
from kidsclf.pipeline.context import (
    Context,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    require_current,
    settings_of,
    task_fingerprint,
)
from kidsclf.pipeline.inputs import read_inputs
from kidsclf.pipeline.mapping import Made, Mapped, Task
from kidsclf.pipeline.train import BRIGHTEST, splits, training_tasks
from kidsclf.places import Place, local_folder
from kidsclf.schema import (
    DEC,
    NAME,
    RA,
    SPATIAL_INDEX,
    CutoutFlag,
    Inputs,
    ScoreFlag,
    Scores,
    probability_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory, keep_only
from kidsclf.store.receipts import fingerprint

CLASS = "class"
P_MAX = "p_max"
ENTROPY = "entropy"
FLAGS = "flags"

_CUTOUT_FLAGS = {
    CutoutFlag.EDGE: ScoreFlag.CUTOUT_EDGE,
    CutoutFlag.MASKED: ScoreFlag.CUTOUT_MASKED,
    CutoutFlag.MISSING_TILE: ScoreFlag.CUTOUT_MISSING,
    CutoutFlag.BAD_PIXEL: ScoreFlag.CUTOUT_BAD_PIXEL,
}


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
    return StageOutcome.of("infer", *mapped)


def scoring_tasks(context: Context, name: str) -> list[Task]:
    """Plan one task a partition for one network."""
    entry, config = network_entry(name), context.config
    network = task_fingerprint(context, "train", name)
    base = fingerprint(
        code_fingerprint("infer", "models", "features"), network, settings_of(config.infer)
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


@lru_cache(maxsize=1)
def _loaded(folder: Place, made_from: str) -> Network:  # noqa: ARG001  # the key of the cache
    with local_folder(folder) as local:
        return load_network(local)


def score_partition(
    work: WorkDirectory,
    partition: Partition,
    name: str,
    made_from: str,
    config: Config,
    reference_band: str | None,
) -> Made:
    """Score one partition and publish what the network says."""
    if network_entry(name).family == "keras":
        prepare_backend(config.infer.backend, config.infer.threads)
    network = _loaded(work.model(name), made_from)
    table = HatsCatalogue(work.catalogue).read(partition)
    inputs = read_inputs(work, table, partition, network.description)
    scores = score(network, inputs, batch_size=config.infer.batch_size)
    brightest = float(read_card(work.model(name)).scores.get(BRIGHTEST, -99.0))
    flags = _flags(work, table, partition, inputs, scores, config, reference_band, brightest)
    columns = {
        SPATIAL_INDEX: table[SPATIAL_INDEX],
        NAME: table[NAME],
        RA: table[RA],
        DEC: table[DEC],
        CLASS: _class_names(scores),
        **{
            probability_column(each): scores.probabilities[:, place]
            for place, each in enumerate(scores.classes)
        },
        P_MAX: scores.p_max,
        ENTROPY: scores.entropy,
        FLAGS: flags,
    }
    path = HatsCatalogue(work.scores(name)).write(partition, pa.table(columns))
    return Made(table.num_rows, (path,))


def _class_names(scores: Scores) -> pa.Array:
    """Name the classes; an empty string where the network gave none."""
    names = np.array([*scores.classes, ""], dtype=object)
    return pa.array(names[scores.codes], pa.string())


def _flags(
    work: WorkDirectory,
    table: pa.Table,
    partition: Partition,
    inputs: Inputs,
    scores: Scores,
    config: Config,
    reference_band: str | None,
    brightest: float,
) -> NDArray[np.int32]:
    flags = np.zeros(len(inputs), np.int32)
    names = table[NAME].to_numpy(zero_copy_only=False)
    limit = config.infer.extrapolated_from
    if reference_band in inputs.bands:
        magnitude = inputs.magnitudes[:, inputs.bands.index(str(reference_band))]
        flags[magnitude < np.float32(brightest)] |= ScoreFlag.EXTRAPOLATED
        if limit is not None:
            flags[magnitude > np.float32(limit)] |= ScoreFlag.EXTRAPOLATED
    flags[np.isnan(inputs.magnitudes).any(axis=1)] |= ScoreFlag.MISSING_BAND
    flags[scores.codes < 0] |= ScoreFlag.UNCLASSIFIED
    if config.has_images:
        of_cutout = CutoutStore(work.cutouts).flags(partition, names)
        for cutout_flag, score_flag in _CUTOUT_FLAGS.items():
            flags[(of_cutout & np.uint8(cutout_flag)) != 0] |= score_flag
    flags[_trained_on(work, partition, names, config)] |= ScoreFlag.TRAINED_ON
    return flags


def _trained_on(
    work: WorkDirectory, partition: Partition, names: NDArray[np.object_], config: Config
) -> NDArray[np.bool_]:
    sample = HatsCatalogue(work.sample(config.train.sample))
    if config.train.pretrained is not None or not sample.exists(partition):
        return np.zeros(len(names), bool)
    labelled = sample.read(partition, [NAME])[NAME].to_numpy(zero_copy_only=False)
    taught = labelled[splits(labelled, config.train) != "test"]
    return np.isin(names.astype(str), taught.astype(str))
