"""``infer.backend = "auto"``: which backend a run computes with.

It is decided before the first stage, for the whole run, by a task like any other: measured on a
worker's machine, and kept as that task's receipt. So a run that goes on, on whatever machine, has
the backend that it began with, and nothing is done again for a measurement that came out otherwise.
"""

from collections.abc import Mapping
from typing import Any

from kidsclf.config import Config
from kidsclf.models.speed import Question, compare_backends
from kidsclf.models.table import NetworkEntry, network_entry
from kidsclf.pipeline.context import Doer
from kidsclf.pipeline.tasks import Made, Task
from kidsclf.pipeline.train import describe
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint, is_finished
from kidsclf.surveys.column_map import ColumnMap

STAGE = "backend"
AUTO = "auto"


def settle_backend(config: Config, survey: ColumnMap, engine: Doer) -> tuple[Config, str | None]:
    """Give the configuration with the backend that ``auto`` stands for.

    Parameters
    ----------
    config : Config
    survey : ColumnMap
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
    task = _choosing(config, survey)
    if task is None:
        return with_backend(config, "tensorflow"), None
    facts = engine.map([task]).receipts[0].facts
    return with_backend(config, facts["chosen"]), _told(facts)


def remembered_backend(config: Config, survey: ColumnMap, work: WorkDirectory) -> Config:
    """Give the configuration with what ``auto`` came to before; TensorFlow where it did not."""
    if config.infer.backend != AUTO:
        return config
    task = _choosing(config, survey)
    kept = task and is_finished(work.receipts, work.root, STAGE, task.name, task.fingerprint)
    return with_backend(config, kept.facts["chosen"] if kept else "tensorflow")


def with_backend(config: Config, backend: str) -> Config:
    """Name the backend in a configuration."""
    infer = config.infer.model_copy(update={"backend": backend})
    return config.model_copy(update={"infer": infer})


def _choosing(config: Config, survey: ColumnMap) -> Task | None:
    """Plan the measurement, with the network that costs most; None where none needs Keras."""
    entries = [network_entry(name) for name in config.train.networks]
    entries = [entry for entry in entries if entry.family == "keras"]
    if not entries:
        return None
    question = _question(max(entries, key=lambda entry: entry.images), config, survey)
    asked = fingerprint(question.network, question.description.as_dict(), config.infer.batch_size)
    made_from = fingerprint(asked, question.threads, question.precision)
    return Task(STAGE, "chosen", made_from, choose, (question,), essential=True)


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


def choose(question: Question) -> Made:
    """Measure on this worker's machine."""
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
