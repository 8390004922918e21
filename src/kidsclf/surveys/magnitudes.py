"""``[magnitudes]`` of a column map: where the photometry of each band stands, and its units."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from kidsclf.config import Section

Unit = Literal[
    "mag", "maggy", "nanomaggy", "jansky", "millijansky", "microjansky", "nanojansky", "flux"
]
ErrorKind = Literal["sigma", "inverse_variance", "signal_to_noise"]
Number = int | float

_AB_OF_UNIT_FLUX = {
    "maggy": 0.0,
    "nanomaggy": 22.5,
    "jansky": 8.90,
    "millijansky": 16.40,
    "microjansky": 23.90,
    "nanojansky": 31.40,
}
"""AB magnitude of a flux of 1: m = -2.5 lg(f / (erg/s/cm2/Hz)) - 48.60 (Oke & Gunn 1983)."""


@dataclass(frozen=True)
class BandPhotometry:
    """All that a column map says of one band.

    Attributes
    ----------
    column, error, extinction : str
        The survey's columns; the last two may be None.
    zero_point : float or None
        AB magnitude of unit flux; None for magnitudes.
    ab_offset : float
        To be added to magnitudes.
    """

    column: str
    error: str | None
    extinction: str | None
    unit: Unit
    zero_point: float | None
    error_kind: ErrorKind
    sentinels: tuple[Number, ...]
    missing_beyond: float
    ab_offset: float

    @property
    def columns(self) -> tuple[str, ...]:
        """List the survey's columns of the band."""
        return tuple(name for name in (self.column, self.error, self.extinction) if name)


class BandColumns(Section):
    """``[magnitudes.bands.X]``: a band that differs.

    If it names a ``column``, the patterns of error and extinction do not hold for it either. The
    other settings are those of ``[magnitudes]`` unless stated here.
    """

    column: str | None = None
    error: str | None = None
    extinction: str | None = None
    unit: Unit | None = None
    zero_point: float | None = None
    error_kind: ErrorKind | None = None
    sentinels: tuple[Number, ...] | None = None
    missing_beyond: float | None = None


class Magnitudes(Section):
    """``[magnitudes]``: column patterns with ``{band}``, and how to make AB magnitudes of them."""

    column: str
    error: str | None = None
    extinction: str | None = None
    """Pattern of columns of Galactic extinction (mag) still to be subtracted."""
    unit: Unit = "mag"
    """``mag`` up to ``ab_offsets``; all others are fluxes, and ``flux`` has a ``zero_point``."""
    zero_point: float | None = None
    """AB magnitude of unit ``flux``."""
    error_kind: ErrorKind = "sigma"
    """``sigma`` and ``inverse_variance`` in the unit of the values, ``signal_to_noise`` in none."""
    sentinels: tuple[Number, ...] = ()
    """Values that mean "missing", besides NaN."""
    missing_beyond: Annotated[float, Field(gt=0)] = 98.0
    """Magnitudes this far from 0 are sentinels too, whatever their digits (99, -99.9, -9999)."""
    ab_offsets: dict[str, float] = Field(default_factory=dict)
    """AB minus catalogue magnitude, per band."""
    bands: dict[str, BandColumns] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _zero_points_of_fluxes(self) -> "Magnitudes":
        stated = [(self.unit, self.zero_point, self.zero_point)]
        for own in self.bands.values():
            inherited = self.zero_point if own.zero_point is None else own.zero_point
            stated.append((own.unit or self.unit, own.zero_point, inherited))
        for unit, zero_point, inherited in stated:
            if unit == "flux" and inherited is None:
                raise ValueError("unit = 'flux' needs zero_point, the AB magnitude of unit flux")
            if unit != "flux" and zero_point is not None:
                raise ValueError(f"zero_point goes with unit = 'flux', and unit is {unit!r}")
        return self

    def of(self, band: str) -> BandPhotometry:
        """Put together what is said of a band, here and in its own section."""
        own = self.bands.get(band, BandColumns())
        unit = own.unit or self.unit
        patterns = (self.column, self.error, self.extinction)
        filled = [pattern and pattern.replace("{band}", band) for pattern in patterns]
        column, error, extinction = (own.column, None, None) if own.column else filled
        beyond = self.missing_beyond if own.missing_beyond is None else own.missing_beyond
        zero_point = self.zero_point if own.zero_point is None else own.zero_point
        return BandPhotometry(
            column=str(column),
            error=own.error or error,
            extinction=own.extinction or extinction,
            unit=unit,
            zero_point=zero_point if unit == "flux" else _AB_OF_UNIT_FLUX.get(unit),
            error_kind=own.error_kind or self.error_kind,
            sentinels=self.sentinels if own.sentinels is None else own.sentinels,
            missing_beyond=beyond,
            ab_offset=self.ab_offsets.get(band, 0.0),
        )
