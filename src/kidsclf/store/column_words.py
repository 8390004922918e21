"""What the columns of the catalogue mean: unit, UCD and one sentence each, in one table.

UCDs are those of the IVOA's controlled vocabulary UCD1+ 1.5 (2023); bands of light are named by
wavelength there, so that a survey's g is its ``em.opt.B``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kidsclf.schema import (
    DEC,
    NAME,
    RA,
    SPATIAL_INDEX,
    calibrated_column,
    probability_column,
)


@dataclass(frozen=True)
class ColumnWords:
    """What is said of a column; ``fits_name`` is its name in FITS and VOTable."""

    fits_name: str
    unit: str
    ucd: str
    meaning: str


_FIXED = {
    SPATIAL_INDEX: ("", "pos.healpix", "NESTED HEALPix pixel at order 29, ICRS"),
    NAME: ("", "meta.id;meta.main", "identifier of the survey"),
    RA: ("deg", "pos.eq.ra;meta.main", "right ascension, ICRS"),
    DEC: ("deg", "pos.eq.dec;meta.main", "declination, ICRS"),
    "class": ("", "src.class", "most probable class; empty: unclassified"),
    "p_max": ("", "stat.probability", "largest probability of any class"),
    "entropy": ("", "stat.value", "Shannon entropy of the probabilities, nats"),
    "prediction_set": ("", "src.class", "classes that may be true, at the stated coverage"),
    "training_distance": (
        *("", "stat.value"),
        "distance of the photometry from the training sample, scatter within a class as unit",
    ),
    "novelty": (
        *("", "stat.value"),
        "share of validation sources that lie closer to the training sample; near 1: like none",
    ),
    "flags": ("", "meta.code", "bits of ScoreFlag; 0 is plain"),
}
_FITS_NAMES = {NAME: "Name", RA: "RA", DEC: "DEC"}
"""After Feng et al., Table 3; the FITS standard takes names that differ in case as one."""

_LIGHT = {"u": "opt.U", "g": "opt.B", "r": "opt.R", "i": "opt.I", "z": "opt.I", "y": "IR.J"}
_LIGHT |= {"j": "IR.J", "h": "IR.H", "ks": "IR.K", "k": "IR.K"}


def words_of(name: str, *, classes: Iterable[str] = (), band: str = "") -> ColumnWords:
    """Say what a column of the catalogue means.

    Parameters
    ----------
    name : str
    classes : iterable of str
        Of the network; their probabilities are known by them.
    band : str
        The column of this name is the magnitude in that band.

    Returns
    -------
    ColumnWords
        Of a column that the table does not hold, no unit and no UCD.

    >>> words_of("p_qso", classes=("STAR", "QSO")).meaning
    'probability of QSO, as the network gives it'
    >>> words_of("r", band="r").ucd
    'phot.mag;em.opt.R'
    """
    known = _FIXED | _probabilities(classes) | _magnitude(band)
    unit, ucd, meaning = known.get(name, ("", "", f"column {name} of the survey's own table"))
    return ColumnWords(_FITS_NAMES.get(name, name), unit, ucd, meaning)


def known_names(classes: Iterable[str], band: str) -> frozenset[str]:
    """List the names of columns that have a meaning of their own."""
    return frozenset(_FIXED | _probabilities(classes) | _magnitude(band))


def _probabilities(classes: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    found = {}
    for each in classes:
        name = probability_column(each)
        found[name] = ("", "stat.probability", f"probability of {each}, as the network gives it")
        found[calibrated_column(each)] = (
            *("", "stat.probability"),
            f"probability of {each}, calibrated",
        )
    return found


def _magnitude(band: str) -> dict[str, tuple[str, str, str]]:
    if not band:
        return {}
    light = _LIGHT.get(band.lower())
    return {band: ("mag", f"phot.mag;em.{light}" if light else "phot.mag", f"{band} magnitude, AB")}
