"""The catalogue that others load: scores beside photometry, as HATS and as one FITS table."""

from collections.abc import Iterator

import pyarrow as pa

from kidsclf import __version__
from kidsclf.config import Config
from kidsclf.errors import ConfigError, StoreError
from kidsclf.pipeline.context import (
    Context,
    code_fingerprint,
    finished_partitions,
    settings_of,
    stage_summary,
    task_fingerprint,
)
from kidsclf.pipeline.infer import CLASS, ENTROPY, FLAGS, P_MAX
from kidsclf.pipeline.mapping import Made, Mapped, Task
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
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.products import FitsColumn, write_fits_table
from kidsclf.store.receipts import fingerprint
from kidsclf.surveys.column_map import ColumnMap


def product_network(context: Context) -> str:
    """Name the network whose classes the catalogue gives."""
    return context.config.reduce.product_network or context.config.train.networks[0]


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
    taken = {
        *(SPATIAL_INDEX, survey.reference_band, *canonical_names(survey.bands)),
        *(CLASS, P_MAX, ENTROPY, FLAGS, *map(probability_column, config.train.classes)),
    }
    for name in config.ingest.keep_columns:
        if name in taken:
            raise ConfigError(
                f"ingest.keep_columns asks for the survey's column {name!r}, but the catalogue has "
                f"a column of that name with a meaning of its own; rename it in the survey's files"
            )


def write_catalogue(context: Context) -> Mapped:
    """Write ``products/catalog`` and ``products/catalog.fits``."""
    network = product_network(context)
    band = context.survey.reference_band or context.bands[0]
    columns = product_columns(context, band)
    base = fingerprint(
        code_fingerprint("store"), columns, settings_of(context.config.ingest), __version__
    )
    tasks = [
        Task(
            "products",
            partition.label,
            fingerprint(
                base,
                receipt.fingerprint,
                task_fingerprint(context, "infer", f"{network}@{partition.label}"),
            ),
            join_partition,
            (context.work, partition, network, columns),
            receipt.rows,
        )
        for partition, receipt in finished_partitions(context, "products").items()
    ]
    made = context.engine.map(tasks)
    _publish(context, made, band)
    return made


def product_columns(context: Context, band: str) -> tuple[tuple[str, str, str], ...]:
    """List (product's name, table, table's name) of the catalogue's columns, Feng T3 first."""
    photometry = [
        (NAME, "catalogue", NAME),
        (RA, "catalogue", RA),
        (DEC, "catalogue", DEC),
        (band, "catalogue", magnitude_column(band)),
    ]
    said = [CLASS, P_MAX, *map(probability_column, context.config.train.classes), ENTROPY, FLAGS]
    kept = context.config.ingest.keep_columns
    return (
        (SPATIAL_INDEX, "catalogue", SPATIAL_INDEX),
        *photometry,
        *((name, "scores", name) for name in said),
        *((name, "catalogue", name) for name in kept),
    )


def join_partition(
    work: WorkDirectory,
    partition: Partition,
    network: str,
    columns: tuple[tuple[str, str, str], ...],
) -> Made:
    """Put photometry and scores of one partition side by side."""
    tables = {
        "catalogue": HatsCatalogue(work.catalogue).read(partition),
        "scores": HatsCatalogue(work.scores(network)).read(partition),
    }
    if not tables["catalogue"][NAME].equals(tables["scores"][NAME]):
        raise StoreError(
            f"scores and catalogue of partition {partition.label} should hold the same sources in "
            f"the same order, but do not; add infer to --stages"
        )
    joined = pa.table({name: tables[table][source] for name, table, source in columns})
    path = HatsCatalogue(work.products / "catalog").write(partition, joined)
    return Made(joined.num_rows, (path,))


def _publish(context: Context, made: Mapped, band: str) -> None:
    store = HatsCatalogue(context.work.products / "catalog")
    partitions = [(Partition.parse(receipt.task), receipt.rows) for receipt in made.receipts]
    store.finish("classified_sources", partitions)

    def parts() -> Iterator[pa.Table]:
        for partition, _ in partitions:
            yield store.read(partition)

    cards = {
        "ORIGIN": (f"kidsclf {__version__}", "program that wrote this table"),
        "NETWORK": (product_network(context), "network that classified"),
        "MAGBAND": (band, "band of the magnitude column"),
        "MAGSYS": ("AB", "magnitude system"),
        "RADESYS": ("ICRS", "reference frame"),
    }
    write_fits_table(
        context.work.products / "catalog.fits",
        _fits_columns(context, band),
        sum(rows for _, rows in partitions),
        parts(),
        cards,
    )


def _fits_columns(context: Context, band: str) -> tuple[FitsColumn, ...]:
    width = max(1, int(stage_summary(context, "ingest").facts["name_bytes"]))
    classes = context.config.train.classes
    widest = max(len(each) for each in classes)
    return (
        FitsColumn(NAME, f"{width}A", "", "identifier of the survey"),
        FitsColumn(RA, "D", "deg", "right ascension, ICRS"),
        FitsColumn(DEC, "D", "deg", "declination, ICRS"),
        FitsColumn(band, "D", "mag", f"{band} magnitude, AB"),
        FitsColumn(CLASS, f"{widest}A", "", "most probable class; empty: unclassified"),
        FitsColumn(P_MAX, "D", "", "largest probability"),
        *(
            FitsColumn(probability_column(each), "E", "", f"probability of {each}")
            for each in classes
        ),
        FitsColumn(FLAGS, "J", "", "ScoreFlag bits; 0 is plain"),
    )
