"""The stages in their order, what each needs, and the run as a whole."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kidsclf.config import Config
from kidsclf.errors import ConfigError, PlanError
from kidsclf.features.images import BLOCK_BYTES, NOISE_STAMPS
from kidsclf.features.shapes import peak_bytes
from kidsclf.models.backend import check_installed
from kidsclf.models.table import NetworkEntry, network_entry
from kidsclf.pipeline import (
    cutouts,
    features,
    infer,
    ingest,
    match,
    products,
    reduce,
    report,
    train,
)
from kidsclf.pipeline.client_files import files_recorded
from kidsclf.pipeline.context import STAGE_ORDER, Context, StageOutcome
from kidsclf.pipeline.full_disk import write_failures
from kidsclf.store.quarantine import release
from kidsclf.surveys.column_map import ColumnMap

_GIB = 1024.0**3
PROCESS_GIB = 0.6
"""Measured: a worker with TensorFlow, pyarrow and astropy imported and nothing to do."""
_SMALLER = {
    "ingest": "ingest.chunk_rows",
    "train": "train.neural.batch_size",
    "infer": "infer.batch_size",
}
"""What to lower where a task of a stage does not fit; of other stages ``ingest.max_rows``."""
_CUTTING_GIB = 0.35
"""A strip of 16 million pixels with weight and mask, and chunks being packed."""
_IMAGE_NETWORK_GIB, _NETWORK_GIB = 0.95, 0.45
"""Measured: ``mnn`` and ``mlp`` while they are loaded and made ready, with what they compile."""
_FURTHER_BRANCH_GIB = 0.6
"""Measured: ``cnn`` with two bands and ``mnn_all_stamps`` with four, a band beyond the first."""
_TEACHING_GIB = 0.8
"""Measured: ``mnn`` learning, beside the maps of a batch: its weights nine times (those that learn,
their gradients and two moments, those judged, kept and best) and what is compiled."""
_TAUGHT_MAPS = 8
"""What a batch of ``mnn`` may hold while it learns, over what its first layer makes. Generous: from
batches of 128 to 256 the peak grew by 0.05 GiB, where this reckons with 0.4."""
_FIRST_MAPS = 32
"""Channels of the first layer of ``mnn``; its maps are there before and after the activation."""
_FINE_SCALE_ARCSEC = 0.2
"""Arcsec a pixel of OmegaCAM and of LSST."""


@dataclass(frozen=True)
class Stage:
    """One step of the journey."""

    name: str
    meaning: str
    run: Callable[[Context], StageOutcome]


STAGES = (
    Stage("ingest", "read, select and split the catalogue", ingest.run),
    Stage("cutouts", "cut a stamp of every source", cutouts.run),
    Stage("features", "measure the shape of every source", features.run),
    Stage("match", "match labels of other surveys", match.run),
    Stage("train", "fit the networks", train.run),
    Stage("infer", "classify every source", infer.run),
    Stage("reduce", "metrics and catalogue", reduce.run),
    Stage("report", "the page", report.run),
)


def choose_stages(names: Sequence[str] | None, *, report: bool = True) -> tuple[Stage, ...]:
    """Give the stages asked for, in their order.

    Parameters
    ----------
    names : sequence of str or None
        None is all.
    report : bool
        Whether all means the page, too; who names it has it either way.

    Raises
    ------
    ConfigError
        For a name that is no stage.
    """
    if names is None:
        return tuple(stage for stage in STAGES if report or stage.name != "report")
    known = [stage.name for stage in STAGES]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"--stages names {name!r}, which is not a stage; the stages are {', '.join(known)}"
            )
    return tuple(stage for stage in STAGES if stage.name in names)


def memory_gib(config: Config, bands: int) -> dict[str, float]:
    """Estimate what one task of each stage needs, GiB, process included.

    The largest are a chunk of the survey's table (three copies: read, canonical, sorted) and the
    stamps of a partition, as stored, one band at a time, when they are cut. Those that are scored
    come in blocks: one in use, one being read, and copies in which bands are stacked and sources
    without a stamp left out; beside them the network, and what its first layer makes of a batch.
    Where a GPU answers, the partition before is being written meanwhile.
    """
    row = 16.0 * (2 * bands + 4) + 64.0
    pixels = float(_stamp_size(config)) ** 2 if config.has_images else 0.0
    stored = pixels * (2 if config.cutouts.encoding == "int16" else 4)
    partition = config.ingest.max_rows * row
    taught = config.train.pretrained is None
    kind, gpus = config.cluster.kind, config.cluster.slurm.gpus_per_job
    may_have_gpus = kind == "cuda" or "://" in kind or (kind == "slurm" and gpus > 0)
    needs = {
        "ingest": 3 * config.ingest.chunk_rows * row,
        "cutouts": config.ingest.max_rows * stored + _CUTTING_GIB * _GIB * (stored > 0),
        "features": _features_bytes(config) if config.has_features else 0.0,
        "match": 3 * partition,
        "train": partition + taught * _largest(teaching_bytes, config, 4.0 * pixels),
        "infer": (1 + may_have_gpus) * partition + _largest(_answering_bytes, config, 4.0 * pixels),
        "reduce": 3 * partition,
    }
    return {stage: PROCESS_GIB + need / _GIB for stage, need in needs.items()}


def _largest(
    estimate: Callable[[NetworkEntry, Config, float], float], config: Config, stamp: float
) -> float:
    """Give the largest estimate of the run's networks, for stamps of so many bytes a band."""
    entries = map(network_entry, config.train.networks)
    return max((estimate(entry, config, stamp) for entry in entries), default=0.0)


def teaching_bytes(entry: NetworkEntry, config: Config, stamp: float) -> float:
    """Estimate a network that learns, the maps of a batch, and blocks of stamps of so many bytes.

    What the sample takes beside its stamps is not known before it is matched: 0.2 kB a source.
    """
    if not entry.images:
        return _NETWORK_GIB * _GIB * (entry.family == "keras")
    bands = _bands_of(entry, config)
    batch = config.train.neural.batch_size * stamp * bands
    blocks = 2 * max(float(BLOCK_BYTES), batch) + 3 * NOISE_STAMPS * stamp * bands
    return _TEACHING_GIB * _GIB * bands + blocks + batch * 2 * _FIRST_MAPS * _TAUGHT_MAPS


def _answering_bytes(entry: NetworkEntry, config: Config, stamp: float) -> float:
    """Estimate a network, or all of a committee, that is loaded, blocks of stamps, and maps."""
    if not entry.images:
        return _NETWORK_GIB * config.train.committee * _GIB * (entry.family == "keras")
    bands = _bands_of(entry, config)
    batch = config.infer.batch_size * stamp
    network = _IMAGE_NETWORK_GIB + _FURTHER_BRANCH_GIB * (bands - 1)
    blocks = 4 * max(float(BLOCK_BYTES), batch * bands)
    return network * config.train.committee * _GIB + blocks + batch * 2 * _FIRST_MAPS


def _bands_of(entry: NetworkEntry, config: Config) -> int:
    return len(config.cutouts.bands) if entry.stamps == "all" else 1


def _features_bytes(config: Config) -> float:
    """Estimate a block of stamps, stored, read and masked; the kernels; and the columns twice."""
    side, names = _stamp_size(config), config.features.measure
    rows = features.block_rows(side)
    block = rows * side**2 * 9.0
    columns = config.ingest.max_rows * (64.0 + 8.0 * len(names))
    return block + peak_bytes(rows, side, names) + columns


def _stamp_size(config: Config) -> int:
    """Give the side of a stamp, pixels; the scale of tiles is not known before they are read."""
    if config.cutouts.size_arcsec is None:
        return config.cutouts.size_px
    return math.ceil(config.cutouts.size_arcsec / _FINE_SCALE_ARCSEC)


def check_memory(config: Config, bands: int, stages: Sequence[Stage]) -> None:
    """Hold the plan against the workers before anything starts.

    Raises
    ------
    PlanError
        When a task would not fit into a worker.
    """
    needs = memory_gib(config, bands)
    limit = config.cluster.memory_gib_per_worker
    for stage in stages:
        need = needs.get(stage.name, 0.0)
        if need > limit:
            advice = _SMALLER.get(stage.name, "ingest.max_rows")
            raise PlanError(
                f"a task of the stage {stage.name} needs about {need:.1f} GiB, but a worker has "
                f"{limit:.1f} GiB; lower {advice} or raise cluster.memory_gib_per_worker"
            )


def check_networks(
    config: Config,
    survey: ColumnMap,
    samples: Mapping[str, ColumnMap],
    stages: Sequence[Stage],
) -> None:
    """Make sure, before a long ingest, that the networks will have what they need.

    Raises
    ------
    ConfigError
        For columns that clash, a network that needs images where there are none, labels that no
        sample can give, pretrained networks that are not there or read something else than this
        run has, or a backend that is not installed.
    """
    names = {stage.name for stage in stages}
    by_keras = any(network_entry(name).family == "keras" for name in config.train.networks)
    if names & {"train", "infer"} and by_keras:
        check_installed(config.infer.answering_backend)
    if "ingest" in names:
        products.check_columns(config, survey)
    if "features" in names:
        features.check_settings(config, survey)
    if "match" in names:
        match.check_samples(config, survey, samples)
    if "train" in names:
        train.check_settings(config, survey)
    if {"train", "infer"} <= names and "://" in config.cluster.kind and _threads_differ(config):
        raise ConfigError(
            f"train.threads = {config.train.threads} and infer.threads = {config.infer.threads} "
            f"need workers that can be restarted between, but those of {config.cluster.kind} are "
            f"not this run's own; set both to the same number"
        )


def run_stages(context: Context, stages: Sequence[Stage]) -> list[StageOutcome]:
    """Run stages one after the other; the report sees how those before it went."""
    outcomes: list[StageOutcome] = []
    for stage in stages:
        if stage.name == "report":
            report.write_tables(context, outcomes)
        trained = any(each.stage == "train" and each.tasks > each.skipped for each in outcomes)
        if stage.name == "infer" and trained and _threads_differ(context.config):
            context.engine.restart_workers()
        _release(context, stage)
        with write_failures(context.work.root), files_recorded(context.work, stage.name):
            outcomes.append(stage.run(context))
    return outcomes


def stages_behind(outcomes: Sequence[StageOutcome], *, report: bool = True) -> list[str]:
    """Name the stages whose results are older than those of a stage that has just done something.

    Parameters
    ----------
    outcomes : sequence of StageOutcome
        Of the stages of this run.
    report : bool
        Whether the run is to have a page.
    """
    names = [stage.name for stage in choose_stages(None, report=report)]
    ran = {outcome.stage: outcome.tasks > outcome.skipped for outcome in outcomes}
    first = next((place for place, name in enumerate(names) if ran.get(name)), len(names))
    # Runs without stamps have no cutouts, and few have features: what builds on them is named.
    told = ("match", "train", "infer", "reduce", "report")
    return [name for name in names[first:] if name not in ran and name in told]


def _release(context: Context, stage: Stage) -> None:
    """Try again what this stage, or one that builds on it, has left out before."""
    if stage.name in STAGE_ORDER:
        for name in STAGE_ORDER[STAGE_ORDER.index(stage.name) :]:
            release(context.work.quarantine, name)


def _threads_differ(config: Config) -> bool:
    """A worker that has trained with Keras keeps its thread count; scoring may want another."""
    by_keras = any(network_entry(name).family == "keras" for name in config.train.networks)
    differ = config.train.threads != config.infer.threads
    return by_keras and differ and config.train.pretrained is None
