"""Experiments that train: Tables 1 and 2, the size of the training sample, normalised stamps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa

from kidsclf.errors import ConfigError, PlanError
from kidsclf.experiments import published
from kidsclf.experiments.fitting import REASON, Trial, fit_variant, read_judged
from kidsclf.experiments.scores import (
    Judged,
    Key,
    Line,
    differences,
    score_seeds,
    summarise_seeds,
)
from kidsclf.experiments.shapes import STELLARITY, measured_shapes
from kidsclf.experiments.variants import (
    AS_MEASURED,
    NORMALISED,
    WHOLE,
    Variant,
    of_size,
    of_split,
    with_shapes,
)
from kidsclf.models.description import InputDescription
from kidsclf.models.table import network_entry
from kidsclf.pipeline.checkpoint_file import CheckpointFile
from kidsclf.pipeline.context import (
    SCORING,
    Context,
    code_fingerprint,
    require_current,
    settings_of,
    stage_summary,
)
from kidsclf.pipeline.features import measuring_tasks
from kidsclf.pipeline.fitting import computing
from kidsclf.pipeline.mapping import Task
from kidsclf.pipeline.plan import PROCESS_GIB, teaching_bytes
from kidsclf.pipeline.sample_receipts import SampleReceipts
from kidsclf.pipeline.train import network_reads, require_matched
from kidsclf.places import remove_tree
from kidsclf.store.receipts import fingerprint

_GIB = 1024.0**3
_CODE = tuple(f"experiments/{name}.py" for name in ("fitting", "rows", "shapes", "variants"))
"""What of this package decides the answers."""
_SEVERAL = 2
"""Image bands below which a network of several would be another than the paper's."""
_COPIES = 3.0
"""Of the labelled sample beside its stamps, while its partitions are joined and shared out."""


Compare = Callable[[Sequence[Key]], list[tuple[Key, Key]]]
"""Of the rows that have answers, names pairs: the second less the first."""


class Rows(Protocol):
    """Lists the rows of an experiment's table."""

    def __call__(self, context: Context, networks: Sequence[str]) -> "list[Asked]":
        """List them, for these networks or, without any, for those of the experiment."""


@dataclass(frozen=True)
class Asked:
    """One row: a network, how it is trained, and what is published of it."""

    network: str
    variant: Variant
    published: published.ClassScores
    title: str
    note: str = ""
    """Why it cannot be answered; empty where it can be tried."""

    @property
    def line(self) -> Line:
        """The row as the table has it."""
        return Line(self.variant.key, self.title, self.network, self.published, self.note)


@dataclass(frozen=True)
class Trained:
    """The tables of an experiment."""

    table: pa.Table
    seeds: pa.Table
    differences: pa.Table
    """Seed by seed, of the rows that are compared."""


def table1_rows(context: Context, networks: Sequence[str]) -> list[Asked]:
    """List Table 1; a network that is no row of it stands at the end, without a number beside."""
    known = published.table1()
    wanted = networks or [row.network for row in known]
    rows = [
        _whole(context, row.network, row.scores, row.title)
        for row in known
        if row.network in wanted
    ]
    others = [name for name in wanted if name not in {row.network for row in known}]
    return rows + [_whole(context, name, {}, "") for name in others]


def _whole(context: Context, network: str, scores: published.ClassScores, title: str) -> Asked:
    note, shown = _why_not(context, network), title or network
    if not note:
        read = network_reads(context, network)
        shown = f"{network} ({_inputs(read)})"
    beside = f", Feng's {title}" if title and not note else ""
    return Asked(network, WHOLE, scores, f"{shown}{beside}", note)


def _inputs(read: InputDescription) -> str:
    """Name what a network reads as the paper does.

    >>> _inputs(InputDescription(tuple("ugri"), ("r",), 41, ("STAR", "QSO")))
    'Img1+Pho4'
    """
    parts = [f"Img{len(read.image_bands)}"] if read.image_bands else []
    return "+".join(parts + ([f"Pho{len(read.bands)}"] if read.bands else []))


def table2_rows(context: Context, networks: Sequence[str]) -> list[Asked]:
    """List the eight splits of Table 2, whose numbers are the MNN's."""
    return [
        Asked(
            name,
            variant,
            row.scores,
            f"{variant.title}, {name}",
            _why_not(context, name, magnitudes=True),
        )
        for name in networks or context.config.train.networks
        for row in published.table2()
        for variant in (of_split(row.train, row.test),)
    ]


def size_rows(context: Context, networks: Sequence[str]) -> list[Asked]:
    """List the sizes of Figure 13, and the whole training sample."""
    variants = [*map(of_size, published.training_sizes()), WHOLE]
    return [
        Asked(name, variant, {}, f"{variant.title}, {name}", _why_not(context, name))
        for name in networks or context.config.train.networks
        for variant in variants
    ]


def normalised_rows(context: Context, networks: Sequence[str]) -> list[Asked]:
    """List the networks of images, with stamps as they are and normalised (§5.1)."""
    named = networks or [
        name for name in context.config.train.networks if network_entry(name).images
    ]
    return [
        Asked(name, variant, {}, f"{variant.title}, {name}", _why_not_images(context, name))
        for name in named or ["mnn"]
        for variant in (AS_MEASURED, NORMALISED)
    ]


def shape_rows(context: Context, networks: Sequence[str]) -> list[Asked]:
    """List trees on photometry, with stellarity, with all shapes (§5.2), and networks of images."""
    named = networks or [
        name
        for name in context.config.train.networks
        if network_entry(name).images or network_entry(name).family == "xgboost"
    ]
    trees = [name for name in named if network_entry(name).family == "xgboost"]
    columns = measured_shapes(context.config)
    variants = [with_shapes("stellarity", (STELLARITY,)), with_shapes("shapes", columns)]
    rows = [
        Asked(name, variant, {}, f"{name}, {variant.title}", _why_not_shapes(context, variant))
        for name in trees
        for variant in (replace(WHOLE, title="photometry"), *variants)
    ]
    others = [name for name in named if name not in trees]
    return rows + [_whole(context, name, {}, "") for name in others]


def _why_not_shapes(context: Context, variant: Variant) -> str:
    """Say why trees cannot read the shapes of a variant; an empty string if they can."""
    measured = measured_shapes(context.config)
    if not variant.shapes and variant.key != WHOLE.key:
        return "features.measure is empty, so there are no shapes"
    lacking = [name for name in variant.shapes if name not in measured]
    return f"features.measure does not hold {', '.join(lacking)}" if lacking else ""


def require_shapes(context: Context) -> None:
    """Make sure that shapes, where any are asked for, were measured as today's settings ask.

    Raises
    ------
    StoreError
        When they were not, or otherwise.
    """
    if context.config.has_features:
        require_current(context, measuring_tasks(context))


def _why_not(context: Context, network: str, *, magnitudes: bool = False) -> str:
    """Say why a network cannot be trained on this survey; an empty string if it can."""
    entry, images = network_entry(network), context.config.cutouts.bands
    if magnitudes and context.survey.reference_band is None:
        return "the survey's column map names no reference_band"
    several = entry.stamps == "all" or entry.magnitudes == "imaged"
    if several and context.has_images and len(images) < _SEVERAL:
        return f"it reads several image bands, but cutouts.bands holds {', '.join(images)} alone"
    try:
        network_reads(context, network)
    except ConfigError as error:
        return str(error)
    return ""


def _why_not_images(context: Context, network: str) -> str:
    if not network_entry(network).images:
        return "it reads no stamps, so there is nothing to normalise"
    return _why_not(context, network)


def train_all(
    context: Context,
    experiment: str,
    asked: Sequence[Asked],
    seeds: int,
    compare: Compare = lambda _: [],
) -> Trained:
    """Do what is not done of an experiment, and make its tables.

    ``compare`` says which rows are subtracted from which, seed by seed.

    Raises
    ------
    PlanError
        When a training does not fit into a worker.
    """
    tried = [row for row in asked if not row.note]
    check_memory(context, tried)
    tasks = [(row, number) for row in tried for number in range(seeds)]
    sample = SampleReceipts(context)
    planned = [_task(sample, experiment, row, number) for row, number in tasks]
    mapped = context.engine.map(planned)
    remove_tree(context.work.checkpoints / f"experiment.{experiment}")  # also of other settings
    judged: list[Judged] = []
    notes: dict[tuple[str, str], str] = {}
    for (row, number), receipt in zip(tasks, mapped.receipts, strict=True):
        if receipt.facts[REASON]:
            notes.setdefault((row.variant.key, row.network), str(receipt.facts[REASON]))
            continue
        path = context.work.root / next(iter(receipt.outputs))
        judged.append(read_judged(path, receipt, row.network, row.variant, number))
    lines = [
        replace(row.line, note=row.note or notes.get((row.variant.key, row.network), ""))
        for row in asked
    ]
    classes = context.config.train.classes
    each = score_seeds(judged, lines, classes)
    answered = list(dict.fromkeys((one.variant, one.network) for one in judged))
    apart = differences(each, lines, compare(answered))
    return Trained(summarise_seeds(each, lines, classes), each, apart)


def less_the_first(answered: Sequence[Key]) -> list[tuple[Key, Key]]:
    """Compare each row with the first that has an answer.

    >>> less_the_first([("all", "mnn"), ("all", "mlp")])
    [(('all', 'mnn'), ('all', 'mlp'))]
    """
    return [(answered[0], other) for other in answered[1:]]


def normalised_less_measured(answered: Sequence[Key]) -> list[tuple[Key, Key]]:
    """Compare what each network makes of normalised stamps with what it makes of others."""
    networks = dict.fromkeys(network for _, network in answered)
    return [((AS_MEASURED.key, name), (NORMALISED.key, name)) for name in networks]


def require_labels(context: Context) -> None:
    """Make sure that there are labels to learn from and to judge by.

    Raises
    ------
    ConfigError
        When there is no labelled sample, or none of it is left to judge.
    StoreError
        When labels were not matched, or with other settings.
    """
    settings = context.config.train
    if settings.sample not in context.config.samples:
        raise ConfigError(
            f"train.sample = {settings.sample!r} is not among the samples "
            f"({', '.join(context.config.samples) or 'there are none'}); add "
            f"[samples.{settings.sample}]"
        )
    if not settings.test_fraction or not settings.validation_fraction:
        raise ConfigError(
            f"an experiment chooses epochs on a validation sample and judges on a test sample, but "
            f"train.validation_fraction = {settings.validation_fraction} and train.test_fraction = "
            f"{settings.test_fraction}; set both above 0"
        )
    require_matched(context)


def memory_gib(context: Context, asked: Sequence[Asked]) -> float:
    """Estimate what one task needs, GiB: a network that learns, and the sample beside stamps."""
    sample = context.config.train.sample
    rows = int(stage_summary(context, "match").facts["matched"][sample])
    names = {row.network for row in asked}
    source = _COPIES * 16.0 * (2 * len(context.bands) + 4)
    taught = max((_taught_bytes(context, name) for name in names), default=0.0)
    return PROCESS_GIB + (taught + rows * source) / _GIB


def _taught_bytes(context: Context, network: str) -> float:
    stamp = 4.0 * network_reads(context, network).size_px ** 2
    return teaching_bytes(network_entry(network), context.config, stamp)


def check_memory(context: Context, asked: Sequence[Asked]) -> None:
    """Hold what a task needs against a worker before any starts.

    Raises
    ------
    PlanError
        When it does not fit.
    """
    need, limit = memory_gib(context, asked), context.config.cluster.memory_gib_per_worker
    if need > limit:
        raise PlanError(
            f"each task of an experiment trains a network and needs about {need:.1f} GiB, but a "
            f"worker has {limit:.1f} GiB; raise cluster.memory_gib_per_worker, or name networks of "
            f"fewer images with --networks"
        )


def _task(sample: SampleReceipts, experiment: str, row: Asked, number: int) -> Task:
    context, entry = sample.context, network_entry(row.network)
    config = context.config
    settings = config.train
    trial = Trial(
        row.network,
        row.variant,
        number,
        _seed(context, row.network, number),
        _seed(context, "draw", number),
        network_reads(context, row.network),
        context.survey.reference_band,
        sample.left_out,
    )
    made_from = fingerprint(
        code_fingerprint("train", "models", "features", *SCORING, *_CODE),
        sample.made_from(images=entry.images, shapes=bool(row.variant.shapes)),
        settings.sample,
        settings_of(settings.trees if entry.family == "xgboost" else settings.neural),
        [settings.validation_fraction, settings.test_fraction, settings.threads],
        trial.description.as_dict(),
        str(trial.variant),
        [number, trial.seed, trial.draw_seed],
        computing(entry, config.infer).keras_backend,
        trial.reference_band,
        sorted(trial.left_out),
    )
    name = f"{row.variant.key}_{row.network}_{number}"
    stage = f"experiment.{experiment}"
    path = context.work.experiment(experiment) / "answers" / f"{name}.parquet"
    checkpoint = CheckpointFile.of(context.work, f"{stage}/{name}", made_from)
    arguments = (context.work, config, trial, path, checkpoint)
    return Task(stage, name, made_from, fit_variant, arguments, essential=True)


def _seed(context: Context, name: str, number: int) -> int:
    return int(fingerprint(context.config.run.seed, "experiment", name, number)[:8], 16)
