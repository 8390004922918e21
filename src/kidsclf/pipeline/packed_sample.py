"""The labelled sample of a training task: photometry in memory, stamps in a local file.

Partition by partition it is packed in the order of the spatial index, so that row numbers, and
with them the order in which a network is taught, are the same whatever the partitioning.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.features.images import rows_in_block
from kidsclf.models.description import InputDescription
from kidsclf.pipeline.inputs import columns_read, magnitudes_of, rows_of
from kidsclf.pipeline.stamp_file import StampFile, stamp_file
from kidsclf.schema import LABEL, NAME, SPATIAL_INDEX, Inputs, LabelledInputs
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory


@dataclass(frozen=True)
class PackedSample:
    """Labelled sources, or some of them.

    Attributes
    ----------
    names : object array (n,)
    codes : int64 array (n,)
        Indices into ``classes``.
    photometry : Inputs
        Without stamps; errors, which no network looks at, are NaN.
    classes : tuple of str
    image_bands : tuple of str
    stamps : StampFile
        Records (image bands, size, size) of the whole sample; none without image bands.
    rows : int64 array (n,)
        The record of each source.
    shapes : float32 array (n, columns)
        What was asked for of the stage ``features``; NaN where it was withheld.
    """

    names: NDArray[np.object_]
    codes: NDArray[np.int64]
    photometry: Inputs
    classes: tuple[str, ...]
    image_bands: tuple[str, ...]
    stamps: StampFile
    rows: NDArray[np.int64]
    shapes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)

    def only(self, rows: NDArray[np.int64]) -> "PackedSample":
        """Pick sources, in the order given; their stamps stay where they are."""
        return replace(
            self,
            names=self.names[rows],
            codes=self.codes[rows],
            photometry=self.photometry.take(rows),
            rows=self.rows[rows],
            shapes=self.shapes[rows],
        )

    def take(self, rows: NDArray[np.int64]) -> LabelledInputs:
        """Bring some into memory, in the order given, with their stamps."""
        inputs = self.photometry.take(rows)
        if self.image_bands:
            stamps = self.stamps.read(self.rows[rows])
            images = {band: stamps[:, place] for place, band in enumerate(self.image_bands)}
            inputs = replace(inputs, images=images)
        return LabelledInputs(inputs, self.codes[rows], self.classes)

    def blocks(self, size_px: int, batch_size: int) -> Iterator[Inputs]:
        """Give the inputs of all, block by block of whole batches; one block, if empty, at least.

        Parameters
        ----------
        size_px : int
            Side of a stamp, pixels; 0 without image bands.
        batch_size : int
        """
        step = max(1, len(self))
        if self.image_bands:
            step = rows_in_block(size_px, len(self.image_bands), batch_size)
        for start in range(0, max(1, len(self)), step):
            yield self.take(np.arange(start, min(start + step, len(self)))).inputs


@contextmanager
def packed_sample(
    work: WorkDirectory,
    sample: str,
    description: InputDescription,
    left_out: frozenset[str],
    scratch: Path | None,
    prepare: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    shapes: tuple[str, ...] = (),
) -> Iterator[PackedSample]:
    """Pack a labelled sample, but for labels that are none of the classes.

    Memory holds the catalogue of a partition, 64 MiB of stamps, and what is known of the sample
    beside stamps.

    Parameters
    ----------
    work : WorkDirectory
    sample : str
    description : InputDescription
        Bands, stamps and classes.
    left_out : frozenset of str
        Labels of partitions in quarantine, whose sources are not taken.
    scratch : Path or None
        A local folder for the stamps; None is the system's for temporary files.
    prepare : callable, optional
        What is made of the stamps of a band, (n, size, size), before they are packed.
    shapes : tuple of str
        Columns of the stage ``features`` that are read, too.

    Raises
    ------
    StoreError
        When a labelled source is not in the catalogue.
    """
    bands, size = description.image_bands, description.size_px
    names: list[NDArray[np.object_]] = [np.empty(0, object)]
    codes: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    magnitudes = [np.empty((0, len(description.bands)), np.float32)]
    measured = [np.empty((0, len(shapes)), np.float32)]
    with stamp_file(scratch if bands else None, (len(bands), size, size)) as stamps:
        for partition in HatsCatalogue(work.sample(sample)).partitions():
            if partition.label in left_out:
                continue
            found = _labelled(work, sample, partition, description)
            for some in _stamps_of(work, partition, found, description):
                of_bands = some if prepare is None else map(prepare, some)
                stamps.append(np.stack(list(of_bands), axis=1))
            names.append(found.names.take(found.rows).to_numpy(zero_copy_only=False))
            codes.append(found.codes)
            magnitudes.append(found.magnitudes)
            measured.append(_shapes_of(work, partition, found, shapes))
        known = np.concatenate(codes)
        yield PackedSample(
            np.concatenate(names),
            known,
            _without_errors(np.concatenate(magnitudes), description.bands),
            description.classes,
            bands,
            stamps,
            np.arange(len(known)),
            np.concatenate(measured),
        )


@dataclass(frozen=True)
class _Labelled:
    """Sources of a partition that have a label: their rows, and what is known of them."""

    names: pa.ChunkedArray
    """Of all sources of the partition."""
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    magnitudes: NDArray[np.float32]


def _labelled(
    work: WorkDirectory, sample: str, partition: Partition, description: InputDescription
) -> _Labelled:
    labels = HatsCatalogue(work.sample(sample)).read(partition, [SPATIAL_INDEX, NAME, LABEL])
    codes = pd.Index(description.classes).get_indexer(labels[LABEL].to_pandas())
    known = np.flatnonzero(codes >= 0)
    table = HatsCatalogue(work.catalogue).read(partition, columns_read(description.bands))
    rows = rows_of(table, labels.take(known), partition)
    magnitudes = magnitudes_of(table.take(rows), description.bands)
    return _Labelled(table[NAME], rows, codes[known].astype(np.int64), magnitudes)


def _stamps_of(
    work: WorkDirectory, partition: Partition, found: _Labelled, description: InputDescription
) -> Iterator[list[NDArray[np.float32]]]:
    """Read stamps block by block, band by band."""
    bands = description.image_bands
    if not bands:
        return
    reader = CutoutStore(work.cutouts).reader(partition, found.names)
    step = rows_in_block(description.size_px, len(bands), 1)
    for start in range(0, len(found.rows), step):
        stamps = reader.read(bands, found.rows[start : start + step])
        yield [stamps[band] for band in bands]


def _shapes_of(
    work: WorkDirectory, partition: Partition, found: _Labelled, columns: tuple[str, ...]
) -> NDArray[np.float32]:
    """Read what was measured of the sources, whose rows are those of the catalogue."""
    if not columns:
        return np.empty((len(found.rows), 0), np.float32)
    table = HatsCatalogue(work.features).read(partition, list(columns)).take(found.rows)
    return np.stack([table[name].to_numpy() for name in columns], axis=1)


def _without_errors(magnitudes: NDArray[np.float32], bands: tuple[str, ...]) -> Inputs:
    errors = np.broadcast_to(np.float32(np.nan), magnitudes.shape)
    return Inputs(magnitudes, errors, bands)
