"""Which sources are taken and what is cut round them: pure functions of tables and arrays."""

from kidsclf.ingest.crossmatch import mutual_nearest
from kidsclf.ingest.duplicates import DuplicateRule, doubled_rows
from kidsclf.ingest.select import (
    Cut,
    all_bands_measured,
    column_cut,
    finite_coordinates,
    gaia_motion,
    has_label,
    magnitude_limit,
    select,
    survey_cut,
)
from kidsclf.ingest.stamps import DeepestTile, cut_stamps

__all__ = [
    "Cut",
    "DeepestTile",
    "DuplicateRule",
    "all_bands_measured",
    "column_cut",
    "cut_stamps",
    "doubled_rows",
    "finite_coordinates",
    "gaia_motion",
    "has_label",
    "magnitude_limit",
    "mutual_nearest",
    "select",
    "survey_cut",
]
