"""What an experiment was made from, so that the page shows none of other settings as this run's.

It stands beside the experiment's tables, and is hashed again when a page is drawn.
"""

from collections.abc import Sequence

from kidsclf.errors import KidsclfError
from kidsclf.models.table import network_entry
from kidsclf.pipeline.context import (
    Context,
    code_fingerprint,
    finished_partitions,
    settings_of,
    task_fingerprint,
)
from kidsclf.pipeline.fitting import computing
from kidsclf.pipeline.sample_receipts import SampleReceipts
from kidsclf.pipeline.train import network_reads
from kidsclf.places import Place
from kidsclf.store.receipts import fingerprint
from kidsclf.store.tables import read_json, write_json

_CODE = ("train", "models", "features", "infer", "reduce", "ingest", "experiments")


def origin_path(context: Context, experiment: str) -> Place:
    """Say where it lies."""
    return context.work.experiment(experiment) / "made_from.json"


def write_origin(
    context: Context, experiment: str, networks: Sequence[str], *, scored: bool, shapes: bool
) -> None:
    """Note what an experiment that is done was made from.

    Parameters
    ----------
    context : Context
    experiment : str
    networks : sequence of str
        Those that have answers.
    scored : bool
        Whether it counts the run's scores; otherwise it trains.
    shapes : bool
        Whether trees read shapes.
    """
    asked = {"networks": list(networks), "scored": scored, "shapes": shapes}
    record = {**asked, "made_from": _made_from(context, networks, scored=scored, shapes=shapes)}
    write_json(origin_path(context, experiment), record)


def is_of_this_run(context: Context, experiment: str) -> bool:
    """Say whether an experiment was made with today's settings, labels and code."""
    path = origin_path(context, experiment)
    if not path.exists():
        return False
    record = read_json(path)
    made_from = record.pop("made_from")
    try:
        return bool(made_from == _made_from(context, **record))
    except KidsclfError:  # stages that it is built on are no longer there
        return False


def _made_from(context: Context, networks: Sequence[str], *, scored: bool, shapes: bool) -> str:
    train, sample = context.config.train, SampleReceipts(context)
    parts = [_scores(context, name) for name in networks] if scored else []
    if not scored:
        parts = [_teaching(sample, name, shapes=shapes) for name in networks]
    return fingerprint(
        code_fingerprint(*_CODE),
        [train.sample, train.classes, train.validation_fraction, train.test_fraction],
        context.config.run.seed,
        parts,
    )


def _teaching(sample: SampleReceipts, name: str, *, shapes: bool) -> list[object]:
    context, entry = sample.context, network_entry(name)
    train, trees = context.config.train, entry.family == "xgboost"
    return [
        name,
        sample.made_from(images=entry.images, shapes=shapes and trees),
        settings_of(train.trees if trees else train.neural),
        [train.threads, computing(entry, context.config.infer).keras_backend],
        network_reads(context, name).as_dict(),
        sorted(sample.left_out),
    ]


def _scores(context: Context, name: str) -> list[object]:
    labels = [partition.label for partition in finished_partitions(context, "reduce")]
    scored = [task_fingerprint(context, "infer", f"{name}@{label}") for label in labels]
    matched = [task_fingerprint(context, "match", each) for each in labels if context.samples]
    return [name, context.config.train.folds, labels, scored, matched]
