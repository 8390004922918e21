"""Tables that fpack packed: blocks of rows, each column of a block compressed by itself.

FITS standard 4.0, section 10.3. ``astropy`` unpacks such images but not such tables, and the
program ``funpack`` needs room for the whole table; here a block of rows is unpacked at a time, and
of it the columns asked for.
"""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits

# No public module of astropy offers the codec by itself; a test with a table of fpack's holds it.
from astropy.io.fits.hdu.compressed._codecs import Rice1
from numpy.typing import NDArray

from kidsclf.surveys.fits_headers import Unit
from kidsclf.surveys.table_format import Extent

_RICE_BLOCK = 32
"""Numbers that share a Rice parameter (cfitsio: imcompress.c, fits_compress_table)."""


def packed_header(table: Unit) -> fits.Header:
    """Give the header as it was before packing, as far as columns go."""
    header = table.header.copy()
    for k in range(1, int(header["TFIELDS"]) + 1):
        header[f"TFORM{k}"] = header[f"ZFORM{k}"]
    header["NAXIS1"] = header["ZNAXIS1"]
    return header


def packed_blocks(
    file: BinaryIO, table: Unit, stored: Mapping[str, np.dtype[Any]], extent: Extent
) -> Iterator[dict[str, NDArray[Any]]]:
    """Unpack the blocks of rows that hold an extent, cut to it.

    Parameters
    ----------
    stored : mapping of str to dtype
        The columns wanted, each with its big-endian type.

    Raises
    ------
    ValueError
        For an algorithm that the standard does not name, or a block of another length than stated.
    """
    header = table.header
    total, step = int(header["ZNAXIS2"]), int(header["ZTILELEN"])
    numbers = {str(header[f"TTYPE{k}"]): k for k in range(1, int(header["TFIELDS"]) + 1)}
    wanted = [numbers[name] - 1 for name in stored]
    end = extent.first_row + extent.rows
    first_tile = extent.first_row // step
    places = _places(file, table, first_tile, -(-end // step) - first_tile)[:, wanted]
    for tile, columns in enumerate(places, first_tile):
        first = tile * step
        rows = min(step, total - first)
        inside = slice(max(0, extent.first_row - first), min(rows, end - first))
        packed = _read(file, table, columns)
        yield {
            name: _unpack(content, str(header[f"ZCTYP{numbers[name]}"]).strip(), kind, rows)[inside]
            for content, (name, kind) in zip(packed, stored.items(), strict=True)
        }


def _places(file: BinaryIO, table: Unit, first_tile: int, tiles: int) -> NDArray[np.int64]:
    """Read the sizes and places in the heap of columns of blocks (bytes, (tiles, columns, 2))."""
    fields = int(table.header["TFIELDS"])
    letters = {str(table.header[f"TFORM{k + 1}"]).lstrip("01")[:1] for k in range(fields)}
    width = int(table.header["NAXIS1"])
    file.seek(table.start + first_tile * width)
    descriptors = np.frombuffer(file.read(tiles * width), ">i8" if letters == {"Q"} else ">i4")
    return descriptors.reshape(tiles, fields, 2).astype(np.int64)


def _read(file: BinaryIO, table: Unit, columns: NDArray[np.int64]) -> list[bytes]:
    """Read columns of a block, which lie side by side in the heap, at once."""
    header = table.header
    heap = int(header.get("THEAP", int(header["NAXIS1"]) * int(header["NAXIS2"])))
    sizes, places = columns[:, 0], columns[:, 1]
    first = int(places.min())
    file.seek(table.start + heap + first)
    content = file.read(int((places + sizes).max()) - first)
    return [content[k - first : k - first + n] for n, k in columns.tolist()]


def _unpack(packed: bytes, algorithm: str, kind: np.dtype[Any], rows: int) -> NDArray[Any]:
    if algorithm == "RICE_1":
        codec = Rice1(blocksize=_RICE_BLOCK, bytepix=kind.itemsize, tilesize=rows)
        unpacked: NDArray[Any] = codec.decode(np.frombuffer(packed, np.uint8))
        return unpacked.view(kind.newbyteorder("="))
    if algorithm not in ("GZIP_1", "GZIP_2", "NOCOMPRESS"):
        raise ValueError(f"a column is packed by {algorithm!r}, which is no known algorithm")
    content = packed if algorithm == "NOCOMPRESS" else zlib.decompress(packed, wbits=31)
    if len(content) != rows * kind.itemsize:
        raise ValueError(f"a packed column of {rows} rows has {len(content)} bytes")
    if algorithm == "GZIP_2":  # the first bytes of all numbers, then the second ones, ...
        shuffled = np.frombuffer(content, np.uint8).reshape(kind.itemsize, rows)
        content = shuffled.T.tobytes()
    return np.frombuffer(content, kind)
