"""The catalogue in the formats that others load, written as a stream from its partitions."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kidsclf import __version__
from kidsclf.models.files import read_card
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.infer import CLASS
from kidsclf.pipeline.product_trust import trust_cards
from kidsclf.pipeline.product_words import write_words
from kidsclf.pipeline.products import joining_tasks, product_band, product_network
from kidsclf.pipeline.read_ahead import read_ahead
from kidsclf.pipeline.tasks import Mapped
from kidsclf.places import Place, files_below, open_parquet
from kidsclf.reduce.area import ENOUGH_SOURCES
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.margin import Stretches
from kidsclf.sky.partition import Partition
from kidsclf.sky.split import PixelCounts
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.coverage import FINEST_ORDER, coverage_order, write_coverage
from kidsclf.store.fits_product import Cards
from kidsclf.store.products import COLUMNS, SUFFIXES, describe, open_product, write_columns
from kidsclf.store.records import RecordColumn, Shape

COVERAGE = "coverage.moc.fits"
UNCLASSIFIED = "unclassified"


@dataclass(frozen=True)
class Piece:
    """A part of the catalogue that is written as files of its own.

    Attributes
    ----------
    name : str
        Of its files, without the ending.
    class_name : str or None
        Only sources of this class, "" being none; None: of all.
    stretches : int64 array (n, 2) or None
        Only sources in these stretches of the spatial index; None: everywhere.
    partitions : tuple of Partition
        That may hold some.
    """

    name: str
    class_name: str | None
    stretches: Stretches | None
    partitions: tuple[Partition, ...]


def write_catalogue(context: Context) -> Mapped:
    """Write ``products/``: the HATS catalogue, the files of other formats, and what they are."""
    made = context.engine.map(joining_tasks(context))
    held = [(Partition.parse(receipt.task), receipt.rows) for receipt in made.receipts]
    folder = context.work.products
    store = HatsCatalogue(folder / "catalog")
    store.finish("classified_sources", held)
    wanted: dict[Place, int] = {}
    if held:
        shape = Shape.joined(receipt.facts for receipt in made.receipts)
        with open_parquet(store.path(held[0][0])) as file:
            schema = _plain(file.schema_arrow)
        columns = describe(schema, shape)
        write_columns(folder / COLUMNS, columns)
        partitions = tuple(partition for partition, _ in held)
        counts = _count(store, partitions)
        write_coverage(folder / COVERAGE, counts, coverage_order(counts, ENOUGH_SOURCES))
        for piece in _pieces(context, partitions, counts):
            wanted |= _write_piece(context, store, piece, schema, columns)
        write_words(context, columns, {path.name: rows for path, rows in wanted.items()})
    _remove_others(folder, wanted, keep_words=bool(held))
    return made


def _plain(schema: pa.Schema) -> pa.Schema:
    """Leave out what the reader of Parquet adds to fields."""
    return pa.schema(
        [
            field.with_metadata(
                {
                    key: text
                    for key, text in (field.metadata or {}).items()
                    if not key.startswith(b"PARQUET:")
                }
            )
            for field in schema
        ]
    )


def provenance(context: Context) -> Cards:
    """Say where the catalogue is from, as FITS cards; nothing depends on when or where."""
    network = product_network(context)
    card = read_card(context.work.model(network))
    return {
        "ORIGIN": (f"kidsclf {__version__}", "program that wrote this table"),
        "TITLE": (context.config.run.title, "of the run"),
        "SURVEY": (context.survey.name, "photometry classified"),
        "REFERENC": (context.survey.source, "of the survey"),
        "NETWORK": (network, "network that classified"),
        "NETPAPER": (card.paper, "its paper"),
        "TRAINSMP": (context.config.train.sample, "sample that it learnt from"),
        "NTRAIN": (int(card.scores.get("train_rows", 0)), "sources that it learnt from"),
        "SEED": (context.config.run.seed, "of the run"),
        "MAGBAND": (product_band(context), "band of the magnitude column"),
        "MAGSYS": ("AB", "magnitude system"),
        "RADESYS": ("ICRS", "reference frame"),
        **trust_cards(context),
    }


def _pieces(
    context: Context, partitions: tuple[Partition, ...], counts: PixelCounts
) -> Iterator[Piece]:
    """Divide the catalogue as the settings ask; ``counts`` say where on the sky it has sources."""
    settings = context.config.products
    if settings.split_by == "none":
        yield Piece("catalog", None, None, partitions)
    elif settings.split_by == "class":
        for name in (*context.config.train.classes, ""):
            yield Piece(f"catalog-{name.lower() or UNCLASSIFIED}", name, None, partitions)
    else:
        sky, order = SkyIndex.of_partitions(partitions), settings.area_order
        for pixel in counts.coarsened(order).pixels.tolist():
            area = Partition(order, pixel)
            stretches = np.array([[area.first_index, area.last_index]])
            inside = tuple(partitions[place] for place in sky.touching(stretches))
            yield Piece(f"catalog-norder{order}-npix{pixel}", None, stretches, inside)


def _write_piece(
    context: Context,
    store: HatsCatalogue,
    piece: Piece,
    schema: pa.Schema,
    columns: tuple[RecordColumn, ...],
) -> dict[Place, int]:
    """Write the files of one piece, all formats side by side; give the rows of each."""
    folder, forms = context.work.products, context.config.products.formats
    paths = {form: folder / f"{piece.name}{SUFFIXES[form]}" for form in forms}
    cards, rows = provenance(context), 0
    with ExitStack() as stack:
        files = [
            stack.enter_context(open_product(form, path, schema, columns, cards))
            for form, path in paths.items()
        ]
        for part in _parts(store, piece) if files else ():
            for append in files:
                append(part)
            rows += part.num_rows
    return dict.fromkeys(paths.values(), rows)


def _parts(store: HatsCatalogue, piece: Piece) -> Iterator[pa.Table]:
    for table in read_ahead(partial(store.read, stretches=piece.stretches), piece.partitions):
        if piece.class_name is None:
            yield table
        else:
            yield table.filter(pc.equal(table[CLASS], piece.class_name))


def _count(store: HatsCatalogue, partitions: tuple[Partition, ...]) -> PixelCounts:
    """Count sources by pixel: kilobytes a square degree."""

    def count(partition: Partition) -> PixelCounts:
        index = store.read(partition, [SPATIAL_INDEX])[SPATIAL_INDEX].to_numpy()
        return PixelCounts.of_indices(index, FINEST_ORDER)

    return PixelCounts.merge(read_ahead(count, partitions), FINEST_ORDER)


def _remove_others(folder: Place, wanted: Mapping[Place, object], *, keep_words: bool) -> None:
    """Remove files of formats and pieces that are no longer asked for."""
    for path in files_below(folder):
        if path.parent == folder and path not in wanted:
            ours = path.name.startswith("catalog")
            if ours or not keep_words:
                path.unlink()
