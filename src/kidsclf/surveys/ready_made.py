"""Stamps that the user has cut already: which row is whose, and the rows of NPY and FITS cubes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array

from kidsclf.errors import InputError
from kidsclf.places import Place, is_local
from kidsclf.surveys.damage import named_errors
from kidsclf.surveys.fits_headers import Unit, check_complete, open_fits, walk
from kidsclf.surveys.pixel_rows import NUMBERS

CUBE_SUFFIXES = (".npy", ".fits", ".fit")

_AXES = 3
_UNSCALED = {"BSCALE": 1, "BZERO": 0, "BLANK": None}


class NameIndex:
    """Rows of stamps by the names of their sources; sixteen bytes a name.

    Names are compared by hashes of 64 bits: among 60 million of each side the odds that any two
    that differ are taken for one are 1 in 5,000.
    """

    def __init__(self, names: Iterable[NDArray[np.object_]], source: str) -> None:
        parts = [hash_array(part, categorize=False) for part in names]
        hashes = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        self._rows = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._rows]
        twice = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        if len(twice):
            first, second = self._rows[twice[0] : twice[0] + 2].tolist()
            raise InputError(
                f"one stamp a source was asked for, but {source} names one source in its rows "
                f"{first} and {second}; take one of them out"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def rows_of(self, names: NDArray[np.object_]) -> NDArray[np.int64]:
        """Find the row of each name; -1 where it has none."""
        wanted = hash_array(names, categorize=False)
        at = np.searchsorted(self._hashes, wanted)
        found = np.append(self._hashes, np.uint64(0))[at] == wanted
        found &= at < len(self._hashes)
        return np.where(found, np.append(self._rows, -1)[at], -1).astype(np.int64)


def open_cube(path: Place) -> NDArray[Any]:
    """Map an NPY file, or the first image of three dimensions of a FITS file, into memory.

    Returns
    -------
    array (n, ny, nx)
        Of any type and byte order; only what is indexed is read.

    Raises
    ------
    InputError
        If the file is missing, damaged, not local, or holds no such array of plain numbers.
    """
    if not is_local(path):
        raise InputError(
            f"stamps at {path} were asked for, but of NPY and FITS only local files can be read "
            f"row by row; copy it to a disk or give a Zarr array"
        )
    with named_errors(str(path)):
        cube = np.load(path, mmap_mode="r") if path.suffix == ".npy" else _fits_cube(path)
        if cube.ndim != _AXES or cube.dtype.kind not in "iuf":
            raise ValueError(f"it holds {cube.dtype} of shape {cube.shape}, not stamps (n, ny, nx)")
        return np.asarray(cube)


def _fits_cube(path: Place) -> NDArray[Any]:
    with open_fits(path) as file:
        unit = next((unit for unit in walk(file) if _is_cube(unit)), None)
        if unit is None:
            raise ValueError("it holds no uncompressed image of three dimensions")
        check_complete(file, unit)
        if any(unit.header.get(key, plain) != plain for key, plain in _UNSCALED.items()):
            raise ValueError("its image has BSCALE, BZERO or BLANK; write it as plain float32")
    shape = tuple(int(unit.header[f"NAXIS{k}"]) for k in (3, 2, 1))
    numbers = NUMBERS[int(unit.header["BITPIX"])]
    kind = np.dtype(numbers)
    cube: NDArray[Any] = np.memmap(str(path), kind, "r", unit.start, shape)
    return cube


def _is_cube(unit: Unit) -> bool:
    is_image = unit.header.get("XTENSION", "IMAGE") == "IMAGE"
    return bool(is_image) and int(unit.header["NAXIS"]) == _AXES
