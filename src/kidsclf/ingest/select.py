"""Which sources are taken: named cuts, applied in order, each counted.

Nothing is dropped without standing in the cut flow, so a cut is a record with a reason, and a row
fails only one of them: the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.errors import InputError
from kidsclf.schema import DEC, LABEL, RA, CutCount, magnitude_column

GAIA_MOTION_COLUMNS = ("parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error")
"""Names of Gaia's columns in mas and mas/yr."""

_COMPARISONS = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}

Value = bool | int | float | str | tuple[int | float | str, ...]


@dataclass(frozen=True)
class Cut:
    """A selection: ``keep(table)`` gives a bool array (rows,), True for those that stay."""

    step: str
    reason: str
    keep: Callable[[pa.Table], NDArray[np.bool_]]


def select(table: pa.Table, cuts: Sequence[Cut]) -> tuple[pa.Table, tuple[CutCount, ...]]:
    """Apply cuts in order.

    Parameters
    ----------
    table : pyarrow.Table
        Canonical columns and those that the cuts name.
    cuts : sequence of Cut

    Returns
    -------
    pyarrow.Table
        The rows that pass all, in their order.
    tuple of CutCount
        One a cut; rows of the table = rows that passed + the sum of ``rows_cut``.
    """
    counts = []
    for cut in cuts:
        keep = cut.keep(table)
        counts.append(CutCount(cut.step, cut.reason, len(keep), int((~keep).sum())))
        if not keep.all():
            table = table.filter(pa.array(keep))
    return table, tuple(counts)


def finite_coordinates() -> Cut:
    """Keep sources that have a position on the sphere."""

    def keep(table: pa.Table) -> NDArray[np.bool_]:
        return _finite(table, RA) & (np.abs(_floats(table, DEC)) <= 90.0)

    return Cut("coordinates", "ra or dec is missing or off the sphere", keep)


def all_bands_measured(bands: Sequence[str]) -> Cut:
    """Keep sources with a magnitude in every one of ``bands`` (Feng et al., section 2.1)."""

    def keep(table: pa.Table) -> NDArray[np.bool_]:
        measured = np.ones(table.num_rows, dtype=np.bool_)
        for band in bands:
            measured &= _finite(table, magnitude_column(band))
        return measured

    return Cut("bands", f"not measured in all of {', '.join(bands)}", keep)


def magnitude_limit(band: str, limit: float) -> Cut:
    """Keep sources at most as faint as ``limit`` (AB mag) in a band; a missing one fails."""

    def keep(table: pa.Table) -> NDArray[np.bool_]:
        # The limit is taken to the column's float32, or 23.1 would cut 23.1.
        magnitudes = _floats(table, magnitude_column(band)).astype(np.float32)
        return np.asarray(magnitudes <= np.float32(limit))

    return Cut("magnitude", f"fainter than {band} = {limit:g} mag, or {band} is missing", keep)


def has_label(classes: Sequence[str]) -> Cut:
    """Keep sources whose label is one of ``classes``."""
    cut = column_cut("label", LABEL, "in", tuple(classes))
    return Cut("label", f"the label is none of {', '.join(classes)}", cut.keep)


def column_cut(name: str, column: str, op: str, value: Value) -> Cut:
    """Keep rows where ``column op value`` holds; null and NaN fail, whatever the operator.

    Parameters
    ----------
    name : str
        What the selection is called in the cut flow.
    op : str
        One of ``== != < <= > >= in``, or ``bits_clear``: none of the bits of ``value`` is set,
        for columns of flags. Texts are compared without the blanks around them.
    """

    def keep(table: pa.Table) -> NDArray[np.bool_]:
        _require(table, column)
        values = table[column].combine_chunks()
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            values = pc.utf8_trim_whitespace(values)
        try:
            held = _compare(values, op, value)
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(
                f"the selection {name!r} compares column {column} with {value!r} but it holds "
                f"{values.type}; correct the value of the selection"
            ) from error
        if pa.types.is_floating(values.type):
            held = pc.and_kleene(held, pc.invert(pc.is_nan(values)))
        return np.asarray(held.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)

    return Cut(name, f"not {column} {op} {value}", keep)


def _compare(values: pa.Array, op: str, value: Value) -> pa.Array:
    if isinstance(value, tuple):
        return pc.is_in(values, value_set=pa.array(list(value)).cast(values.type))
    if op == "bits_clear":
        bits = pa.scalar(value, pa.int64())
        return pc.equal(pc.bit_wise_and(values.cast(pa.int64()), bits), 0)
    return _COMPARISONS[op](values, pa.scalar(value))


def gaia_motion(columns: Sequence[str] = GAIA_MOTION_COLUMNS) -> Cut:
    """Keep sources of significant parallax or proper motion: stars.

    Parameters
    ----------
    columns : sequence of str
        Parallax, pmra, pmdec (mas, mas/yr), each followed by its error.

    Notes
    -----
    Feng et al., equations 1 and 2 (after Yang & Shen 2023): |p| / s_p >= 5, or
    (a^2 + d^2) / sqrt(a^2 s_a^2 + d^2 s_d^2) >= 5. A criterion whose numbers are missing (Gaia's
    two-parameter solutions), whose error is not positive, or whose motion is 0 is not met.
    """

    def keep(table: pa.Table) -> NDArray[np.bool_]:
        parallax, parallax_error, pmra, pmra_error, pmdec, pmdec_error = (
            _floats(table, column) for column in columns
        )
        motion = pmra**2 + pmdec**2
        spread = np.hypot(pmra * pmra_error, pmdec * pmdec_error)
        by_parallax = (parallax_error > 0) & (np.abs(parallax) >= 5.0 * parallax_error)
        by_motion = (pmra_error > 0) & (pmdec_error > 0) & (motion > 0) & (motion >= 5.0 * spread)
        return np.asarray(by_parallax | by_motion)

    return Cut("motion", "neither parallax nor proper motion is 5 sigma", keep)


def survey_cut(name: str, columns: Sequence[str], op: str, value: Value | None) -> Cut:
    """Make the cut that a rule of a column map or of ``[[ingest.cuts]]`` asks for."""
    if op == "gaia_motion":
        cut = gaia_motion(columns)
        return Cut(name, cut.reason, cut.keep)
    assert value is not None  # noqa: S101 - the rule has made sure of it
    return column_cut(name, columns[0], op, value)


def _finite(table: pa.Table, column: str) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(_floats(table, column)))


def _floats(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Give a column as float64, null as NaN."""
    _require(table, column)
    floats = table[column].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(floats, dtype=np.float64)


def _require(table: pa.Table, column: str) -> None:
    if column not in table.column_names:
        raise InputError(
            f"a selection needs column {column} but the table has "
            f"{', '.join(table.column_names[:12])}; add it to the column map"
        )
