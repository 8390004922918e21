"""What a survey calls its columns, and what they mean.

A survey is data, not code: a TOML file says which columns hold the identifier, the position, the
magnitudes and the labels, in which units, and which values stand for "missing". Readers turn any
table into the canonical columns of ``kidsclf.schema`` with it.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kidsclf.config import CutRule, CutValue, Names, Section
from kidsclf.surveys.magnitudes import BandPhotometry, Magnitudes


class Identifier(Section):
    """``[identifier]``: what a source is called.

    The texts of ``columns`` are joined by ``separator`` after ``prefix``. Where a survey's numbers
    cannot be trusted, ``from_coordinates`` makes an IAU name from the position instead; where there
    is neither, ``from_rows`` makes one of the file's name and the row's number, counted from 0.
    """

    columns: tuple[str, ...] = ()
    from_coordinates: bool = False
    from_rows: bool = False
    prefix: str = ""
    separator: str = "-"

    @model_validator(mode="after")
    def _one_way(self) -> "Identifier":
        if bool(self.columns) + self.from_coordinates + self.from_rows != 1:
            raise ValueError(
                "give either columns or from_coordinates = true or from_rows = true, and one alone"
            )
        return self


class Position(Section):
    """``[position]``: columns of right ascension and declination, degrees (ICRS).

    For a table without them, ``invented`` gives each source a place by a hash of its name, so that
    it can be trained on and classified; nothing that depends on places has a meaning then.
    """

    ra: Names = ()
    dec: Names = ()
    invented: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> "Position":
        if (bool(self.ra), bool(self.dec)) != (not self.invented, not self.invented):
            raise ValueError("give either ra and dec or invented = true")
        return self


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
            columns = [each.column for each in self.photometry().values()]
            if len(set(columns)) != len(columns):
                raise ValueError(
                    "two bands share a column; write {band} in [magnitudes] column, or give "
                    "[magnitudes.bands.NAME]"
                )
        return self

    @model_validator(mode="after")
    def _names_need_places(self) -> "ColumnMap":
        if self.identifier.from_coordinates and self.position.invented:
            raise ValueError(
                "identifier.from_coordinates needs coordinates, and position.invented says that "
                "there are none; give identifier.columns or from_rows"
            )
        return self

    def photometry(self) -> dict[str, BandPhotometry]:
        """Say all that is known of each band, in order; nothing for tables without bands."""
        return {band: self.magnitudes.of(band) for band in self.bands} if self.magnitudes else {}

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
