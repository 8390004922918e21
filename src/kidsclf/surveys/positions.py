"""Where sources stand: the survey's coordinates, or places made up for tables that give none."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.errors import InputError
from kidsclf.surveys.table_format import column_numbers

Degrees = tuple[NDArray[np.float64], NDArray[np.float64]]


def stated_positions(raw: pa.Table, ra_column: str, dec_column: str, where: str) -> Degrees:
    """Read ra in [0, 360) and dec, degrees (n,); both NaN where they are no position on the sphere.

    Right ascensions are wrapped that are one turn off at most (surveys count from -180, or on
    through 360); anything farther off (-999, 9999) is a sentinel, as is what lies beyond a pole.

    Raises
    ------
    InputError
        If a column holds texts, such as hours and minutes.
    """
    ra, dec = (_numbers(raw, name, where) for name in (ra_column, dec_column))
    on_sphere = (ra >= -360.0) & (ra < 720.0) & (np.abs(dec) <= 90.0)
    if not on_sphere.all():
        ra, dec = np.where(on_sphere, ra, np.nan), np.where(on_sphere, dec, np.nan)
    outside = (ra < 0.0) | (ra >= 360.0)
    if outside.any():
        wrapped = np.mod(ra[outside], 360.0)
        ra[outside] = np.where(wrapped == 360.0, 0.0, wrapped)  # what mod gives for -1e-15
    return ra, dec


def _numbers(raw: pa.Table, column: str, where: str) -> NDArray[np.float64]:
    kind = raw[column].type
    if pa.types.is_string(kind) and raw.num_rows:
        raise InputError(
            f"column {column} of {where} was asked for in degrees but holds texts such as "
            f"{raw[column][0].as_py()!r}; convert it to decimal degrees"
        )
    numbers: NDArray[Any] = column_numbers(raw, column, where)
    return numbers.astype(np.float64, copy=False)


def invented_positions(names: pa.Array) -> Degrees:
    """Spread sources evenly over the sphere by a hash of their names, degrees (n,).

    They mean nothing but let a table without coordinates be split and worked on as a sky is: a
    source of the same name always gets the same place.
    """
    digests = (
        hashlib.blake2b(name.encode(), digest_size=16).digest() for name in names.to_pylist()
    )
    numbers = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    # 53 bits each, so that no fraction is rounded up to 1.
    fractions = (numbers >> np.uint64(11)).astype(np.float64) / 2.0**53
    ra = 360.0 * fractions[:, 0]
    dec: NDArray[np.float64] = np.degrees(np.arcsin(2.0 * fractions[:, 1] - 1.0))
    return ra, dec
