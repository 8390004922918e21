"""Calibration, prediction sets and cuts against scikit-learn and against their definitions."""

import math
from dataclasses import replace

import numpy as np
import pytest
from calibration import get_ece
from sklearn import metrics
from sklearn.calibration import calibration_curve

from kidsclf.reduce import NetworkResult, RunFacts, build_summary, reductions_for
from kidsclf.reduce.metrics import binomial_interval
from kidsclf.reduce.trust import Trust
from kidsclf.reduce.wanted import DRAWS, EDGES

SAMPLES = ["sdss", "gama"]
CODES = [0, 1, 2]


@pytest.fixture(scope="module")
def block(survey):
    return survey(21, 4000)


@pytest.fixture(scope="module")
def reduced(context, block):
    return {each.name: each.finish(each.local(block), context) for each in reductions_for(context)}


def judged(block, sample, *, answered=True):
    label = block.labels[sample]
    rows = label.codes >= 0
    rows = rows & (label.split == "test") if sample == "sdss" else rows
    return rows & (block.scores.codes >= 0) if answered else rows


def within(block, row):
    if math.isnan(row["r_low"]):
        return np.ones(len(block), bool)
    magnitude = block.reference_magnitude
    return (magnitude > row["r_low"]) & (magnitude <= row["r_high"])


def said_and_true(block, use, sample, name, kind, classes):
    """Give probability and truth of what a row is about."""
    p = block.calibrated if kind == "calibrated" else block.scores.probabilities
    p, truth = p[use].astype(np.float64), block.labels[sample].codes[use]
    if name == "ALL":
        return p.max(axis=1), truth == block.scores.codes[use]
    return p[:, classes.index(name)], truth == classes.index(name)


def normalised(p):
    """Lift what scikit-learn would clip, and make rows sum to 1 as closely as it asks."""
    p = np.maximum(p, 1e-6)
    return p / p.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def lifted(block):
    """The block without probabilities that scikit-learn would clip."""
    scores = replace(
        block.scores,
        probabilities=normalised(block.scores.probabilities.astype(np.float64)).astype(np.float32),
    )
    calibrated = normalised(block.calibrated.astype(np.float64)).astype(np.float32)
    return replace(block, scores=scores, calibrated=calibrated)


@pytest.mark.parametrize("kind", ["raw", "calibrated"])
def test_reliability_is_that_of_scikit_learn(block, reduced, context, kind):
    rows = [r for r in reduced["reliability"].to_pylist() if r["kind"] == kind]
    for sample in SAMPLES:
        for name in (*context.classes, "ALL"):
            whole = [
                r
                for r in rows
                if math.isnan(r["r_low"]) and (r["sample"], r["class"]) == (sample, name)
            ]
            use = judged(block, sample)
            p, true = said_and_true(block, use, sample, name, kind, context.classes)
            fraction, mean = calibration_curve(true, p, n_bins=15)
            assert [r["fraction"] for r in whole] == pytest.approx(fraction.tolist())
            assert [r["p_mean"] for r in whole] == pytest.approx(mean.tolist(), abs=1e-7)
            assert sum(r["count"] for r in whole) == np.count_nonzero(use)
            assert all(r["fraction_low"] < r["fraction_high"] for r in whole)


def test_errors_are_those_of_scikit_learn_and_of_the_formula(lifted, context):
    block = lifted
    reduction = next(r for r in reductions_for(context) if r.name == "calibration")
    rows = reduction.finish(reduction.local(block), context).to_pylist()
    assert len(rows) == 2 * 5 * 4  # samples; all magnitudes and four bins; classes and all
    for row in rows:
        use = judged(block, row["sample"]) & within(block, row)
        codes = block.labels[row["sample"]].codes[use]
        assert row["count"] == np.count_nonzero(use)
        for kind, ending in (("raw", ""), ("calibrated", "_calibrated")):
            p, true = said_and_true(block, use, row["sample"], row["class"], kind, context.classes)
            places = np.minimum((p * 15).astype(int), 14)
            ece = sum(
                (places == b).mean() * abs(true[places == b].mean() - p[places == b].mean())
                for b in set(places.tolist())
            )
            every = block.calibrated if kind == "calibrated" else block.scores.probabilities
            every = every[use].astype(np.float64)
            if row["class"] == "ALL":
                nll = metrics.log_loss(codes, normalised(every), labels=CODES)
                brier = metrics.brier_score_loss(
                    codes, normalised(every), labels=CODES, scale_by_half=False
                )
            else:
                pair = np.stack([every.sum(axis=1) - p, p], axis=1)
                nll = metrics.log_loss(true, normalised(pair), labels=[False, True])
                brier = metrics.brier_score_loss(true, p)
            expected = pytest.approx([ece, nll, brier], abs=2e-5)
            assert [row[f"{what}{ending}"] for what in ("ece", "nll", "brier")] == expected


def test_expected_calibration_error_is_that_of_a_public_package(block, reduced, context):
    """Of Kumar, Liang & Ma 2019: the confidence of what is said, and each class by itself."""
    rows = [r for r in reduced["calibration"].to_pylist() if math.isnan(r["r_low"])]
    for row in rows:
        use = judged(block, row["sample"])
        for kind, ending in (("raw", ""), ("calibrated", "_calibrated")):
            p, true = said_and_true(block, use, row["sample"], row["class"], kind, context.classes)
            theirs = get_ece(p.astype(np.float64), true.astype(int), num_bins=15)
            assert row[f"ece{ending}"] == pytest.approx(theirs, abs=1e-6)


def test_the_error_by_chance_is_that_of_right_probabilities(survey, context):
    shown, foreseen = [], []
    for seed in range(12):
        block = survey(seed, 1500)
        rng, use = np.random.default_rng(seed), judged(block, "gama")
        truth = (block.calibrated.cumsum(axis=1) > rng.random((len(block), 1))).argmax(axis=1)
        block.labels["gama"].codes[use] = truth[use]
        reduction = next(r for r in reductions_for(context) if r.name == "calibration")
        for row in reduction.finish(reduction.local(block), context).to_pylist():
            if row["sample"] == "gama" and row["class"] == "QSO" and math.isnan(row["r_low"]):
                shown.append(row["ece_calibrated"])
                foreseen.append(row["ece_by_chance"])
    assert np.mean(shown) == pytest.approx(np.mean(foreseen), rel=0.15)


def test_coverage_and_size_of_sets(block, reduced, context):
    rows = reduced["prediction_sets"].to_pylist()
    assert len(rows) == 2 * 5 * 4
    sizes = block.sets.sum(axis=1)
    for row in rows:
        use = judged(block, row["sample"]) & within(block, row)
        codes = block.labels[row["sample"]].codes
        if row["class"] != "ALL":
            use = use & (codes == context.classes.index(row["class"]))
        held = block.sets[use, codes[use]]
        assert row["count"] == np.count_nonzero(use)
        assert row["coverage"] == pytest.approx(held.mean())
        assert row["coverage_low"] < row["coverage"] < row["coverage_high"]
        assert row["mean_size"] == pytest.approx(sizes[use].mean())
        shares = [(sizes[use] == 0).mean(), (sizes[use] == 1).mean(), (sizes[use] > 1).mean()]
        assert [row[name] for name in ("empty", "single", "multiple")] == pytest.approx(shares)


def test_the_catalogue_s_sets_are_counted(block, reduced, context):
    rows = {r["name"]: r["count"] for r in reduced["rows"].to_pylist() if r["kind"][0] == "p"}
    assert sum(rows.values()) == len(block)
    both = block.sets[:, 0] & block.sets[:, 2] & ~block.sets[:, 1]
    assert rows["STAR+GALAXY"] == np.count_nonzero(both)
    assert rows[""] == np.count_nonzero(~block.sets.any(axis=1))


def test_cuts_reach_what_was_wanted_and_the_next_edge_does_not(block, reduced, context):
    rows = reduced["wanted"].to_pylist()
    assert len(rows) == 2 * 3 * 4
    for row in rows:
        code = context.classes.index(row["class"])
        use = judged(block, row["sample"], answered=False)
        member = block.labels[row["sample"]].codes[use] == code
        p = np.nan_to_num(block.calibrated[use, code], nan=-1)

        def reached(edge, p=p, member=member):
            picked = p >= np.float32(edge)
            found, count = np.count_nonzero(picked & member), np.count_nonzero(picked)
            purity = found / count if count else 0.0
            completeness = found / np.count_nonzero(member)
            return {"purity": purity, "completeness": completeness, "count": count}

        if math.isnan(row["threshold"]):
            best = max(reached(edge)[row["wanted"]] for edge in EDGES)
            assert best < row["value"]
            continue
        here = reached(row["threshold"])
        for name in ("purity", "completeness", "count"):
            assert row[name] == pytest.approx(here[name])
        assert here[row["wanted"]] >= row["value"]
        place = EDGES.tolist().index(row["threshold"])
        beyond = EDGES[:place] if row["wanted"] == "purity" else EDGES[place + 1 :]
        assert all(reached(edge)[row["wanted"]] < row["value"] for edge in beyond)
        assert row["purity_low"] <= row["purity"] <= row["purity_high"]


def test_bounds_of_a_cut_are_the_scatter_between_samples(survey, context):
    asked = replace(context, wanted_purity=(0.65,), wanted_completeness=(0.65,))
    reduction = next(r for r in reductions_for(asked) if r.name == "wanted")
    cuts, widths = {"purity": [], "completeness": []}, {"purity": [], "completeness": []}
    for seed in range(30):
        for row in reduction.finish(reduction.local(survey(seed, 3000)), asked).to_pylist():
            if (row["sample"], row["class"]) == ("gama", "QSO"):
                cuts[row["wanted"]].append(row["threshold"])
                width = row["threshold_high"] - row["threshold_low"]
                widths[row["wanted"]].append(width / 2)
    for what, found in cuts.items():
        assert np.mean(widths[what]) == pytest.approx(np.std(found), rel=0.4), what


def test_what_cannot_be_reached_or_told_is_nan(survey, context):
    block = survey(2, 600)
    asked = replace(context, wanted_purity=(0.9999,), wanted_completeness=(0.999,))
    block.labels["gama"].codes[block.labels["gama"].codes >= 0] = 0
    reduction = next(r for r in reductions_for(asked) if r.name == "wanted")
    rows = reduction.finish(reduction.local(block), asked).to_pylist()
    assert {r["wanted"] for r in rows} == {"purity", "completeness"}
    for row in rows:
        if row["sample"] == "gama":  # stars alone, and 5 % of the sources have no answer
            assert math.isnan(row["threshold"])
            assert math.isnan(row["purity"])
            assert row["count"] == 0


def test_draws_resolve_what_is_said_of_them():
    assert DRAWS >= 400
    assert EDGES.dtype == np.float32
    assert (np.diff(EDGES) > 0).all()
    assert EDGES[90] == np.float32(0.5)


def test_the_interval_of_a_fraction_holds_what_it_says():
    rng = np.random.default_rng(1)
    truth = rng.random(4000)
    drawn = rng.binomial(12, truth)
    bounds = np.array([binomial_interval(k, 12) for k in range(13)])[drawn]
    inside = (bounds[:, 0] < truth) & (truth < bounds[:, 1])
    assert inside.mean() == pytest.approx(0.683, abs=0.03)
    assert all(map(math.isnan, binomial_interval(0, 0)))


def test_the_summary_tells_the_numbers_of_the_judging_sample(reduced):
    told = Trust(
        1.5, 0.9, {"QSO": 0.1}, *(reduced[n] for n in ("calibration", "prediction_sets", "wanted"))
    )
    result = NetworkResult(*(reduced[n] for n in ("classification", "rows", "area")), 7, told)
    summary = build_summary(RunFacts({}, 1, 1, "sdss", "mnn"), {"mnn": result})
    trust = summary["networks"]["mnn"]["trust"]
    first = next(
        r
        for r in reduced["calibration"].to_pylist()
        if r["class"] == "ALL" and math.isnan(r["r_low"])
    )
    assert first["sample"] == "sdss"
    assert (trust["temperature"], trust["ece"]) == (1.5, first["ece"])
    assert trust["prediction_sets"]["promised_coverage"] == 0.9
    assert trust["prediction_sets"]["thresholds"] == {"QSO": 0.1}
    cuts = trust["wanted"]["QSO"]
    assert [cut["value"] for cut in cuts["purity"]] == [0.6, 0.95]
    assert [cut["value"] for cut in cuts["completeness"]] == [0.5, 0.9]
