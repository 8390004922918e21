"""A walk over the headers of a FITS file, plain or gzipped, that checks the data is there.

``astropy.io.fits.open`` meets a truncated file with a warning; here it is an error, and nothing but
headers is read.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from astropy.io import fits
from upath import UPath

from kidsclf.surveys.opening import HEADERS, open_unpacked

BLOCK_BYTES = 2880
"""Headers and data are padded to multiples of this."""


@dataclass(frozen=True)
class Unit:
    """One header and data unit: its index, header, and where its data begin (bytes)."""

    index: int
    header: fits.Header
    start: int

    @property
    def data_bytes(self) -> int:
        """Size of the data without padding (FITS standard 4.0, equation 2)."""
        axes = [int(self.header[f"NAXIS{k}"]) for k in range(1, int(self.header["NAXIS"]) + 1)]
        elements = int(self.header.get("PCOUNT", 0))
        product = 1 if axes else 0
        for axis in axes:
            product *= axis
        groups = int(self.header.get("GCOUNT", 1))
        return abs(int(self.header["BITPIX"])) // 8 * groups * (elements + product)

    @property
    def is_compressed_image(self) -> bool:
        """Whether it is an image that fpack put into a table."""
        return bool(self.header.get("ZIMAGE", False))

    @property
    def is_packed(self) -> bool:
        """Whether it is a table that fpack packed."""
        return bool(self.header.get("ZTABLE", False))


def open_fits(path: Path | UPath) -> AbstractContextManager[BinaryIO]:
    """Open a file to look at its headers, through gzip where its name says so."""
    return open_unpacked(path, HEADERS)


def walk(file: BinaryIO) -> Iterator[Unit]:
    """Go from header to header; the file may be read in between.

    Raises
    ------
    ValueError
        If the file does not begin as FITS does.
    """
    if file.read(6) != b"SIMPLE":
        raise ValueError("it does not begin as FITS does")
    file.seek(0)
    index, position = 0, 0
    while True:
        file.seek(position)
        try:
            header = fits.Header.fromfile(file)
        except EOFError:
            return
        unit = Unit(index, header, file.tell())
        yield unit
        index, position = index + 1, unit.start + padded(unit.data_bytes)


def check_complete(file: BinaryIO, unit: Unit) -> None:
    """See that the last byte of a unit's data is there.

    Raises
    ------
    EOFError
        If it is not.
    """
    if unit.data_bytes:
        file.seek(unit.start + unit.data_bytes - 1)
        if not file.read(1):
            raise EOFError(f"it ends before the {unit.data_bytes} bytes of its HDU {unit.index} do")


def padded(size: int) -> int:
    """Round a size up to whole FITS blocks."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
