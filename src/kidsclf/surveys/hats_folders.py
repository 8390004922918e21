"""Another HATS catalogue as input: its folder stands for the Parquet files of its partitions.

Its own spatial index is left alone, whatever it is called: rows are placed by their coordinates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from upath import UPath

from kidsclf.errors import InputError, StoreError
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import INDEX_ORDER, Partition

if TYPE_CHECKING:
    from hats.catalog import Catalog, TableProperties

_MARKS = ("hats.properties", "properties", "collection.properties")
_CATALOGUES = ("object", "source")


def is_hats_folder(folder: UPath) -> bool:
    """Say whether a folder is a HATS catalogue or collection."""
    return any((folder / mark).is_file() for mark in _MARKS)


@dataclass(frozen=True)
class HatsFolder:
    """What a HATS catalogue says of itself.

    Attributes
    ----------
    partitions : tuple of Partition
        That of each file, in the order of the sky; those of several files stand several times.
    files : tuple of UPath
    rows : int
    index_column : str
        Spatial index of the rows; files are sorted by it, or should be. Empty where it is none of
        order-29 pixels: then nothing can be looked up by it.
    """

    partitions: tuple[Partition, ...]
    files: tuple[UPath, ...]
    rows: int
    index_column: str


def hats_files(folder: UPath) -> list[UPath]:
    """List the files of a catalogue's partitions, or of a collection's main catalogue.

    Raises
    ------
    InputError
        If its metadata cannot be read, or if it is a margin, an index or another helper of one.
    """
    return sorted(open_hats_folder(folder).files, key=str)


def open_hats_folder(folder: UPath) -> HatsFolder:
    """Read the metadata of a catalogue, or of a collection's main catalogue.

    Raises
    ------
    InputError
        If they cannot be read, or if it is a margin, an index or another helper of one.
    """
    import hats  # noqa: PLC0415  (heavy; only where such a catalogue is read)

    try:
        found = hats.read_hats(folder, read_moc=False)
        catalogue = getattr(found, "main_catalog", found)
        info = catalogue.catalog_info
        kind = str(info.catalog_type)
        placed = list(_placed_files(catalogue)) if kind in _CATALOGUES else []
    except StoreError:
        raise
    except (OSError, ValueError, NotImplementedError, AttributeError, pa.ArrowException) as error:
        raise InputError(
            f"the HATS catalogue {folder} was asked for but its metadata cannot be read "
            f"({error}); fetch or write it anew"
        ) from error
    if not placed:
        raise InputError(
            f"the HATS catalogue {folder} was asked for as a table of sources but it is of the "
            f"type {kind!r} with {len(placed)} partitions; give the catalogue itself"
        )
    if info.total_rows is None:
        raise InputError(
            f"the HATS catalogue {folder} was asked for its number of rows but its properties "
            f"state none; add hats_nrows to them"
        )
    partitions, files = zip(*placed, strict=True)
    return HatsFolder(partitions, files, int(info.total_rows), _index_column(info))


def _index_column(info: "TableProperties") -> str:
    """Name the spatial index; one of another name must say that it is of order 29."""
    column = str(info.healpix_column or SPATIAL_INDEX)
    silent = info.healpix_order is None and column == SPATIAL_INDEX
    return column if silent or info.healpix_order == INDEX_ORDER else ""


def _placed_files(catalogue: "Catalog") -> Iterator[tuple[Partition, UPath]]:
    """List files in the order of the sky; a partition may be a folder of several."""
    paths = zip(catalogue.get_healpix_pixels(), catalogue.get_pixel_paths(), strict=True)
    found = [(Partition(int(pixel.order), int(pixel.pixel)), path) for pixel, path in paths]
    for partition, path in sorted(found, key=lambda each: each[0].first_index):
        inside = sorted(path.glob("*.parquet"), key=str) if path.suffix != ".parquet" else [path]
        yield from ((partition, file) for file in inside)
