"""How far the probabilities can be trusted, and where to cut them."""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.report.blocks import Block, Remark, Section, drawing, grid, missing
from kidsclf.report.figures.calibration import FEWEST, draw_error_bins, draw_reliability
from kidsclf.report.numbers import DASH, decimal, is_number, percent, whole
from kidsclf.report.palette import class_look
from kidsclf.report.sections.curves import per_network
from kidsclf.report.tables import (
    ReportTables,
    distinct,
    headline_network,
    numbers,
    present,
    rows_of,
    select,
)

EVERY_CLASS = "ALL"
"""Class name of the rows that hold the sources of every class."""

FEWEST_IN_BIN = 30
"""Labelled sources that a calibration error is drawn for."""


def calibration(tables: ReportTables) -> Section:
    """Show reliability before and after calibration, prediction sets, and where to cut."""
    lead = (
        "Of the sources given a probability of 0.8, four in five should be right. One number a "
        "network, its temperature, was fitted to the validation sample to bring that about: above "
        "1 the network was too sure of itself. All that is shown here is measured on labelled "
        "sources that neither the network nor the temperature has seen."
    )
    first = headline_network(tables)
    blocks = [
        *_errors(tables),
        *per_network(_judged(tables.reliability), first, "probability", _reliability),
        *per_network(_judged(tables.calibration), first, "calibration error", _error_bins),
        *_sets(tables),
        *per_network(_judged(tables.wanted), first, "wanted purity", _cuts),
    ]
    return Section("calibration", "Calibration", lead, tuple(blocks))


def _judged(table: pa.Table | None) -> pa.Table | None:
    """Keep the sample that judges the networks: the first in the table."""
    known = present(table)
    return known and select(known, {"sample": known["sample"][0].as_py()})


def _of_all_magnitudes(table: pa.Table | None) -> pa.Table | None:
    known = _judged(table)
    return known and known.filter(pa.array(np.isnan(numbers(known, "r_low"))))


def _look(name: str) -> str:
    return "all" if name == EVERY_CLASS else class_look(name).label


def _errors(tables: ReportTables) -> list[Block]:
    table = present(_of_all_magnitudes(tables.calibration))
    if table is None:
        return [missing("The calibration error", "no network was scored on labelled sources")]
    networks = tables.summary.get("networks") or {}
    rows = []
    for row in rows_of(table):
        trust = (networks.get(row["network"]) or {}).get("trust") or {}
        rows.append(
            [
                *(row["network"], decimal(trust.get("temperature"), 2), _look(row["class"])),
                whole(row["count"]),
                *(decimal(row[name]) for name in ("ece", "ece_calibrated", "ece_by_chance")),
                *(decimal(row[name]) for name in ("nll", "nll_calibrated")),
                *(decimal(row[name]) for name in ("brier", "brier_calibrated")),
            ]
        )
    headings = ["Network", "Temperature", "Class", "Labelled"]
    headings += ["ECE", "ECE calibrated", "ECE by chance"]
    headings += ["NLL", "NLL calibrated", "Brier", "Brier calibrated"]
    note = (
        "ECE is the mean distance of the points from the diagonal below; by chance is what perfect "
        "probabilities would show with so few sources. NLL is the mean -ln of the probability "
        "of what is true. The class “all” judges the largest probability and the whole answer."
    )
    sample = table["sample"][0].as_py()
    return [grid(f"Calibration on the sample {sample}, all magnitudes", headings, rows, note)]


def _reliability(reliability: pa.Table, network: str) -> list[Block]:
    rows = select(reliability, {"network": network})
    rows = rows.filter(pa.array(np.isnan(numbers(rows, "r_low"))))
    rows = rows.filter(pc.not_equal(rows["class"], EVERY_CLASS))
    if not rows.num_rows:
        return [missing(f"The reliability of {network}", "it gave no labelled source a class")]
    sample = distinct(rows, "sample")[0]
    return [
        drawing(
            f"fig-reliability-{network.encode().hex()}",
            partial(draw_reliability, rows),
            title=f"Are the probabilities right? {network}, sample {sample}",
            caption="Points below the diagonal are claims that were too high, points above it too "
            "low ones. Bars hold 68% of what chance does to so few sources; most sources lie in "
            f"the first and the last point, and bins of fewer than {FEWEST} are joined.",
            alt="Fraction of sources that are of a class against the probability given to it, "
            "before and after calibration.",
            data=rows,
        )
    ]


def _error_bins(calibration: pa.Table, network: str) -> list[Block]:
    rows = select(calibration, {"network": network})
    rows = rows.filter(pa.array(np.isfinite(numbers(rows, "r_low"))))
    rows = rows.filter(pc.not_equal(rows["class"], EVERY_CLASS))
    rows = rows.filter(pc.greater_equal(rows["count"], FEWEST_IN_BIN))
    if not rows.num_rows:
        why = f"no bin holds {FEWEST_IN_BIN} labelled sources"
        return [missing(f"The calibration error of {network} by magnitude", why)]
    sample = distinct(rows, "sample")[0]
    return [
        drawing(
            f"fig-calibration-bins-{network.encode().hex()}",
            partial(draw_error_bins, rows),
            title=f"Calibration error by magnitude: {network}, sample {sample}",
            caption="One temperature serves all magnitudes, so faint sources may stay too sure "
            "where bright ones are right. Shades reach as high as chance alone does with so few "
            f"sources; bins of fewer than {FEWEST_IN_BIN} are left out.",
            alt="Expected calibration error of each class against r magnitude, before and after "
            "calibration.",
            data=rows,
        )
    ]


def _sets(tables: ReportTables) -> list[Block]:
    table = present(_of_all_magnitudes(tables.prediction_sets))
    if table is None:
        return [missing("The prediction sets", "no network was scored on labelled sources")]
    rows = [
        [
            *(row["network"], _look(row["class"]), whole(row["count"]), percent(row["coverage"])),
            _range(percent(row["coverage_low"]), percent(row["coverage_high"])),
            decimal(row["mean_size"], 2),
            *(percent(row[name]) for name in ("empty", "single", "multiple")),
        ]
        for row in rows_of(table)
    ]
    headings = ["Network", "Class", "Labelled", "Coverage", "within", "Mean size"]
    caption = f"Prediction sets on the sample {table['sample'][0].as_py()}, all magnitudes"
    return [
        Remark(_promise(tables)),
        grid(caption, [*headings, "No class", "One class", "Several classes"], rows),
    ]


def _promise(tables: ReportTables) -> str:
    networks = (tables.summary.get("networks") or {}).values()
    promised = [
        ((each.get("trust") or {}).get("prediction_sets") or {}).get("promised_coverage")
        for each in networks
    ]
    share = percent(promised[0], 0) if promised and is_number(promised[0]) else "a stated share"
    return (
        f"The column prediction_set lists the classes that a source may be. For {share} of the "
        "sources of each class it is to hold the right one, if the source is of the same kind as "
        "the labelled ones: that promise ends where the labels do, and it holds on average over "
        "validation samples. One of n sources of a class is off by some sqrt(0.05 x 0.95 / n) at "
        "95%: 2 in 100 where n is 100."
    )


def _cuts(wanted: pa.Table, network: str) -> list[Block]:
    table = select(wanted, {"network": network})
    sample = distinct(table, "sample")[0]
    rows = [
        [
            class_look(row["class"]).label,
            f"{row['wanted']} {percent(row['value'], 0)}",
            decimal(row["threshold"]),
            _range(decimal(row["threshold_low"]), decimal(row["threshold_high"])),
            _with_bounds(row, "purity"),
            _with_bounds(row, "completeness"),
            whole(row["count"]),
        ]
        for row in rows_of(table)
    ]
    headings = ["Class", "Wanted", "Cut at", "within", "Purity", "Completeness", "Selected"]
    note = (
        "A source is taken if its calibrated probability of the class (p_CLASS_calibrated) is at "
        "least the cut; a dash is where none will do. Bounds hold 68%. Purity is that of the "
        "labelled sample: where the survey holds other shares of the classes, so is its purity."
    )
    return [grid(f"Where to cut: {network}, sample {sample}", headings, rows, note)]


def _with_bounds(row: dict[str, Any], name: str) -> str:
    if not is_number(row[name]):
        return DASH
    bounds = _range(percent(row[f"{name}_low"]), percent(row[f"{name}_high"]))
    return f"{percent(row[name])} ({bounds})"


def _range(low: str, high: str) -> str:
    return DASH if low == high == DASH else f"{low} to {high}"
