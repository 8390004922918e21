"""Stage ``train``: fit the networks to the training sample, or take those of another run."""

from dataclasses import replace

from kidsclf.config import Config
from kidsclf.errors import ConfigError, InputError
from kidsclf.models.description import InputDescription
from kidsclf.models.files import CARD, read_card
from kidsclf.models.novelty import bands_of
from kidsclf.models.table import network_entry
from kidsclf.pipeline.committees import gather_committee
from kidsclf.pipeline.context import (
    SCORING,
    Context,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    out_of_date,
    settings_of,
    stage_summary,
)
from kidsclf.pipeline.fitting import (
    FINAL,
    NOVELTY,
    PIXEL_SCALE,
    VALIDATION,
    Lesson,
    adopt_network,
    computing,
    task_name,
    train_network,
    trained_names,
)
from kidsclf.pipeline.mapping import Task
from kidsclf.pipeline.match import match_settings
from kidsclf.pipeline.sample_receipts import SCALE_TOLERANCE, SampleReceipts, pixel_scale
from kidsclf.places import Place, place, remove_tree, subfolders
from kidsclf.store.receipts import fingerprint
from kidsclf.store.tables import read_table
from kidsclf.surveys.column_map import ColumnMap


def run(context: Context) -> StageOutcome:
    """Train all networks, and with folds each once without each fold.

    Raises
    ------
    InputError
        When there are no labels to learn from.
    ConfigError
        When a network lacks what it needs.
    """
    check_settings(context.config, context.survey)
    if context.config.train.pretrained is None:
        _check_labels(context)
    else:
        for name in context.config.train.networks:
            _check_scale(context, name)
    done = [context.engine.map(part) for part in training_parts(context)]
    _remove_former_members(context)
    remove_tree(context.work.checkpoints)  # also those that other settings left
    return StageOutcome.of("train", *done)


def _remove_former_members(context: Context) -> None:
    """Remove what a smaller committee, or fewer folds, no longer use of the run's networks."""
    wanted = set(trained_names(context.config.train))
    for path in subfolders(context.work.members):
        of_today = path.name.startswith(tuple(f"{name}-" for name in context.config.train.networks))
        if of_today and path.name not in wanted:
            remove_tree(path)


def training_tasks(context: Context) -> list[Task]:
    """Plan every task of the stage, those first that others follow."""
    return [task for part in training_parts(context) for task in part]


def training_parts(context: Context) -> list[list[Task]]:
    """Plan one task a network and fold, or one a network that is taken from another run.

    With committees, one a member, and then one that gathers them.
    """
    settings = context.config.train
    if settings.pretrained is not None:
        folder = place(settings.pretrained, context.config.store)
        return [[_adopting(context, name, folder) for name in settings.networks]]
    require_matched(context)
    reads = {name: network_reads(context, name) for name in settings.networks}
    sample = SampleReceipts(context)
    wholes = [
        (name, fold) for name in settings.networks for fold in (*range(settings.folds), FINAL)
    ]
    if settings.committee == 1:
        return [[_fitting(sample, name, fold, reads[name]) for name, fold in wholes]]
    members = {
        (name, fold): [
            _fitting(sample, name, fold, reads[name], member)
            for member in range(settings.committee)
        ]
        for name, fold in wholes
    }
    gathering = [_gathering(context, *whole, tasks) for whole, tasks in members.items()]
    return [[task for tasks in members.values() for task in tasks], gathering]


def require_matched(context: Context) -> None:
    """Make sure that labels were matched as today's settings ask.

    Raises
    ------
    StoreError
        When they were not, or otherwise.
    """
    if stage_summary(context, "match").facts["asked"] != match_settings(context):
        raise out_of_date("match")


def network_reads(context: Context, name: str) -> InputDescription:
    """Say what a network reads of the run, its stamps in the size that they were cut in.

    Raises
    ------
    ConfigError
        When the run lacks what it reads.
    InputError
        When a size in arcsec gave stamps of several sizes to a network that takes one.
    """
    entry, settings = network_entry(name), context.config.cutouts
    data = describe(context.config, context.bands, settings.size_px)
    reads = entry.reads(data, context.survey.reference_band)
    if settings.size_arcsec is None or not entry.images:
        return reads
    sizes: set[int] = set()
    for partition in finished_partitions(context, "train"):
        receipt = context.receipt("cutouts", partition.label)
        cut = receipt.facts["sizes_px"] if receipt else {}
        sizes.update(cut[band] for band in reads.image_bands if band in cut)
    if len(sizes) > 1:
        raise InputError(
            f"the network {name!r} takes stamps of one size in all bands, but "
            f"{settings.size_arcsec} arcsec are {', '.join(map(str, sorted(sizes)))} pixels; set "
            f"cutouts.size_px, or name bands of one pixel scale"
        )
    return replace(reads, size_px=max(sizes, default=settings.size_px))


def _check_scale(context: Context, name: str) -> None:
    if not network_entry(name).images:
        return
    scale = pixel_scale(context)
    folder = place(str(context.config.train.pretrained), context.config.store)
    card = read_card(folder / name)
    taught = float(card.scores.get(PIXEL_SCALE, 0.0))
    if abs(taught - scale) > SCALE_TOLERANCE * scale:
        raise ConfigError(
            f"train.pretrained offers the network {name!r}, which learnt from pixels of "
            f"{taught:.3f} arcsec, but this run's tiles have {scale:.3f}; use a network trained on "
            f"that scale"
        )


def check_settings(config: Config, survey: ColumnMap) -> None:
    """Make sure that the networks can be had: images, labels, or fitting pretrained ones.

    Raises
    ------
    ConfigError
        On the first thing that is lacking.
    """
    settings = config.train
    for name in settings.networks:
        entry = network_entry(name)
        if entry.images and not config.has_images:
            raise ConfigError(
                f"the network {name!r} needs images, but survey.tiles is empty; give tiles or take "
                f"it out of train.networks"
            )
        size = config.cutouts.size_px
        if settings.pretrained is not None and config.cutouts.size_arcsec is not None:
            # Known in pixels when the tiles are; scoring looks at it again.
            size = _taught_size(place(settings.pretrained, config.store) / name)
        reads = entry.reads(describe(config, survey.bands, size), survey.reference_band)
        if settings.pretrained is not None:
            folder = place(settings.pretrained, config.store)
            _check_pretrained(name, folder, reads)
            _check_novelty(name, folder, survey.bands)
    if settings.pretrained is None and settings.sample not in config.samples:
        raise ConfigError(
            f"train.sample = {settings.sample!r} is not among the samples "
            f"({', '.join(config.samples) or 'there are none'}); add [samples.{settings.sample}] "
            f"or set train.pretrained"
        )


def describe(config: Config, bands: tuple[str, ...], size_px: int) -> InputDescription:
    """Say what a run has for its networks, with stamps of ``size_px`` pixels.

    What each of them reads of it, ``NetworkEntry.reads`` says.
    """
    image_bands = config.cutouts.bands if config.has_images else ()
    size = size_px if config.has_images else 0
    return InputDescription(bands, image_bands, size, config.train.classes)


def _check_labels(context: Context) -> None:
    sample = context.config.train.sample
    facts = stage_summary(context, "match").facts
    if not facts["matched"][sample]:
        if not context.config.samples[sample].tables:
            raise InputError(
                f"the sample {sample!r} takes its labels from the catalogue, but none of its "
                f"sources has one of the labels {', '.join(context.config.train.classes)}; map the "
                f"survey's texts to those under [label] values, or set train.classes"
            )
        steps = facts["cuts"].get(sample, [])
        cuts = ", ".join(f"{step} cut {cut} of {rows}" for step, _, rows, cut in steps)
        raise InputError(
            f"labels of the sample {sample!r} were to be matched within "
            f"{context.config.samples[sample].radius_arcsec} arcsec, but none fell on a source "
            f"({cuts}); check its tables and coordinates"
        )


def _fitting(
    sample: SampleReceipts,
    name: str,
    fold: int,
    description: InputDescription,
    member: int | None = None,
) -> Task:
    context, entry = sample.context, network_entry(name)
    settings = context.config.train
    alone = () if member is None else (member,)
    seed = int(fingerprint(context.config.run.seed, name, fold, *alone)[:8], 16)
    made_from = fingerprint(
        code_fingerprint("train", "models", "features", *SCORING),
        sample.made_from(images=entry.images),
        settings.sample,
        settings_of(settings.trees if entry.family == "xgboost" else settings.neural),
        [settings.validation_fraction, settings.test_fraction, settings.folds, settings.threads],
        description.as_dict(),
        seed,
        computing(entry, context.config.infer).keras_backend,
        sorted(sample.left_out),
    )
    lesson = Lesson(
        name,
        fold,
        description,
        seed,
        made_from,
        sample.scale_arcsec if entry.images else 0.0,
        context.bands,
        context.survey.reference_band,
        sample.left_out,
        member,
    )
    return Task(
        "train",
        lesson.task,
        made_from,
        train_network,
        (context.work, context.config, lesson),
        about="" if member is None else "members",
        essential=True,
    )


def _gathering(context: Context, name: str, fold: int, members: list[Task]) -> Task:
    made_from = fingerprint(
        code_fingerprint("train", "models"), [task.fingerprint for task in members]
    )
    arguments = (context.work, name, fold, len(members), made_from)
    title = task_name(name, fold)
    return Task("train", title, made_from, gather_committee, arguments, essential=True)


def _adopting(context: Context, name: str, folder: Place) -> Task:
    text = (folder / name / CARD).read_text(encoding="utf-8")
    return Task(
        "train",
        name,
        fingerprint("pretrained", text),
        adopt_network,
        (context.work, name, folder / name),
        essential=True,
    )


def _taught_size(folder: Place) -> int:
    return read_card(folder).description.size_px if (folder / CARD).exists() else 0


def _check_pretrained(name: str, folder: Place, wanted: InputDescription) -> None:
    for file in (CARD, VALIDATION, NOVELTY):
        if not (folder / name / file).exists():
            raise ConfigError(
                f"train.pretrained = {folder} was to hold the network {name!r}, but "
                f"{folder / name / file} is not there; give the 'models' folder of a finished run "
                f"of this version"
            )
    found = read_card(folder / name).description.as_dict()
    differ = [key for key, value in wanted.as_dict().items() if found[key] != value]
    if differ:
        raise ConfigError(
            f"train.pretrained offers the network {name!r} of {folder}, but its "
            + "; ".join(f"{key} are {found[key]}, not {wanted.as_dict()[key]}" for key in differ)
            + "; use a network trained on the same bands, stamps and classes"
        )


def _check_novelty(name: str, folder: Place, bands: tuple[str, ...]) -> None:
    known = bands_of(read_table(folder / name / NOVELTY).column_names)
    if not set(known) <= set(bands):
        raise ConfigError(
            f"train.pretrained offers the network {name!r} of {folder}, whose training sample has "
            f"the bands {' '.join(known)}, but this survey has {' '.join(bands)}; use a network "
            f"trained on the same bands"
        )
