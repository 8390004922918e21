"""Write binary tables whose bytes depend on their content alone."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Columns = dict[str, tuple[NDArray[Any], str]]
"""Column name to values and unit ("" for none), in the order of the table."""


def write_table(path: Path, columns: Columns, extension: str) -> int:
    """Write columns to the first extension of a FITS file, whole or not at all; return the rows."""
    names = list(columns)
    types = [(name, _stored(values)) for name, (values, _) in columns.items()]
    rows = len(columns[names[0]][0])
    table = np.empty(rows, dtype=types)
    for name, (values, _) in columns.items():
        table[name] = values
    hdu = fits.BinTableHDU(table, name=extension)
    for number, (_, unit) in enumerate(columns.values(), start=1):
        if unit:
            hdu.header.set(f"TUNIT{number}", unit, after=f"TFORM{number}")
    publish(fits.HDUList([fits.PrimaryHDU(), hdu]), path)
    return rows


def publish(hdus: Any, path: Path) -> None:
    """Write a FITS file beside its place and rename it there."""
    partial = path.with_name(path.name + ".partial")
    hdus.writeto(partial, overwrite=True)
    partial.replace(path)


def _stored(values: NDArray[Any]) -> np.dtype[Any]:
    if values.dtype.kind == "U":
        return np.dtype(f"S{max(values.dtype.itemsize // 4, 1)}")
    return values.dtype.newbyteorder(">")
