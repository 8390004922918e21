"""The summary says what the tables say, and JSON can hold it."""

import json
import statistics

import pytest

from kidsclf.reduce import (
    CutFlowStep,
    NetworkResult,
    RunFacts,
    build_summary,
    cut_flow_table,
    reductions_for,
)
from kidsclf.schema import CutCount

CUT = CutFlowStep("ingest", "kids", CutCount("magnitude limit", "r > 23", 100, 30))


def result_of(context, block, parameters=7):
    tables = {r.name: r.finish(r.local(block), context) for r in reductions_for(context)}
    return NetworkResult(tables["classification"], tables["rows"], tables["area"], parameters)


def facts(**changes):
    settings = {"run": {"title": "test"}, "rows_in": 100, "rows_out": 70}
    settings |= {"training_sample": "sdss", "product_network": "mnn", "cut_flow": [CUT]}
    return RunFacts(**(settings | changes))


def all_magnitudes(result, sample, fold):
    return [
        row
        for row in result.classification.to_pylist()
        if row["r_low"] != row["r_low"] and row["sample"] == sample and row["fold"] == fold
    ]


def test_without_folds_the_one_test_sample_is_given(survey, context):
    result = result_of(context, survey(1, 3000))
    summary = build_summary(facts(warnings=["tile missing"]), {"mnn": result})
    network = summary["networks"]["mnn"]
    pooled = all_magnitudes(result, "sdss", -1)
    assert network["sample"] == "sdss"
    assert network["parameters"] == 7
    assert network["accuracy"] == pooled[0]["accuracy"]
    assert network["accuracy_std"] is None
    assert network["classes"]["QSO"] == {
        "precision": pooled[1]["precision"],
        "recall": pooled[1]["recall"],
        "f1": pooled[1]["f1"],
        "f1_std": None,
        "support": pooled[1]["support"],
    }
    gama = all_magnitudes(result, "gama", -1)
    assert network["external"] == {"gama": {row["class"]: row["recall"] for row in gama}}
    assert summary["warnings"] == ["tile missing"]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_with_folds_the_mean_and_its_spread_are_given(survey, context):
    result = result_of(context, survey(1, 3000, 4))
    network = build_summary(facts(), {"mnn": result})["networks"]["mnn"]
    rows = [all_magnitudes(result, "sdss", fold) for fold in range(4)]
    accuracies = [row[0]["accuracy"] for row in rows]
    assert network["accuracy"] == pytest.approx(statistics.fmean(accuracies))
    assert network["accuracy_std"] == pytest.approx(statistics.stdev(accuracies))
    f1 = [row[2]["f1"] for row in rows]
    assert network["classes"]["GALAXY"]["f1"] == pytest.approx(statistics.fmean(f1))
    assert network["classes"]["GALAXY"]["f1_std"] == pytest.approx(statistics.stdev(f1))
    assert network["classes"]["GALAXY"]["support"] == sum(row[2]["support"] for row in rows)


def test_the_catalogue_is_that_of_the_product_network(survey, context):
    block = survey(1, 3000)
    summary = build_summary(
        facts(), {"mlp": result_of(context, block), "mnn": result_of(context, block)}
    )
    catalogue = summary["catalogue"]
    assert catalogue["network"] == "mnn"
    assert catalogue["rows"] == 3000 == sum(catalogue["classes"].values())
    assert catalogue["area_sq_deg"] == pytest.approx(4.0, rel=0.05)


def test_undefined_values_become_null_and_missing_parts_stay_out(survey, subset, context):
    block = survey(1, 40)
    unlabelled = subset(block, [0], block.partition)
    unlabelled.labels["sdss"].codes[:] = -1
    unlabelled.labels["gama"].codes[:] = -1
    summary = build_summary(facts(), {"mnn": result_of(context, unlabelled, None)})
    network = summary["networks"]["mnn"]
    assert (network["accuracy"], network["classes"], network["external"]) == (None, {}, {})
    assert summary["catalogue"]["area_sq_deg"] is None
    assert build_summary(facts(), {})["catalogue"] == {}
    json.dumps(summary, allow_nan=False)


def test_the_cut_flow_is_the_same_in_both_places():
    assert cut_flow_table([CUT]).to_pylist() == build_summary(facts(), {})["cut_flow"]
    assert cut_flow_table([CUT]).to_pylist()[0]["rows_out"] == 70
    assert cut_flow_table([]).num_rows == 0
