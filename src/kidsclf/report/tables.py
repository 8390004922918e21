"""What the report is made of: the reduced tables of a run, checked once on the way in.

The report reads no file. Whoever calls it hands over these tables, and a section whose table
is missing says so on the page, so that a run of a few stages still gets a page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.errors import StoreError

POOLED_FOLD = -1
"""Fold number of the rows that pool all folds."""

Row = dict[str, Any]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "cut_flow": ("stage", "table", "step", "reason", "rows_in", "rows_cut", "rows_out"),
    "classification": (
        *("network", "sample", "fold", "r_low", "r_high", "class", "support", "true_positive"),
        *("false_positive", "false_negative", "precision", "recall", "f1"),
        *("accuracy", "balanced_accuracy"),
    ),
    "confusion": ("network", "sample", "true_class", "predicted_class", "count", "fraction"),
    "thresholds": (
        *("network", "sample", "threshold", "class", "precision", "recall", "f1"),
        *("frac_thre", "completeness", "count"),
    ),
    "reliability": (
        *("network", "sample", "kind", "class", "r_low", "r_high", "p_low", "p_high"),
        *("count", "p_mean", "fraction", "fraction_low", "fraction_high"),
    ),
    "calibration": (
        *("network", "sample", "class", "r_low", "r_high", "count"),
        *("ece", "ece_calibrated", "ece_by_chance", "nll", "nll_calibrated"),
        *("brier", "brier_calibrated"),
    ),
    "prediction_sets": (
        *("network", "sample", "class", "r_low", "r_high", "count"),
        *("coverage", "coverage_low", "coverage_high", "mean_size", "empty", "single", "multiple"),
    ),
    "wanted": (
        *("network", "sample", "class", "wanted", "value"),
        *("threshold", "threshold_low", "threshold_high", "purity", "purity_low", "purity_high"),
        *("completeness", "completeness_low", "completeness_high", "count"),
    ),
    "novelty_accuracy": (
        *("network", "sample", "r_low", "r_high", "novelty_low", "novelty_high"),
        *("count", "correct", "accuracy", "accuracy_low", "accuracy_high", "p_mean"),
    ),
    "novelty_counts": (
        *("network", "r_low", "r_high", "class", "novelty_low", "novelty_high", "count"),
    ),
    "class_counts": ("network", "r_low", "r_high", "class", "count"),
    "p_max": ("network", "class", "p_low", "p_high", "count"),
    "quasar_counts": (
        *("network", "r_low", "r_high", "count", "count_probability", "area_sq_deg"),
        *("per_sq_deg", "per_sq_deg_error", "cumulative_per_sq_deg"),
        *("cumulative_per_sq_deg_error", "probability_per_sq_deg", "probability_per_sq_deg_error"),
        "cumulative_probability_per_sq_deg",
    ),
    "quasar_fields": (
        *("network", "source", "r_low", "r_high", "count", "footprint_sq_deg", "field_sq_deg"),
        *("fields", "independent", "median", "low", "high", "poisson", "mean_error"),
        *("cumulative_median", "cumulative_low", "cumulative_high", "cumulative_poisson"),
        "cumulative_mean_error",
    ),
    "quasar_corrected": (
        *("network", "p_min", "r_low", "r_high", "labels", "count", "purity", "completeness"),
        *("estimate", "estimate_low", "estimate_high"),
        *("per_sq_deg", "per_sq_deg_low", "per_sq_deg_high"),
        *("cumulative_per_sq_deg", "cumulative_per_sq_deg_low", "cumulative_per_sq_deg_high"),
        "why",
    ),
    "quasar_published": (
        *("source", "kind", "r", "printed", "printed_per_sq_deg"),
        *("ours", "ours_per_sq_deg", "ours_from", "note"),
    ),
    "distributions": ("network", "quantity", "sample", "class", "low", "high", "count"),
    "quasar_models": ("model", "paper", "r_low", "r_high", "per_sq_deg", "cumulative_per_sq_deg"),
    "colour_colour": (
        *("network", "sample", "class", "extrapolated", "x_colour", "y_colour"),
        *("x_low", "x_high", "y_low", "y_high", "count"),
    ),
    "morphology": (
        *("network", "plane", "sample", "class"),
        *("x_low", "x_high", "y_low", "y_high", "count"),
    ),
    "history": (
        "network",
        "fold",
        "member",
        "epoch",
        "loss",
        "val_loss",
        "accuracy",
        "val_accuracy",
    ),
    "gallery": (
        *("network", "class", "kind", "name", "ra", "dec", "r", "p_max", "true_class"),
        *("size_px", "band", "image", "bands", "magnitudes"),
    ),
    "sky": ("order", "pixel", "ra", "dec", "count", "depth", "unclassified", "flagged"),
    "stages": ("stage", "tasks", "skipped", "rows", "seconds", "rows_per_second"),
    "throughput": (
        *("stage", "network", "tasks", "rows", "worker_seconds", "threads", "on_gpu"),
        *("rows_per_thread_second", "median_task_rows_per_second"),
    ),
    "workers": ("stage", "worker", "tasks", "rows", "seconds", "rows_per_second"),
}
"""Columns that each table must have; it may have more."""

_DIFFERENCES = ("network", "measure", "difference", "difference_std")
_TAUGHT = ("title", "network", "class", "seeds", "f1", "f1_std", "published_f1")
EXPERIMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "table1": {"table": _TAUGHT, "differences": _DIFFERENCES},
    "table2": {"table": _TAUGHT},
    "training_size": {"table": (*_TAUGHT, "train_rows")},
    "normalised_images": {
        "table": _TAUGHT,
        "differences": _DIFFERENCES,
    },
    "shapes": {"table": _TAUGHT, "differences": _DIFFERENCES},
    "thresholds": {"table": COLUMNS["thresholds"]},
    "external": {
        "table": ("network", "sample", "class", "of", "predicted_class", "count", "share"),
        "redshifts": (
            *("network", "sample", "class", "predicted_class", "z_low", "z_high", "count"),
        ),
        "agreement": ("network", "sample", "class", "threshold", "agreement"),
    },
}
"""Tables of each experiment and the columns that are drawn of them."""


@dataclass(frozen=True)
class ReportTables:
    """The reduced tables of one run; any of them may be missing or empty.

    Attributes
    ----------
    summary : mapping
        Content of ``metrics/summary.json``: ``run``, ``rows_in``, ``rows_out``, ``networks``,
        ``catalogue``, ``products`` and ``warnings``; every key may be missing.
    settings : mapping
        The resolved configuration, nested.
    versions : mapping of str to str
        Versions of the program and of the libraries it used.
    cut_flow, classification, ..., stages : pyarrow.Table or None
        Metrics with the columns of `COLUMNS`. Magnitudes are AB, angles in degrees (ICRS),
        areas in square degrees, times in seconds; an undefined metric is NaN. In
        ``classification`` a row with NaN in ``r_low`` and ``r_high`` holds all magnitudes and
        fold -1 pools the folds. In ``gallery`` an image is a row-major list of
        ``size_px * size_px`` pixels in maggies. ``sky`` counts sources by NESTED HEALPix pixel,
        with one further column of counts per class.
    experiments : mapping of experiment to mapping of name to pyarrow.Table
        What experiments on the run found, as `EXPERIMENTS` lists it; one whose columns are of
        another version is named on the page, and the rest of the page is made.
    stale_experiments : tuple of str
        Those in the work directory that were made with other settings, labels or code.

    Raises
    ------
    StoreError
        When a table lacks a column.
    """

    summary: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    cut_flow: pa.Table | None = None
    classification: pa.Table | None = None
    confusion: pa.Table | None = None
    thresholds: pa.Table | None = None
    reliability: pa.Table | None = None
    calibration: pa.Table | None = None
    prediction_sets: pa.Table | None = None
    wanted: pa.Table | None = None
    novelty_accuracy: pa.Table | None = None
    novelty_counts: pa.Table | None = None
    class_counts: pa.Table | None = None
    p_max: pa.Table | None = None
    quasar_counts: pa.Table | None = None
    quasar_fields: pa.Table | None = None
    quasar_corrected: pa.Table | None = None
    quasar_models: pa.Table | None = None
    quasar_published: pa.Table | None = None
    distributions: pa.Table | None = None
    colour_colour: pa.Table | None = None
    morphology: pa.Table | None = None
    history: pa.Table | None = None
    gallery: pa.Table | None = None
    sky: pa.Table | None = None
    stages: pa.Table | None = None
    throughput: pa.Table | None = None
    workers: pa.Table | None = None
    experiments: Mapping[str, Mapping[str, pa.Table]] = field(default_factory=dict)
    stale_experiments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            table = getattr(self, name)
            missing = [c for c in columns if table is not None and c not in table.column_names]
            if missing:
                raise StoreError(
                    f"the report needs the table {name!r} with {len(columns)} columns, but it "
                    f"lacks {', '.join(missing)}: run the reduce stage again with this version"
                )


def present(table: pa.Table | None) -> pa.Table | None:
    """Give the table, or None where it is missing or has no rows."""
    return None if table is None or table.num_rows == 0 else table


def select(table: pa.Table, equal: Mapping[str, object]) -> pa.Table:
    """Keep the rows whose columns have these values.

    >>> select(pa.table({"a": [1, 2], "b": ["x", "y"]}), {"a": 2}).to_pylist()
    [{'a': 2, 'b': 'y'}]
    """
    for column, value in equal.items():
        table = table.filter(pc.equal(table[column], pa.scalar(value)))
    return table


def distinct(table: pa.Table, column: str) -> list[Any]:
    """List the values of a column once each, in order of first appearance."""
    return [value for value in table[column].unique().to_pylist() if value is not None]


def numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Read a column as float64, shape (rows,), a null as NaN."""
    values = table[column].cast(pa.float64()).to_numpy()
    return np.asarray(values, dtype=np.float64)


def rows_of(table: pa.Table | None) -> list[Row]:
    """List the rows as dictionaries; none where there is no table."""
    return [] if table is None else list(table.to_pylist())


def headline_network(tables: ReportTables) -> str | None:
    """Name the network that made the catalogue, or else the first one met."""
    named = (tables.summary.get("catalogue") or {}).get("network")
    if named:
        return str(named)
    met = [*(tables.summary.get("networks") or {})]
    for table in (tables.classification, tables.class_counts):
        met += [] if table is None else distinct(table, "network")
    return str(met[0]) if met else None
