"""The run in one small dictionary: what ``metrics/summary.json`` holds and people quote."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from kidsclf.reduce.context import POOLED, UNCLASSIFIED
from kidsclf.reduce.corrected import quoted
from kidsclf.reduce.trust import Trust, trust_summary
from kidsclf.schema import CutCount

Row = dict[str, Any]


@dataclass(frozen=True)
class CutFlowStep:
    """One selection step of a stage, and the survey table it was applied to."""

    stage: str
    table: str
    cut: CutCount

    def as_row(self) -> Row:
        """Write it as a row of the cut flow."""
        return {
            "stage": self.stage,
            "table": self.table,
            "step": self.cut.step,
            "reason": self.cut.reason,
            "rows_in": self.cut.rows_in,
            "rows_cut": self.cut.rows_cut,
            "rows_out": self.cut.rows_out,
        }


CUT_FLOW_SCHEMA = pa.schema(
    [
        ("stage", pa.string()),
        ("table", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("rows_in", pa.int64()),
        ("rows_cut", pa.int64()),
        ("rows_out", pa.int64()),
    ]
)


@dataclass(frozen=True)
class NetworkResult:
    """The reduced tables of one network.

    Attributes
    ----------
    classification, rows, area : pyarrow.Table
        As `classification`, `row_counts` and `area` finish them.
    parameters : int or None
        All weights of the network, the means and variances that batch normalisation measures
        included (training adjusts fewer); None where it has none to count (trees).
    trust : Trust or None
        How far its probabilities may be believed.
    quasars : pyarrow.Table or None
        As `quasar_corrected` finishes it.
    """

    classification: pa.Table
    rows: pa.Table
    area: pa.Table
    parameters: int | None = None
    trust: Trust | None = None
    quasars: pa.Table | None = None


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run besides its tables.

    Attributes
    ----------
    run : mapping
        Title, seed, version, ...: goes into the summary as it is.
    rows_in, rows_out : int
        Sources read from the survey and written to the catalogue.
    training_sample, product_network : str
        The sample that judges, and the network whose classes the catalogue gives.
    cut_flow : sequence of CutFlowStep
    warnings : sequence of str
    """

    run: Mapping[str, Any]
    rows_in: int
    rows_out: int
    training_sample: str
    product_network: str
    cut_flow: Sequence[CutFlowStep] = field(default_factory=tuple)
    warnings: Sequence[str] = field(default_factory=tuple)


def cut_flow_table(steps: Sequence[CutFlowStep]) -> pa.Table:
    """Write the cut flow as a table."""
    return pa.Table.from_pylist([step.as_row() for step in steps], schema=CUT_FLOW_SCHEMA)


def build_summary(facts: RunFacts, networks: Mapping[str, NetworkResult]) -> dict[str, Any]:
    """Build the summary; what is undefined is None, so that JSON can hold it.

    With folds, every score is the mean over the folds and ``_std`` their sample standard
    deviation; without, the score of the one test sample, and ``_std`` is None. ``support`` is
    the number of test sources of all folds. Under ``external`` stands the recall of each class
    in the other samples; a class without members is left out.
    """
    product = networks.get(facts.product_network)
    summary = {
        "run": dict(facts.run),
        "rows_in": facts.rows_in,
        "rows_out": facts.rows_out,
        "cut_flow": [step.as_row() for step in facts.cut_flow],
        "networks": {
            name: _network_summary(result, facts.training_sample)
            for name, result in networks.items()
        },
        "catalogue": _catalogue_summary(product, facts.product_network) if product else {},
        "warnings": list(facts.warnings),
    }
    cleaned: dict[str, Any] = _without_nan(summary)
    return cleaned


def _network_summary(result: NetworkResult, sample: str) -> Row:
    rows = [row for row in result.classification.to_pylist() if math.isnan(row["r_low"])]
    own = [row for row in rows if row["sample"] == sample]
    names = list(dict.fromkeys(row["class"] for row in own))
    first = [row for row in own if names and row["class"] == names[0]]
    summary: Row = {"sample": sample, "parameters": result.parameters}
    for score in ("accuracy", "balanced_accuracy"):
        summary[score], summary[f"{score}_std"] = _over_folds(first, score)
    summary["classes"] = {name: _class_summary(own, name) for name in names}
    summary["external"] = _external(rows, sample)
    if result.quasars is not None:
        summary["corrected_quasars"] = quoted(result.quasars)
    if result.trust is not None:
        summary["trust"] = trust_summary(result.trust, sample)
    return summary


def _over_folds(rows: Sequence[Row], score: str) -> tuple[float | None, float | None]:
    """Give the mean and the sample standard deviation over folds, or the pooled value."""
    folds = [row[score] for row in rows if row["fold"] != POOLED and not math.isnan(row[score])]
    if folds:
        return statistics.fmean(folds), statistics.stdev(folds) if len(folds) > 1 else None
    return next((row[score] for row in rows if row["fold"] == POOLED), None), None


def _class_summary(rows: Sequence[Row], name: str) -> Row:
    own = [row for row in rows if row["class"] == name]
    summary: Row = {}
    for score in ("precision", "recall", "f1"):
        summary[score], spread = _over_folds(own, score)
        if score == "f1":
            summary["f1_std"] = spread
    summary["support"] = next(row["support"] for row in own if row["fold"] == POOLED)
    return summary


def _external(rows: Sequence[Row], training_sample: str) -> dict[str, dict[str, float]]:
    external: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["sample"] != training_sample and row["fold"] == POOLED and row["support"]:
            external.setdefault(row["sample"], {})[row["class"]] = row["recall"]
    return external


def _catalogue_summary(result: NetworkResult, network: str) -> Row:
    rows = result.rows.to_pylist()
    classes = {row["name"]: row["count"] for row in rows if row["kind"] == "class"}
    if not classes.get(UNCLASSIFIED):
        classes.pop(UNCLASSIFIED, None)
    return {
        "rows": sum(row["count"] for row in rows if row["kind"] == "total"),
        "network": network,
        "classes": classes,
        "area_sq_deg": next(iter(result.area["area_sq_deg"].to_pylist()), None),
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
