"""Checksums of what was written, by which a flipped bit is found.

CRC-32 finds every error of up to 32 bits in a row and all but one in 4e9 others. It costs a
hundredth of writing a partition (7 GB/s on one core of 2024, where blake2b does 0.9).
"""

import zlib

from kidsclf.places import Place, files_below, is_local, name_below, open_to_read

_PIECE_BYTES = 4 * 1024**2


def checksum(path: Place) -> str:
    """Compute the CRC-32 of a file, or of the names and checksums of all files of a folder.

    Returns
    -------
    str
        Eight hexadecimal digits.
    """
    if is_local(path) and path.is_file():
        return _hexadecimal(_of_file(path))
    below = {name_below(path, file): file for file in files_below(path)}
    if set(below) & {"", "."}:  # in an object store a file is found below itself
        return _hexadecimal(_of_file(path))
    lines = (f"{name} {_hexadecimal(_of_file(below[name]))}\n" for name in sorted(below))
    return _hexadecimal(zlib.crc32("".join(lines).encode()))


def _of_file(path: Place) -> int:
    value = 0
    with open_to_read(path) as file:
        while piece := file.read(_PIECE_BYTES):
            value = zlib.crc32(piece, value)
    return value


def _hexadecimal(value: int) -> str:
    return f"{value:08x}"
