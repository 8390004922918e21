"""What sources are called: by the survey's own identifiers, by position, or by row."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.errors import InputError
from kidsclf.surveys.column_map import Identifier

_WIDTH = len("JHHMMSS.ss+DDMMSS.s")


def own_names(table: pa.Table, identifier: Identifier, where: str) -> pa.Array:
    """Join the identifier's columns.

    Raises
    ------
    InputError
        If one holds decimal numbers (digits were lost on the way) or blanks.
    """
    texts = [_texts(table, column, where) for column in identifier.columns]
    return _prefixed(
        identifier.prefix,
        texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, identifier.separator),
    )


def position_names(
    identifier: Identifier, ra: NDArray[np.float64], dec: NDArray[np.float64]
) -> pa.Array:
    """Make IAU names of positions, degrees (n,); null where one is not finite."""
    return _prefixed(identifier.prefix, iau_names(ra, dec))


def row_names(identifier: Identifier, title: str, first_row: int, rows: int) -> pa.Array:
    """Name rows by the title of their file and their number in it."""
    numbers = pa.array(np.arange(first_row, first_row + rows)).cast(pa.string())
    return _prefixed(f"{identifier.prefix}{title}{identifier.separator}", numbers)


def _prefixed(prefix: str, names: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(prefix, names, "") if prefix else names


def _texts(table: pa.Table, column: str, where: str) -> pa.Array:
    values = table[column].combine_chunks()
    if pa.types.is_floating(values.type):
        raise InputError(
            f"column {column} of {where} was asked for as an identifier but holds decimal "
            f"numbers, so digits may be lost; use from_coordinates = true in the column map"
        )
    texts = values.cast(pa.string())
    if not pa.types.is_integer(values.type):
        texts = pc.ascii_trim_whitespace(texts)
    if texts.null_count or pc.min(pc.binary_length(texts)).as_py() == 0:
        blank = pc.equal(texts.fill_null(""), "")
        raise InputError(
            f"column {column} of {where} was asked for as an identifier but row "
            f"{pc.index(blank, True).as_py()} of them is blank; choose another column"
        )
    return texts


def iau_names(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> pa.Array:
    """Write positions as IAU designations, truncated to 0.01 s and 0.1 arcsec, not rounded.

    Parameters
    ----------
    ra, dec : float64 arrays (n,)
        Degrees, ra in [0, 360); a name is null where either is not finite.

    Notes
    -----
    The form of SDSS names: https://www.sdss.org/dr17/help/coords (JHHMMSS.ss+DDMMSS.s).

    >>> iau_names(np.array([135.6891066]), np.array([-32.49463184])).to_pylist()
    ['J090245.38-322940.6']
    """
    good = np.isfinite(ra) & np.isfinite(dec)
    # One millionth of a unit lifts values that stand on a digit's edge but for binary rounding.
    centiseconds = np.floor(np.where(good, ra, 0.0) * 24000.0 + 1e-6).astype(np.int64)
    centiseconds %= 24 * 360_000  # what is lifted to 24 hours
    deciarcsec = np.floor(np.abs(np.where(good, dec, 0.0)) * 36000.0 + 1e-6).astype(np.int64)
    letters = np.empty((len(ra), _WIDTH), dtype=np.uint8)
    letters[:, 0] = ord("J")
    _write_sexagesimal(letters[:, 1:10], centiseconds, 2)
    letters[:, 10] = np.where(np.signbit(dec), ord("-"), ord("+"))
    _write_sexagesimal(letters[:, 11:], deciarcsec, 1)
    text = np.ascontiguousarray(letters).view(f"S{_WIDTH}")[:, 0]
    return pa.array(text, mask=~good).cast(pa.string())


def _write_sexagesimal(letters: NDArray[np.uint8], value: NDArray[np.int64], places: int) -> None:
    """Write ``value``, in units of the last of ``places`` decimals, as two-digit groups."""
    for k in range(places):
        letters[:, 6 + places - k] = ord("0") + value // 10**k % 10
    letters[:, 6] = ord(".")
    seconds = value // 10**places
    for k, group in enumerate((seconds // 3600, seconds // 60 % 60, seconds % 60)):
        letters[:, 2 * k] = ord("0") + group // 10
        letters[:, 2 * k + 1] = ord("0") + group % 10
