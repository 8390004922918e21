"""The page of a run so small that most figures have next to nothing to show."""

import math

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.reduce import (
    Context,
    NetworkResult,
    RunFacts,
    SampleLabels,
    ScoredBlock,
    build_summary,
    reductions_for,
    with_network,
)
from kidsclf.report import ReportTables, render_page
from kidsclf.report.tables import COLUMNS
from kidsclf.schema import Scores
from kidsclf.sky.partition import Partition, spatial_index

CONTEXT = Context(
    classes=("STAR", "QSO", "GALAXY"),
    training_sample="sdss",
    magnitude_edges=(18.0, 19.0, 20.0, 21.0, 22.0),
    thresholds=(0.34, 0.9),
)


def few_sources(rows: int, step_mag: float) -> ScoredBlock:
    """Sources of one class each in turn, their colours ``step_mag`` apart, all labelled."""
    codes = np.arange(rows) % 3
    probabilities = np.full((rows, 3), 0.1, np.float32)
    probabilities[np.arange(rows), codes] = 0.8
    # Colours in the middle of a cell of 0.05 mag.
    r = np.full(rows, 20.5, np.float32)
    g, i = r + 0.525 + step_mag * codes, r - 0.325 + step_mag * codes
    ra, dec = 12.0 + 0.01 * np.arange(rows), np.full(rows, -31.0)
    labels = SampleLabels(codes, np.full(rows, "test"), np.full(rows, -1))
    return ScoredBlock(
        partition=Partition(0, 0),
        name=np.array([f"source-{k}" for k in range(rows)]),
        ra=ra,
        dec=dec,
        index29=spatial_index(ra, dec),
        magnitudes=np.stack([g, r, i], axis=1).astype(np.float32),
        bands=("g", "r", "i"),
        reference_magnitude=r,
        scores=Scores(
            probabilities, codes, np.full(rows, 0.8), np.full(rows, 0.6), CONTEXT.classes
        ),
        calibrated=probabilities,
        sets=probabilities > np.float32(0.5),
        training_distance=np.zeros(rows, np.float32),
        novelty=np.zeros(rows, np.float32),
        flags=np.zeros(rows, np.int32),
        labels={"sdss": labels},
    )


def reduced(block: ScoredBlock) -> ReportTables:
    """Reduce as a run does whose survey has no images."""
    tables = {
        each.name: each.finish(each.local(block), CONTEXT) for each in reductions_for(CONTEXT)
    }
    result = NetworkResult(tables["classification"], tables["rows"], tables["area"], 7)
    facts = RunFacts({"name": "tiny"}, len(block), len(block), "sdss", "mlp")
    named = {name: with_network(table, "mlp") for name, table in tables.items()}
    named["sky"] = tables["sky"]
    stamps = {
        "size_px": pa.array([0] * named["gallery"].num_rows, pa.int64()),
        "band": pa.array([""] * named["gallery"].num_rows, pa.string()),
        "image": pa.array([[]] * named["gallery"].num_rows, pa.list_(pa.float32())),
    }
    for name, values in stamps.items():
        named["gallery"] = named["gallery"].append_column(name, values)
    shown = {name: table for name, table in named.items() if name in COLUMNS}
    return ReportTables(summary=build_summary(facts, {"mlp": result}), **shown)


@pytest.mark.parametrize(("rows", "step_mag"), [(1, 0.0), (2, 0.05), (3, 0.4)])
def test_a_run_of_few_sources_has_its_whole_page(rows, step_mag):
    tables = reduced(few_sources(rows, step_mag))
    assert tables.colour_colour.num_rows == 2 * rows
    page = render_page(tables)
    for figure in ("fig-colours", "fig-counts", "fig-quasars", "fig-sky-636f756e74"):
        assert f'id="{figure}"' in page
    assert "square degrees</" not in page
    assert "the sources are too few or too unevenly spread to tell the area" in page
    assert tables.summary["catalogue"]["area_sq_deg"] is None
    assert all(math.isnan(row["per_sq_deg"]) for row in tables.quasar_counts.to_pylist())
