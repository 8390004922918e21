"""The columns that can be asked for of every source's shape: name, unit and meaning, in one table.

Morphology stands in its own table (``features.morphology.table``), from which these entries follow;
an entry added there can be asked for by its name. Lengths are arcsec here and pixels there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from kidsclf.features.morphology.feature import Feature
from kidsclf.features.morphology.flags import MorphologyFlag
from kidsclf.features.morphology.judgement import FLAGS
from kidsclf.features.morphology.measure import POSITIONS
from kidsclf.features.morphology.table import FEATURES

SERSIC_FLAGS = "sersic_flags"
"""Name of the column of ``SersicFlag``, beside the columns of fits."""


@dataclass(frozen=True)
class Column:
    """What is written of a source.

    Attributes
    ----------
    name : str
    unit : str
        ``arcsec``, ``px`` (from the first pixel of the stamp), ``px2``, ``maggy``, ``rad``, ``deg``
        or empty.
    meaning : str
        One line, with its paper.
    is_length : bool
        Whether the kernels give it in pixels, and the sky in arcsec.
    """

    name: str
    unit: str
    meaning: str
    is_length: bool = False


@dataclass(frozen=True)
class SersicColumn(Column):
    """A column of Sersic fits: a parameter, or its standard deviation.

    Attributes
    ----------
    parameter : str
        Its name in ``SersicFits.values``.
    is_error : bool
    """

    parameter: str = ""
    is_error: bool = False


def _morphology(feature: Feature) -> Column:
    if feature.unit == "px" and feature.name not in POSITIONS:
        return Column(feature.name, "arcsec", feature.definition, is_length=True)
    unit = "maggy" if feature.unit == "image" else feature.unit
    return Column(feature.name, unit, feature.definition)


_FITTED = (
    ("flux", "flux", "maggy", "flux of the Sersic profile to infinity"),
    ("half_light_radius", "half_light_radius_px", "arcsec", "its half-light semi-major axis"),
    ("index", "sersic_index", "", "its index n (Sersic 1968)"),
    ("axis_ratio", "axis_ratio", "", "its minor / major axis"),
    ("position_angle", "position_angle_deg", "deg", "its major axis, from x towards y of the tile"),
)


def _sersic() -> tuple[SersicColumn, ...]:
    found = []
    for short, parameter, unit, meaning in _FITTED:
        name, is_length = f"sersic_{short}", unit == "arcsec"
        error = f"standard deviation of {name}"
        found += [
            SersicColumn(name, unit, meaning, is_length, parameter),
            SersicColumn(f"{name}_error", unit, error, is_length, parameter, is_error=True),
        ]
    return tuple(found)


SERSIC_COLUMNS = {column.name: column for column in _sersic()}
MORPHOLOGY_COLUMNS = {feature.name: _morphology(feature) for feature in FEATURES}

COLUMNS: dict[str, Column] = MORPHOLOGY_COLUMNS | SERSIC_COLUMNS
"""All that can be asked for."""

NEEDS_PSF = frozenset({"spread_model", *SERSIC_COLUMNS})
"""Columns that compare with the PSF."""


def morphology_asked(names: Sequence[str]) -> tuple[Feature, ...]:
    """Pick the entries of the morphology's table, in their own order."""
    return tuple(feature for feature in FEATURES if feature.name in names)


def sersic_asked(names: Sequence[str]) -> tuple[SersicColumn, ...]:
    """Pick the columns of fits, in their own order."""
    return tuple(column for column in SERSIC_COLUMNS.values() if column.name in names)


def columns_written(names: Sequence[str]) -> tuple[Column, ...]:
    """List the columns that are written where some were asked for, flags included.

    >>> [column.name for column in columns_written(["m20", "gini"])]
    ['gini', 'm20', 'morphology_flags']
    """
    bits = f"bits of {MorphologyFlag.__name__}; 0 is plain"
    written: list[Column] = [MORPHOLOGY_COLUMNS[each.name] for each in morphology_asked(names)]
    written.append(Column(FLAGS, "", bits))
    fitted = sersic_asked(names)
    if fitted:
        written += [*fitted, Column(SERSIC_FLAGS, "", "bits of SersicFlag; 0 is plain")]
    return tuple(written)
