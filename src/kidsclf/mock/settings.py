"""What the synthetic survey is to look like; parsed once and handed to every tile's task."""

import math
from dataclasses import dataclass, fields
from typing import Final

from kidsclf.errors import InputError

BANDS: Final = ("u", "g", "r", "i", "Z", "Y", "J", "H", "Ks")
R: Final = BANDS.index("r")
FAINTEST_R: Final = 24.0
"""The sky is drawn down to this total r magnitude, so that a cut at r = 23 bites."""
CATALOGUE_ONLY_ROWS_PER_TILE: Final = 50_000
# Sources per square degree that reach the catalogue at r < 24: for choosing a footprint only.
ROWS_PER_DEG2: Final = 47_500.0


@dataclass(frozen=True)
class BandDepths:
    """5 sigma point-source limits in AB mag (2 arcsec aperture), medians of KiDS DR5 and VIKING.

    Wright et al. 2024 (A&A 686, A170) as quoted by Feng et al. 2025, Table 1.
    """

    u: float = 24.23
    g: float = 25.12
    r: float = 25.02
    i: float = 23.68
    Z: float = 23.1
    Y: float = 22.3
    J: float = 22.1
    H: float = 21.5
    Ks: float = 21.2

    def as_tuple(self) -> tuple[float, ...]:
        """Return the nine limits in the order of ``BANDS``."""
        return tuple(float(getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True)
class MockSettings:
    """The survey to make.

    Parameters
    ----------
    area_deg2
        Sky area, 0.1 to 100 square degrees (0.01 to 0.1 for tests). Unused when
        ``catalogue_rows`` is given, which chooses its own.
    seed
        The same seed gives the same bytes in every file.
    ra_deg, dec_deg
        Centre of the footprint, ICRS degrees.
    labelled
        Sources added to the natural sky in the class mix of the SDSS sample, all with spectra.
    tile_deg
        Largest side of a tile's own cell; a tile's image is wider by the overlap.
    overlap_arcmin
        Width of the strip that neighbouring tile images share.
    pixel_scale_arcsec, seeing_fwhm_arcsec
        Of the r images. Each tile draws its own seeing round the median given here.
    depths
        5 sigma limits of the nine bands.
    catalogue_rows
        Write about so many catalogue rows and no images, for tests of scale.
    compress
        Write the images as RICE tile-compressed ``.fits.fz``.
    workers
        Processes. Changes no byte of the result.
    """

    area_deg2: float = 0.4
    seed: int = 1
    ra_deg: float = 359.95
    dec_deg: float = 0.0
    labelled: int = 0
    tile_deg: float = 0.25
    overlap_arcmin: float = 1.0
    pixel_scale_arcsec: float = 0.2
    seeing_fwhm_arcsec: float = 0.69
    depths: BandDepths = BandDepths()
    catalogue_rows: int | None = None
    compress: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be made, saying what can."""
        if self.catalogue_rows is None:
            _within("area_deg2", self.area_deg2, 0.01, 100.0)
        else:
            _within("catalogue_rows", self.catalogue_rows, 1000, 100_000_000)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("ra_deg", self.ra_deg, 0.0, 360.0)
        _within("dec_deg", self.dec_deg, -60.0, 60.0)
        _within("labelled", self.labelled, 0, 2_000_000)
        _within("tile_deg", self.tile_deg, 0.05, 1.0)
        _within("overlap_arcmin", self.overlap_arcmin, 0.2, 6.0)
        _within("pixel_scale_arcsec", self.pixel_scale_arcsec, 0.1, 1.0)
        _within("seeing_fwhm_arcsec", self.seeing_fwhm_arcsec, 0.3, 2.0)
        _within("workers", self.workers, 1, 256)
        for band, depth in zip(BANDS, self.depths.as_tuple(), strict=True):
            _within(f"depth of {band}", depth, 18.0, 30.0)

    @property
    def footprint_deg2(self) -> float:
        """Sky area of the survey, given or derived from the rows asked for."""
        if self.catalogue_rows is None:
            return self.area_deg2
        return max(self.catalogue_rows - self.labelled, 500) / ROWS_PER_DEG2

    @property
    def largest_tile_deg(self) -> float:
        """Largest side of a cell; larger without images, to keep the files few."""
        if self.catalogue_rows is None:
            return self.tile_deg
        return math.sqrt(CATALOGUE_ONLY_ROWS_PER_TILE / ROWS_PER_DEG2)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(
            f"A mock survey was asked for with {name} = {value:g}, "
            f"which is not within {low:g} to {high:g}; choose a value in that range."
        )
