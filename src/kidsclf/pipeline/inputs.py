"""Put together what a network is shown of a partition, or of a labelled sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.models.description import InputDescription
from kidsclf.schema import (
    LABEL,
    NAME,
    SPATIAL_INDEX,
    Inputs,
    LabelledInputs,
    error_column,
    magnitude_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory


@dataclass(frozen=True)
class LabelledSample:
    """A labelled sample, in the order of the spatial index whatever the partitioning."""

    names: NDArray[np.object_]
    labelled: LabelledInputs


def photometry(
    table: pa.Table, bands: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Stack magnitudes and errors, two float32 arrays (n, bands); NaN where there is no column."""
    return (
        _stacked(table, [magnitude_column(band) for band in bands]),
        _stacked(table, [error_column(band) for band in bands]),
    )


def _stacked(table: pa.Table, columns: Sequence[str]) -> NDArray[np.float32]:
    values = np.full((table.num_rows, len(columns)), np.nan, np.float32)
    for place, column in enumerate(columns):
        if column in table.column_names:
            values[:, place] = table[column].to_numpy()
    return values


def read_inputs(
    work: WorkDirectory, table: pa.Table, partition: Partition, description: InputDescription
) -> Inputs:
    """Read the inputs of all rows of a catalogue partition."""
    names = table[NAME].to_numpy(zero_copy_only=False)
    images = {}
    if description.image_bands:
        images = CutoutStore(work.cutouts).read(partition, names, description.image_bands)
    return Inputs(*photometry(table, description.bands), description.bands, images)


def read_labelled(
    work: WorkDirectory, sample: str, description: InputDescription, left_out: frozenset[str]
) -> LabelledSample:
    """Read a labelled sample, but for labels that the network does not know.

    Parameters
    ----------
    work : WorkDirectory
    sample : str
    description : InputDescription
    left_out : frozenset of str
        Labels of partitions in quarantine, whose sources are not taken.

    Raises
    ------
    StoreError
        When a labelled source is not in the catalogue.
    """
    labels = HatsCatalogue(work.sample(sample))
    names, parts, codes = [], [], []
    for partition in labels.partitions():
        if partition.label in left_out:
            continue
        some = labels.read(partition, [SPATIAL_INDEX, NAME, LABEL])
        code = pd.Index(description.classes).get_indexer(some[LABEL].to_pandas())
        known = np.flatnonzero(code >= 0)
        table = HatsCatalogue(work.catalogue).read(partition)
        rows = rows_of(table, some.take(known), partition)
        parts.append(_read_rows(work, table, partition, rows, description))
        names.append(table[NAME].to_numpy(zero_copy_only=False)[rows])
        codes.append(code[known].astype(np.int64))
    return LabelledSample(
        np.concatenate(names),
        LabelledInputs(Inputs.concatenate(parts), np.concatenate(codes), description.classes),
    )


def rows_of(table: pa.Table, some: pa.Table, partition: Partition) -> NDArray[np.int64]:
    """Find sources, by place and name, in a catalogue partition; int64 row numbers.

    Raises
    ------
    StoreError
        When one is not there.
    """
    keys = [
        pd.MultiIndex.from_arrays([each[SPATIAL_INDEX].to_numpy(), each[NAME].to_pandas()])
        for each in (table, some)
    ]
    rows = keys[0].get_indexer(keys[1])
    if (rows < 0).any():
        raise StoreError(
            f"a sample names sources of partition {partition.label} that the catalogue does not "
            f"hold; run the stage 'match' again"
        )
    return np.asarray(rows, np.int64)


def _read_rows(
    work: WorkDirectory,
    table: pa.Table,
    partition: Partition,
    rows: NDArray[np.int64],
    description: InputDescription,
) -> Inputs:
    names = table[NAME].to_numpy(zero_copy_only=False)
    images = {}
    if description.image_bands:
        images = CutoutStore(work.cutouts).read(partition, names, description.image_bands, rows)
    return Inputs(*photometry(table.take(rows), description.bands), description.bands, images)
