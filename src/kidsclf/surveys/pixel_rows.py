"""Rows of the pixels of a FITS image, strip by strip, whatever their compression.

Plain files are sought, on a disk or by a range of bytes from an object store. Of tile-compressed
ones the tiles that hold the rows are unpacked. A gzipped file can only be gone through forward: all
that lies before the rows asked for is unpacked and thrown away, so a task reads it once if it asks
for ascending rows; and to its end, where the checksum stands, as damage within it may well unpack.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from kidsclf.places import Place, open_to_read
from kidsclf.surveys.fits_headers import Unit
from kidsclf.surveys.opening import HEADERS, ROWS, open_unpacked
from kidsclf.surveys.tiles import find_image, image_shape

NUMBERS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""numpy's names of BITPIX."""
_UNSIGNED_ZERO = 2.0**63
"""BZERO of unsigned integers of 64 bits (standard 4.0, table 11): to add it is to flip a bit."""
_PIECE_BYTES = 1024**2
"""What is asked of an object store beyond a packed tile, which follow each other."""


class PixelRows(Protocol):
    """An open image."""

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx), pixels."""

    def read(self, first: int, stop: int) -> NDArray[Any]:
        """Read rows ``[first:stop]`` as physical values, of any type and byte order."""

    def finish(self) -> None:
        """Go on to a checksum at the end of the file, if it has one."""


@contextmanager
def open_rows(path: Place, hdu: int | str | None = None) -> Iterator[PixelRows]:
    """Open an image: the HDU named, or the first of two dimensions.

    Raises
    ------
    ValueError
        If the file holds no such image.
    """
    with open_unpacked(path, HEADERS) as file:
        unit = find_image(file, hdu)
    if not unit.is_compressed_image:
        packed = path.name.lower().endswith(".gz")
        with open_unpacked(path, ROWS if packed else 0) as file:
            yield _SoughtRows(file, unit, image_shape(unit))
        return
    with open_to_read(path, _PIECE_BYTES) as file, fits.open(file, memmap=False) as units:
        yield _UnpackedRows(units[unit.index].section, image_shape(unit))


@dataclass(frozen=True)
class _SoughtRows:
    file: BinaryIO
    unit: Unit
    shape: tuple[int, int]

    def read(self, first: int, stop: int) -> NDArray[Any]:
        numbers = np.dtype(NUMBERS[int(self.unit.header["BITPIX"])])
        row = self.shape[1] * numbers.itemsize
        self.file.seek(self.unit.start + first * row)
        content = self.file.read((stop - first) * row)
        if len(content) < (stop - first) * row:
            raise EOFError(f"it ends within the pixels of its HDU {self.unit.index}")
        raw = np.frombuffer(content, numbers).reshape(stop - first, self.shape[1])
        return _physical(raw, self.unit.header)

    def finish(self) -> None:
        if isinstance(self.file, gzip.GzipFile):
            while self.file.read(_PIECE_BYTES):
                pass


@dataclass(frozen=True)
class _UnpackedRows:
    section: Any
    shape: tuple[int, int]

    def read(self, first: int, stop: int) -> NDArray[Any]:
        return np.asarray(self.section[first:stop])

    def finish(self) -> None:
        pass


def _physical(raw: NDArray[Any], header: fits.Header) -> NDArray[Any]:
    """Apply BSCALE, BZERO and BLANK (FITS standard 4.0, section 5.3); whole numbers stay whole."""
    scale, zero = float(header.get("BSCALE", 1.0)), float(header.get("BZERO", 0.0))
    blank = header.get("BLANK") if raw.dtype.kind != "f" else None
    if scale == 1.0 and zero == _UNSIGNED_ZERO and blank is None and raw.dtype == NUMBERS[64]:
        return raw.astype(np.int64).view(np.uint64) ^ np.uint64(zero)
    if scale == 1.0 and zero == 0.0 and blank is None:
        return raw
    if scale == 1.0 and zero.is_integer() and blank is None and raw.dtype.kind != "f":
        return raw.astype(np.int64) + int(zero)
    values = (raw * scale + zero).astype(np.float32)
    if blank is not None:
        values[raw == int(blank)] = np.nan
    return values
