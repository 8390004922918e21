"""Whether what lies on disk is what was written: partitions, metadata of HATS, files too many.

The ``hats`` library's own validator passes truncated, misplaced and unsorted partitions, so
everything is read here. An object store that does not answer is an error, no fault of a file.
"""

import csv
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kidsclf.errors import StoreError
from kidsclf.places import Place, files_below, name_below, open_parquet
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import Partition
from kidsclf.store.checksums import checksum
from kidsclf.store.hats_metadata import file_of, index_fault
from kidsclf.store.receipts import Receipt, measure

_HATS_FILES = {
    *("partition_info.csv", "hats.properties", "properties", "skymap.fits", "point_map.fits"),
    *("dataset/_metadata", "dataset/_common_metadata"),
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: which file or folder, and what."""

    path: str
    what: str


def output_faults(root: Place, receipt: Receipt) -> Iterator[Fault]:
    """Hold the outputs of a task against its receipt: there, of that size, with those bytes."""
    for name, size in receipt.outputs.items():
        found = measure(root / name)
        if found < 0:
            yield Fault(name, "is missing")
        elif found != size:
            yield Fault(name, f"has {found} bytes, but {size} were written")
        elif name in receipt.checksums and checksum(root / name) != receipt.checksums[name]:
            yield Fault(name, "holds other bytes than were written: its checksum differs")


def partition_faults(
    root: Place, path: Place, partition: Partition, rows: int, receipt: Receipt
) -> tuple[Fault, ...]:
    """Read all of a partition's file, a row group at a time.

    Of several faults that have one cause only the one that says most is given.

    Parameters
    ----------
    root : path
        Of the work directory.
    rows : int
        That the file should hold.
    receipt : Receipt
        Of the task that wrote it.
    """
    name = name_below(root, path)
    if not path.exists():
        return (Fault(name, "is missing"),)
    try:
        with open_parquet(path) as file:
            groups = [
                file.read_row_group(group)[SPATIAL_INDEX].to_numpy()
                for group in range(file.num_row_groups)
            ]
    except StoreError:
        raise
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        return (Fault(name, f"cannot be read ({' '.join(str(error).split())})"),)
    index = np.concatenate(groups) if groups else np.empty(0, np.int64)
    fault = index_fault(partition, rows, index)
    if fault:
        return (Fault(name, f"should hold {rows} rows of its own in order, but {fault}"),)
    return tuple(each for each in output_faults(root, receipt) if each.path == name)


def metadata_faults(
    root: Place, catalogue: Place, held: Mapping[Partition, int]
) -> Iterator[Fault]:
    """Hold what a HATS catalogue says of itself against the partitions that it should have.

    Parameters
    ----------
    root : path
        Of the work directory.
    catalogue : path
    held : mapping of partition to rows
        All that the catalogue should have.
    """
    rows = sum(held.values())
    checks: dict[str, Callable[[Place], bool]] = {
        "partition_info.csv": lambda path: _listed(path) == set(held),
        "hats.properties": lambda path: _rows_stated(path) == rows,
        "properties": lambda path: _rows_stated(path) == rows,
    }
    for name, agrees in checks.items():
        path = catalogue / name
        where = name_below(root, path)
        try:
            if not path.exists():
                yield Fault(where, "is missing")
            elif not agrees(path):
                yield Fault(where, "tells of other partitions or rows than the catalogue has")
        except StoreError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            yield Fault(where, f"cannot be read ({' '.join(str(error).split())})")


def _listed(path: Place) -> set[Partition]:
    with path.open(encoding="utf-8") as file:
        return {Partition(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(file)}


def _rows_stated(path: Place) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    stated = dict(line.partition("=")[::2] for line in lines)
    return int(stated["hats_nrows"])


def stray_faults(root: Place, catalogue: Place, held: Collection[Partition]) -> Iterator[Fault]:
    """List files of a HATS catalogue that belong to nothing."""
    known = {f"dataset/{file_of(partition)}" for partition in held} | _HATS_FILES
    for path in sorted(files_below(catalogue), key=str):
        if name_below(catalogue, path) not in known:
            yield Fault(name_below(root, path), "belongs to no partition of the catalogue")
