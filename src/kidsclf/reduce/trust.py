"""What a network's calibration comes to, in the few numbers that the summary gives."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from kidsclf.reduce.context import ALL

Row = dict[str, Any]

_ERRORS = (
    *("ece", "ece_calibrated", "ece_by_chance", "nll", "nll_calibrated"),
    *("brier", "brier_calibrated"),
)
_CUT = ("value", "threshold", "threshold_low", "threshold_high", "purity", "completeness", "count")


@dataclass(frozen=True)
class Trust:
    """How far one network's probabilities may be believed.

    Attributes
    ----------
    temperature : float
    coverage : float
        What was promised of the prediction sets.
    set_thresholds : mapping of class to float
        Calibrated probability from which on a class is in the set.
    calibration, prediction_sets, wanted : pyarrow.Table
        As the reductions of these names finish them.
    """

    temperature: float
    coverage: float
    set_thresholds: Mapping[str, float]
    calibration: pa.Table
    prediction_sets: pa.Table
    wanted: pa.Table


def trust_summary(trust: Trust, sample: str) -> Row:
    """Pick the numbers over all magnitudes that one sample tells."""
    errors = next(_rows(trust.calibration, sample, ALL), {})
    sets = next(_rows(trust.prediction_sets, sample, ALL), {})
    cuts: dict[str, dict[str, list[Row]]] = {}
    for row in trust.wanted.to_pylist():
        if row["sample"] == sample:
            of_class = cuts.setdefault(row["class"], {})
            of_class.setdefault(row["wanted"], []).append({name: row[name] for name in _CUT})
    return {
        "temperature": trust.temperature,
        **{name: errors.get(name) for name in _ERRORS},
        "prediction_sets": {
            "promised_coverage": trust.coverage,
            "coverage": sets.get("coverage"),
            "mean_size": sets.get("mean_size"),
            "thresholds": dict(trust.set_thresholds),
        },
        "wanted": cuts,
    }


def _rows(table: pa.Table, sample: str, name: str) -> Iterator[Row]:
    for row in table.to_pylist():
        if row["sample"] == sample and row["class"] == name and math.isnan(row["r_low"]):
            yield row
