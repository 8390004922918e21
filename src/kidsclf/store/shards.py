"""Rows out of the shards of a Zarr array, each chunk unpacked once and to where it is wanted.

Zarr unpacks every chunk into memory of its own and copies it from there. For stamps, of which a
partition has a gigabyte, getting that memory costs as much as unpacking. So local shards as
``cutouts`` writes them are read here; whatever else there is, Zarr reads.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

_ENTRY = struct.Struct("<QQ")
"""Offset and length of a chunk in its shard, bytes (Zarr 3, sharding codec 1.0)."""
_HEADER = struct.Struct("<4xI4xI")
"""Of a chunk packed by Blosc 1: bytes unpacked, and packed with the header."""
_SUM = struct.Struct("<I")
"""CRC-32C of the entries, which stand at the end of the shard."""


def is_plain(array: Any) -> bool:
    """Say whether an array is sharded along its rows and packed by Blosc, as our own are."""
    packed = array.compressors
    return bool(
        array.shards is not None
        and array.shards[1:] == array.shape[1:] == array.chunks[1:]
        and len(packed) == 1
        and isinstance(packed[0], BloscCodec)
        and not array.filters
        and array.dtype == array.dtype.newbyteorder("<")
        and array.metadata.codecs[0].index_location.value == "end"
    )


def packed_chunks(folder: Path, array: Any, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Read the chunks that hold some rows, packed, in their order.

    Parameters
    ----------
    folder : Path
        Of the array.
    array : zarr.Array
        For which ``is_plain`` holds.
    start, stop : int
        First row, and the one after the last.

    Yields
    ------
    first : int
        Row with which the chunk begins.
    packed : bytes

    Raises
    ------
    OSError
        When a shard is missing.
    ValueError
        When its index or a chunk's length is not what was written.
    """
    rows, chunk = array.shards[0], array.chunks[0]
    for shard in range(start // rows, -(-stop // rows) if stop > start else 0):
        path = folder / "c" / str(shard) / "/".join("0" * (array.ndim - 1))
        with path.open("rb") as file:
            index, end = _index(file.fileno(), path, rows // chunk)
            for place, (offset, length) in enumerate(index):
                first = shard * rows + place * chunk
                if first < stop and first + chunk > start:
                    if offset + length > end:  # as where there is none: both are 2^64 - 1
                        raise ValueError(f"{path} lacks a chunk")
                    yield first, os.pread(file.fileno(), length, offset)


def unpack(packed: bytes, to: NDArray[Any]) -> None:
    """Unpack a chunk into an array of its shape.

    Raises
    ------
    ValueError
        When it holds another number of bytes.
    RuntimeError
        When Blosc finds it damaged.
    """
    if len(packed) < _HEADER.size:
        raise ValueError("a chunk is too short")
    unpacked, stored = _HEADER.unpack_from(packed)
    if (unpacked, stored) != (to.nbytes, len(packed)):
        raise ValueError(f"a chunk of {unpacked} bytes stands where {to.nbytes} were written")
    blosc.decompress(packed, to)


def _index(file: int, path: Path, chunks: int) -> tuple[list[tuple[int, int]], int]:
    """Read where the chunks of a shard lie, and where it ends."""
    size = chunks * _ENTRY.size
    end = os.fstat(file).st_size
    if end < size + _SUM.size:
        raise ValueError(f"{path} is too short for its index")
    told = os.pread(file, size + _SUM.size, end - size - _SUM.size)
    if google_crc32c.value(told[:size]) != _SUM.unpack(told[size:])[0]:
        raise ValueError(f"the index of {path} is damaged")
    entries = np.frombuffer(told[:size], "<u8").reshape(chunks, 2)
    return [(int(offset), int(length)) for offset, length in entries], end
