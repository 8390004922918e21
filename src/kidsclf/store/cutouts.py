"""Stamps of each partition in Zarr 3, row i being row i of the catalogue partition.

``int16`` keeps a stamp at about a fifth of its own sky noise a step, so that no pixel moves by more
than an eighth of that noise; ``float32`` keeps every bit. A group records the fingerprint of its
identifiers, and opening it beside other sources is an error, never a silent shift.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from kidsclf.errors import StoreError
from kidsclf.places import Place, remove_tree, subfolders
from kidsclf.schema import CutoutFlag
from kidsclf.sky.partition import Partition
from kidsclf.store.publish import published_file, published_folder
from kidsclf.store.stamp_encoding import BUFFERS, StampBuffer
from kidsclf.store.stamp_reader import DAMAGE, StampReader, zarr_store

_GROUP = "zarr.json"
_EMPTY_GROUP = b'{\n  "attributes": {},\n  "zarr_format": 3,\n  "node_type": "group"\n}'
"""As Zarr writes it."""
_CHUNK_BYTES = 4 * 1024**2
"""What is unpacked at once: 1,024 stamps of 41 x 41 int16. Smaller ones cost Zarr more time each:
a whole partition is read a quarter faster than with 256."""
_BLOCK_BYTES = 512 * 1024
"""What Blosc turns and packs at once. Its own choice, 32 KiB, takes 1.8 times as long to pack (2.05
against 1.17 us a stamp of one core), 1.5 times to unpack, and 4 % more space."""
_SHARD_BYTES = 64 * 1024**2
"""What is one file."""


Names: TypeAlias = Sequence[str] | NDArray[np.object_] | pa.ChunkedArray
"""Identifiers (n,), in the order of the catalogue partition."""


def identifiers_fingerprint(names: Names) -> str:
    """Hash identifiers in their order; of Arrow's own, no Python object is made for a row."""
    if isinstance(names, pa.ChunkedArray):
        texts: Any = names.combine_chunks()
    else:
        texts = pa.array(list(map(str, names)), pa.string())
    lengths = pc.utf8_length(texts).to_numpy().astype("<i8")
    digest = hashlib.blake2b(lengths.tobytes(), digest_size=16)
    _, offsets, characters = texts.buffers()
    if len(texts):
        ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
        digest.update(memoryview(characters)[ends[0] : ends[-1]])
    return digest.hexdigest()


@dataclass(frozen=True)
class CutoutStore:
    """All stamps of a run."""

    root: Place

    def path(self, partition: Partition) -> Place:
        """Say where a partition's group lies."""
        return self.root / f"norder-{partition.order}" / f"npix-{partition.pixel}"

    @contextmanager
    def writing(
        self,
        partition: Partition,
        names: NDArray[np.object_],
        *,
        encoding: str,
        attributes: Mapping[str, Any],
    ) -> Iterator["GroupWriter"]:
        """Write a partition's stamps, band by band, and publish them when all went well.

        Parameters
        ----------
        names : array of str (n,)
            Identifiers, in the order of the catalogue partition.
        encoding : {"int16", "float32"}
        attributes : mapping
            What else the group is to say of itself.
        """
        self._ensure_parents(partition)
        with published_folder(self.path(partition), last=_GROUP) as temporary:
            group = zarr.open_group(str(temporary), mode="w", zarr_format=3)
            writer = GroupWriter(group, encoding, len(names))
            yield writer
            writer.finish()
            group.attrs.update(
                {
                    "identifiers": identifiers_fingerprint(names),
                    "rows": len(names),
                    "bands": writer.bands,
                    "encoding": encoding,
                    "unit": "maggy",
                    **attributes,
                }
            )

    def _ensure_parents(self, partition: Partition) -> None:
        for folder in (self.root, self.path(partition).parent):
            if not (folder / _GROUP).exists():
                with published_file(folder / _GROUP) as temporary:
                    temporary.write_bytes(_EMPTY_GROUP)

    def keep_only(self, partitions: Iterable[Partition]) -> None:
        """Remove the groups of partitions that the catalogue no longer has."""
        wanted = {self.path(partition) for partition in partitions}
        for order in subfolders(self.root):
            for path in subfolders(order):
                if path not in wanted:
                    remove_tree(path)

    def open(self, partition: Partition, names: Names | None = None) -> zarr.Group:
        """Open a partition's group.

        Raises
        ------
        StoreError
            When it is missing, or belongs to other sources than ``names``.
        """
        path = self.path(partition)
        try:
            group = zarr.open_group(zarr_store(path), mode="r")
            made_of = group.attrs["identifiers"]
        except StoreError:
            raise
        except DAMAGE as error:
            raise StoreError(
                f"cutouts of partition {partition.label} were expected at {path}, but cannot be "
                f"opened; run the stage 'cutouts'"
            ) from error
        if names is not None and made_of != identifiers_fingerprint(names):
            raise StoreError(
                f"cutouts at {path} belong to other sources than partition {partition.label} of "
                f"the catalogue holds; run the stage 'cutouts' again"
            )
        return group

    def reader(self, partition: Partition, names: Names) -> StampReader:
        """Open a partition's group to read it bit by bit."""
        return StampReader(self.path(partition), self.open(partition, names))

    def read(
        self,
        partition: Partition,
        names: Names,
        bands: Sequence[str],
        rows: NDArray[np.int64] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Read stamps in maggies, float32 (n, size, size) by band; all or some rows."""
        some = slice(None) if rows is None else rows
        return self.reader(partition, names).read(bands, some)

    def flags(self, partition: Partition, names: Names) -> NDArray[np.uint8]:
        """Read the ``CutoutFlag`` bits of a partition, uint8 (n,)."""
        return self.reader(partition, names).flags()


class GroupWriter:
    """A partition's group on its way to disk; memory holds one band at a time."""

    def __init__(self, group: zarr.Group, encoding: str, rows: int) -> None:
        self._group = group
        self._encoding = encoding
        self._flags = np.zeros(rows, np.uint8)
        self.bands: list[str] = []

    def buffer(self, size_px: int) -> StampBuffer:
        """Make room for the stamps of a band."""
        return BUFFERS[self._encoding](len(self._flags), size_px)

    def add(self, band: str, stamps: StampBuffer, flags: NDArray[np.uint8]) -> None:
        """Write a band, and join its ``CutoutFlag`` bits (n,) to those of the bands before."""
        for suffix, values in stamps.arrays().items():
            write_array(self._group, f"{band}{suffix}", values)
        self._flags |= flags
        self._flags[stamps.coarse] |= np.uint8(CutoutFlag.COARSE)
        self.bands.append(band)

    def finish(self) -> None:
        """Write what all bands share."""
        write_array(self._group, "flags", self._flags)

    @property
    def flags(self) -> NDArray[np.uint8]:
        """Flags of all bands so far, uint8 (n,)."""
        return self._flags


def write_array(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
    """Write an array by rows into a group, in chunks and shards of bounded size."""
    rows = max(1, len(values))
    row_bytes = max(1, values[:1].nbytes)
    chunk = min(rows, _power_of_two(_CHUNK_BYTES // row_bytes))
    shard = chunk * min(-(-rows // chunk), max(1, _SHARD_BYTES // (chunk * row_bytes)))
    tail = values.shape[1:]
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(chunk, *tail),
        shards=(shard, *tail),
        compressors=BloscCodec(
            cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=_BLOCK_BYTES
        ),
        fill_value=0,
        config={"write_empty_chunks": True},  # or all is compared with the fill value first
    )
    if len(values):
        array[:] = values


def _power_of_two(limit: int) -> int:
    return 1 << max(0, limit.bit_length() - 1)
