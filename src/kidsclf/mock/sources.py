"""What is truly on the mock sky: one record of columns for stars, quasars and galaxies alike."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kidsclf.mock.settings import R

FloatArray = NDArray[np.float64]

STAR, QSO, GALAXY = range(3)
CLASS_NAMES: Final = ("STAR", "QSO", "GALAXY")
KINDS: Final = (
    "FGK dwarf", "metal-poor dwarf", "giant", "KM dwarf", "A or BHB", "white dwarf",
    "white dwarf + M", "brown dwarf", "quasar", "AGN in host", "host-dominated AGN",
    "red galaxy", "spiral galaxy", "starburst galaxy",
)  # fmt: skip


def kind_index(name: str) -> int:
    """Return the code of a kind, its place in ``KINDS``."""
    return KINDS.index(name)


@dataclass(frozen=True)
class Sources:
    """Columns of equal length n; magnitudes are AB, free of Galactic dust and of noise.

    Attributes
    ----------
    sky_class, kind
        Codes into ``CLASS_NAMES`` and ``KINDS``.
    redshift
        0 for stars.
    gaap_mags
        Shape (n, 9): in the aperture of the nine-band photometry.
    total_mag_r, nucleus_mag_r, absolute_mag_r
        Whole source; active nucleus alone (NaN without one); absolute, of the star or galaxy
        (NaN for quasars, whose host it would be).
    half_light_radius_arcsec, sersic_index, axis_ratio, position_angle_deg
        Of the extended light, before seeing; radius 0 for a pure point source. The angle is
        east of north.
    point_fraction, bulge_fraction
        Share of the r light in a point; share of the extended light in a de Vaucouleurs bulge.
    labelled
        True for the sources added to the natural sky, which all have spectra.
    """

    ra: FloatArray
    dec: FloatArray
    sky_class: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    redshift: FloatArray
    gaap_mags: FloatArray
    total_mag_r: FloatArray
    nucleus_mag_r: FloatArray
    absolute_mag_r: FloatArray
    half_light_radius_arcsec: FloatArray
    sersic_index: FloatArray
    axis_ratio: FloatArray
    position_angle_deg: FloatArray
    point_fraction: FloatArray
    bulge_fraction: FloatArray
    labelled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Sources":
        """Return the chosen rows, by index or by truth."""
        return Sources(*(getattr(self, field.name)[rows] for field in fields(self)))


def concatenate(blocks: Sequence[Sources]) -> Sources:
    """Join blocks of sources in the order given."""
    columns = (np.concatenate([getattr(b, f.name) for b in blocks]) for f in fields(Sources))
    return Sources(*columns)


def point_sources(
    sky_class: int, kind: NDArray[np.uint8], redshift: FloatArray, mags: FloatArray
) -> Sources:
    """Return unplaced point sources of nine magnitudes each, for ``dataclasses.replace``."""
    n = len(kind)
    return Sources(
        ra=np.zeros(n),
        dec=np.zeros(n),
        sky_class=np.full(n, sky_class, dtype=np.uint8),
        kind=kind,
        redshift=redshift,
        gaap_mags=mags,
        total_mag_r=mags[:, R].copy(),
        nucleus_mag_r=np.full(n, np.nan),
        absolute_mag_r=np.full(n, np.nan),
        half_light_radius_arcsec=np.zeros(n),
        sersic_index=np.ones(n),
        axis_ratio=np.ones(n),
        position_angle_deg=np.zeros(n),
        point_fraction=np.ones(n),
        bulge_fraction=np.zeros(n),
        labelled=np.zeros(n, dtype=np.bool_),
    )
