"""``infer.backend = "auto"``: which backend a run computes with.

It is decided before the first stage, for the whole run, by a task like any other: measured on a
worker's machine, and kept as that task's receipt. A choice once made stays, whatever settings,
machines or experiments come later: networks are taught on it, and another one would teach them all
anew. Only ``--fresh`` forgets it, or that the backend is no longer installed.
"""

from collections.abc import Mapping
from typing import Any

from kidsclf.config import Config
from kidsclf.models.backend import installed_backends
from kidsclf.models.speed import Question, compare_backends
from kidsclf.models.table import NetworkEntry, network_entry
from kidsclf.pipeline.context import Doer
from kidsclf.pipeline.tasks import Made, Task
from kidsclf.pipeline.train import describe
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, fingerprint, read_receipt
from kidsclf.surveys.column_map import ColumnMap

STAGE, CHOSEN = "backend", "chosen"
AUTO = "auto"


def settle_backend(
    config: Config, survey: ColumnMap, work: WorkDirectory, engine: Doer
) -> tuple[Config, str | None]:
    """Give the configuration with the backend that ``auto`` stands for.

    Parameters
    ----------
    config : Config
    survey : ColumnMap
    work : WorkDirectory
        Where an earlier choice may lie.
    engine : Doer

    Returns
    -------
    config : Config
        The one given where it names a backend.
    told : str or None
        What was measured and chosen, in one line; None where nothing was to be chosen.
    """
    if config.infer.backend != AUTO:
        return config, None
    entry = _costliest(config)
    if entry is None:
        return with_backend(config, "tensorflow"), None
    former = read_receipt(work.receipts, STAGE, CHOSEN)
    if former is not None and former.facts["chosen"] in installed_backends():
        facts = former.facts
    else:
        task = _choosing(_question(entry, config, survey), former)
        facts = engine.map([task]).receipts[0].facts
    return with_backend(config, facts["chosen"]), _told(facts)


def remembered_backend(config: Config, work: WorkDirectory) -> Config:
    """Give the configuration with what ``auto`` came to before; TensorFlow where it did not."""
    if config.infer.backend != AUTO:
        return config
    kept = _costliest(config) and read_receipt(work.receipts, STAGE, CHOSEN)
    return with_backend(config, kept.facts["chosen"] if kept else "tensorflow")


def with_backend(config: Config, backend: str) -> Config:
    """Name the backend in a configuration."""
    infer = config.infer.model_copy(update={"backend": backend})
    return config.model_copy(update={"infer": infer})


def _costliest(config: Config) -> NetworkEntry | None:
    """Give the network of the run that costs most; None where none needs Keras."""
    entries = [network_entry(name) for name in config.train.networks]
    entries = [entry for entry in entries if entry.family == "keras"]
    return max(entries, key=lambda entry: entry.images, default=None)


def _choosing(question: Question, former: Receipt | None) -> Task:
    """Plan the measurement; a former choice stays if it is installed where the workers are."""
    facts = None if former is None else former.facts
    return Task(STAGE, CHOSEN, fingerprint(facts), choose, (question, facts), essential=True)


def _question(entry: NetworkEntry, config: Config, survey: ColumnMap) -> Question:
    # Sizes in arcsec are known only of tiles; for the question which is faster this one will do.
    data = describe(config, survey.bands, config.cutouts.size_px)
    settings = config.infer
    return Question(
        entry.name,
        entry.reads(data, survey.reference_band),
        settings.batch_size,
        settings.threads,
        settings.precision,
    )


def choose(question: Question, former: Mapping[str, Any] | None) -> Made:
    """Measure on this worker's machine, unless what was chosen before can be had on it."""
    if former is not None and former["chosen"] in installed_backends():
        return Made(0, (), former)
    found = compare_backends(question)
    return Made(
        0,
        (),
        {
            "chosen": found.chosen,
            "network": question.network,
            "sources_per_second": found.sources_per_second,
            "versions": found.versions,
        },
    )


def _told(facts: Mapping[str, Any]) -> str:
    if not facts["sources_per_second"]:
        return f"backend {facts['chosen']}, the only one that is installed on a worker's machine"
    speeds = ", ".join(
        f"{name} too slow or failed" if speed is None else f"{name} {speed:,.0f}"
        for name, speed in facts["sources_per_second"].items()
    )
    return (
        f"backend {facts['chosen']}, chosen by sources a second of {facts['network']} on a "
        f"worker's machine: {speeds}"
    )
