"""What a survey calls its columns, and what they mean.

A survey is data, not code: a TOML file says which columns hold the identifier, the position, the
magnitudes and the labels, in which units, and which values stand for "missing". Readers turn any
table into the canonical columns of ``kidsclf.schema`` with it.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from kidsclf.config import Section

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "gaia_motion"]
Number = int | float
CutValue = bool | int | float | str | tuple[int | float | str, ...]


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""Names under which a column is known; the first that the table holds is taken."""


class Identifier(Section):
    """``[identifier]``: what a source is called.

    The texts of ``columns`` are joined by ``separator`` after ``prefix``. Where a survey's numbers
    cannot be trusted, ``from_coordinates`` makes an IAU name from the position instead.
    """

    columns: tuple[str, ...] = ()
    from_coordinates: bool = False
    prefix: str = ""
    separator: str = "-"

    @model_validator(mode="after")
    def _one_way(self) -> "Identifier":
        if bool(self.columns) == self.from_coordinates:
            raise ValueError("give either columns or from_coordinates = true")
        return self


class Position(Section):
    """``[position]``: columns of right ascension and declination, degrees (ICRS)."""

    ra: Names
    dec: Names


class BandColumns(Section):
    """``[magnitudes.bands.X]``: a band whose columns do not follow the pattern."""

    column: str
    error: str | None = None


class Magnitudes(Section):
    """``[magnitudes]``: column patterns with ``{band}``, and how to make AB magnitudes of them."""

    column: str
    error: str | None = None
    unit: Literal["mag", "maggy", "nanomaggy"] = "mag"
    """``mag`` up to ``ab_offsets``; fluxes have AB zero point 0 or 22.5."""
    error_kind: Literal["sigma", "inverse_variance"] = "sigma"
    extinction: str | None = None
    """Pattern of columns of Galactic extinction (mag) still to be subtracted."""
    sentinels: tuple[Number, ...] = ()
    """Values that mean "missing", besides NaN."""
    missing_beyond: float = 98.0
    """Magnitudes this far from 0 are sentinels too, whatever their digits (99, -99.9, -9999)."""
    ab_offsets: dict[str, float] = Field(default_factory=dict)
    """AB minus catalogue magnitude, per band."""
    bands: dict[str, BandColumns] = Field(default_factory=dict)

    def value_column(self, band: str) -> str:
        """Name the survey's column of a band's magnitude or flux."""
        special = self.bands.get(band)
        return special.column if special else self.column.replace("{band}", band)

    def error_column(self, band: str) -> str | None:
        """Name the survey's column of its error, if there is one."""
        special = self.bands.get(band)
        if special:
            return special.error
        return self.error.replace("{band}", band) if self.error else None

    def extinction_column(self, band: str) -> str | None:
        """Name the survey's column of extinction that is still to be subtracted, if any."""
        return self.extinction.replace("{band}", band) if self.extinction else None

    def columns_of(self, band: str) -> tuple[str, ...]:
        """List all the survey's columns of a band."""
        names = (self.value_column(band), self.error_column(band), self.extinction_column(band))
        return tuple(name for name in names if name)


class HalfLightRadius(Section):
    """``[half_light_radius]``: its column, in arcsec or in pixels of a known scale."""

    column: str
    unit: Literal["arcsec", "pix"] = "arcsec"
    pixel_scale_arcsec: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _scale_of_pixels(self) -> "HalfLightRadius":
        if (self.unit == "pix") != (self.pixel_scale_arcsec is not None):
            raise ValueError("unit = 'pix' needs pixel_scale_arcsec, and 'arcsec' has none")
        return self


class Label(Section):
    """``[label]``: the class of a source, from a column or the same for all.

    ``values`` maps the survey's (trimmed) texts or integers to classes; others give no label.
    Without it the trimmed text is the class.
    """

    column: Names = ()
    values: dict[str, str] = Field(default_factory=dict)
    constant: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Label":
        if bool(self.column) == (self.constant is not None):
            raise ValueError("give either column or constant")
        return self


class CutRule(Section):
    """``[[cuts]]``: a named quality selection that the survey asks for; what it says is kept.

    ``gaia_motion`` takes six columns: parallax, its error, and proper motions in right ascension
    and declination, each followed by its error. Every other operator takes one column and a value.
    """

    name: str
    columns: Names
    op: Operator
    value: CutValue | None = None

    @model_validator(mode="after")
    def _fits_operator(self) -> "CutRule":
        motion = self.op == "gaia_motion"
        if len(self.columns) != (6 if motion else 1) or motion != (self.value is None):
            raise ValueError("gaia_motion takes six columns, other operators a column and a value")
        if (self.op == "in") != isinstance(self.value, tuple):
            raise ValueError("op = 'in' takes a list, other operators a single value")
        return self


class ColumnMap(Section):
    """A survey's columns; see ``docs/surveys.md`` for the file format.

    Attributes
    ----------
    bands : tuple of str
        In order of wavelength, because colours are made of neighbours. Empty for tables that
        only hold labels.
    units : dict
        Units the file must state for columns, where it states any.
    """

    name: str
    source: str = ""
    """Paper or page that the columns come from."""
    identifier: Identifier
    position: Position
    bands: tuple[str, ...] = ()
    reference_band: str | None = None
    magnitudes: Magnitudes | None = None
    half_light_radius: HalfLightRadius | None = None
    label: Label | None = None
    redshift: Names = ()
    units: dict[str, str] = Field(default_factory=dict)
    cuts: tuple[CutRule, ...] = ()

    @model_validator(mode="after")
    def _bands_agree(self) -> "ColumnMap":
        if bool(self.bands) != (self.magnitudes is not None):
            raise ValueError("bands and [magnitudes] go together")
        if (self.reference_band in self.bands) != bool(self.bands):
            raise ValueError("reference_band must be one of bands")
        if len(set(self.bands)) != len(self.bands):
            raise ValueError("a band is named twice")
        if self.magnitudes is not None:
            columns = [self.magnitudes.value_column(band) for band in self.bands]
            if len(set(columns)) != len(columns):
                raise ValueError(
                    "two bands share a column; write {band} in [magnitudes] column, or give "
                    "[magnitudes.bands.NAME]"
                )
        return self

    def cut_columns(self) -> tuple[str, ...]:
        """List the survey's own columns that the cuts need, each once."""
        return tuple(dict.fromkeys(column for cut in self.cuts for column in cut.columns))

    def compared_numbers(self) -> tuple[str, ...]:
        """List the columns that cuts hold against numbers, each once."""
        pairs = ((cut.columns, cut.value) for cut in self.cuts)
        return tuple(
            dict.fromkeys(c for columns, value in pairs if _numeric(value) for c in columns)
        )


def _numeric(value: CutValue | None) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(each, int | float) for each in values)
