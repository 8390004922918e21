"""The catalogue that others load: scores beside photometry, partition by partition."""

from collections.abc import Iterable

import pyarrow as pa

from kidsclf import __version__
from kidsclf.config import Config
from kidsclf.errors import ConfigError, StoreError
from kidsclf.pipeline.context import (
    Context,
    code_fingerprint,
    finished_partitions,
    settings_of,
    task_fingerprint,
)
from kidsclf.pipeline.infer import CLASS, FLAGS, P_MAX
from kidsclf.pipeline.tasks import Made, Task
from kidsclf.schema import (
    DEC,
    NAME,
    RA,
    SPATIAL_INDEX,
    canonical_names,
    magnitude_column,
    probability_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.column_words import known_names, words_of
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.products import SUFFIXES
from kidsclf.store.receipts import fingerprint
from kidsclf.store.records import Shape
from kidsclf.surveys.column_map import ColumnMap

_OF_THE_SOURCE = (SPATIAL_INDEX, NAME, RA, DEC)


def product_network(context: Context) -> str:
    """Name the network whose classes the catalogue gives."""
    return context.config.reduce.product_network or context.config.train.networks[0]


def product_band(context: Context) -> str:
    """Name the band whose magnitude the catalogue gives."""
    return context.survey.reference_band or context.bands[0]


def product_listing(context: Context) -> list[tuple[str, str]]:
    """List the forms of the catalogue with what they are, for the page."""
    settings = context.config.products
    pieces = {"none": "", "class": "-CLASS", "area": "-norderK-npixN"}[settings.split_by]
    meant = {
        "fits": "FITS binary table; columns after Feng, Table 3",
        "parquet": "one Parquet file, with unit, UCD and meaning of each column",
        "votable": "VOTable",
    }
    named = [
        (f"products/catalog{pieces}{SUFFIXES[form]}", meant[form]) for form in settings.formats
    ]
    return [*named, ("products/catalog", "HATS catalogue, for LSDB and any reader of Parquet")]


def check_columns(config: Config, survey: ColumnMap) -> None:
    """Refuse a survey without magnitudes, and kept columns that clash with the catalogue's own.

    Raises
    ------
    ConfigError
    """
    if not survey.bands:
        raise ConfigError(
            f"survey.preset = {config.survey.preset!r} is to describe a catalogue to classify, but "
            f"it maps no magnitudes; use the preset of a photometric survey"
        )
    band = survey.reference_band or survey.bands[0]
    taken = canonical_names(survey.bands) | known_names(config.train.classes, band)
    for name in config.ingest.keep_columns:
        if name.lower() in {each.lower() for each in taken}:
            raise ConfigError(
                f"ingest.keep_columns asks for the survey's column {name!r}, but the catalogue has "
                f"a column of that name with a meaning of its own; rename it in the survey's files"
            )


def joining_tasks(context: Context) -> list[Task]:
    """Plan one task a partition."""
    network, classes = product_network(context), context.config.train.classes
    band, kept = product_band(context), context.config.ingest.keep_columns
    base = fingerprint(
        code_fingerprint("store"),
        [classes, band, kept],
        settings_of(context.config.ingest),
        __version__,
    )
    return [
        Task(
            "products",
            partition.label,
            fingerprint(
                base,
                receipt.fingerprint,
                task_fingerprint(context, "infer", f"{network}@{partition.label}"),
            ),
            join_partition,
            (context.work, partition, network, classes, band, kept),
            receipt.rows,
        )
        for partition, receipt in finished_partitions(context, "products").items()
    ]


def join_partition(
    work: WorkDirectory,
    partition: Partition,
    network: str,
    classes: tuple[str, ...],
    band: str,
    kept: tuple[str, ...],
) -> Made:
    """Put photometry and scores of one partition side by side."""
    photometry = HatsCatalogue(work.catalogue).read(
        partition, [*_OF_THE_SOURCE, magnitude_column(band), *kept]
    )
    scores = HatsCatalogue(work.scores(network)).read(partition)
    if not photometry[NAME].equals(scores[NAME]):
        raise StoreError(
            f"scores and catalogue of partition {partition.label} should hold the same sources in "
            f"the same order, but do not; add infer to --stages"
        )
    columns = {
        **{name: photometry[name] for name in _OF_THE_SOURCE},
        band: photometry[magnitude_column(band)],
        **{name: scores[name] for name in said(scores.column_names, classes)},
        **{name: photometry[name] for name in kept},
    }
    joined = _with_words(pa.table(columns), classes, band)
    path = HatsCatalogue(work.products / "catalog").write(partition, joined)
    return Made(joined.num_rows, (path,), Shape.of(joined).facts())


def said(names: Iterable[str], classes: Iterable[str]) -> list[str]:
    """Put the columns of scores in order: class and p_max after Feng, Table 3, flags at the end.

    Columns that are not named here stand between, in their own order.

    >>> said(["name", "class", "p_star", "p_max", "flags", "novelty"], ["STAR"])
    ['class', 'p_max', 'p_star', 'novelty', 'flags']
    """
    first = (CLASS, P_MAX, *map(probability_column, classes))
    named = {*first, FLAGS, *_OF_THE_SOURCE}
    return [*first, *(name for name in names if name not in named), FLAGS]


def _with_words(table: pa.Table, classes: tuple[str, ...], band: str) -> pa.Table:
    """Write unit, UCD and meaning of each column beside it, where Parquet keeps them."""
    fields = []
    for field in table.schema:
        words = words_of(field.name, classes=classes, band=band)
        said_of_it = {"unit": words.unit, "ucd": words.ucd, "description": words.meaning}
        fields.append(field.with_metadata({key: text for key, text in said_of_it.items() if text}))
    return table.cast(pa.schema(fields))
