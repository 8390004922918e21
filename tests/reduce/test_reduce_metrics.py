"""Scores against scikit-learn, and Feng's thresholds against their definition."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from kidsclf.reduce import reductions_for
from kidsclf.reduce.metrics import matrix_scores

CODES = [0, 1, 2]


def table(context, name, block):
    reduction = next(r for r in reductions_for(context) if r.name == name)
    return reduction.finish(reduction.local(block), context).to_pylist()


def judged_rows(block, sample):
    label = block.labels[sample]
    rows = label.codes >= 0
    return rows & (label.split == "test") if sample == "sdss" else rows


def learn(truth, guess):
    """scikit-learn's view; an unclassified source is the code 3, which is no true class."""
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, guess, labels=CODES, zero_division=np.nan
    )
    return precision, recall, f1, support


@pytest.mark.parametrize("sample", ["sdss", "gama"])
@pytest.mark.parametrize("seed", range(4))
def test_classification_agrees_with_scikit_learn(survey, context, sample, seed):
    block = survey(seed, 3000)
    magnitude = block.reference_magnitude
    predicted = np.where(block.scores.codes < 0, 3, block.scores.codes)
    rows = [r for r in table(context, "classification", block) if r["sample"] == sample]
    assert len(rows) == 3 * 5  # all magnitudes and four bins
    for row in rows:
        use = judged_rows(block, sample)
        if not math.isnan(row["r_low"]):
            use = use & (magnitude > row["r_low"]) & (magnitude <= row["r_high"])
        truth, guess = block.labels[sample].codes[use], predicted[use]
        code = context.classes.index(row["class"])
        precision, recall, f1, support = learn(truth, guess)
        expected = precision[code], recall[code], f1[code]
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(expected, nan_ok=True)
        assert row["support"] == support[code]
        assert row["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
        assert row["balanced_accuracy"] == pytest.approx(np.mean(recall))
        matrix = metrics.multilabel_confusion_matrix(truth, guess, labels=CODES)[code]
        counts = row["false_positive"], row["false_negative"], row["true_positive"]
        assert counts == (matrix[0, 1], matrix[1, 0], matrix[1, 1])


def test_of_the_training_sample_only_test_sources_count(survey, context):
    block = survey(9, 2000)
    support = {"sdss": 0, "gama": 0}
    for row in table(context, "classification", block):
        if math.isnan(row["r_low"]):
            support[row["sample"]] += row["support"]
    assert support == {s: np.count_nonzero(judged_rows(block, s)) for s in support}


def test_each_fold_has_its_own_scores_and_the_pool_has_all(survey, context):
    block = survey(2, 3000, 5)
    rows = [
        row
        for row in table(context, "classification", block)
        if row["sample"] == "sdss" and math.isnan(row["r_low"])
    ]
    assert sorted({row["fold"] for row in rows}) == [-1, 0, 1, 2, 3, 4]
    label = block.labels["sdss"]
    for row in rows:
        use = judged_rows(block, "sdss")
        use = use if row["fold"] == -1 else use & (label.fold == row["fold"])
        expected = metrics.accuracy_score(label.codes[use], block.scores.codes[use])
        assert row["accuracy"] == pytest.approx(expected)


def test_confusion_counts_and_fractions(survey, context):
    block = survey(4, 2000)
    rows = [r for r in table(context, "confusion", block) if r["sample"] == "gama"]
    use = judged_rows(block, "gama")
    predicted = np.where(block.scores.codes < 0, 3, block.scores.codes)
    truth = block.labels["gama"].codes[use]
    matrix = metrics.confusion_matrix(truth, predicted[use], labels=[0, 1, 2, 3])
    assert [row["count"] for row in rows] == matrix[:3].ravel().tolist()
    fractions = matrix[:3] / matrix[:3].sum(axis=1, keepdims=True)
    assert [row["fraction"] for row in rows] == pytest.approx(fractions.ravel().tolist())
    assert rows[3]["predicted_class"] == "UNCLASSIFIED"


@pytest.mark.parametrize("sample", ["sdss", "gama"])
def test_thresholds_are_those_of_feng(survey, context, sample):
    block = survey(6, 3000)
    use = judged_rows(block, sample)
    truth_all = block.labels[sample].codes
    for row in table(context, "thresholds", block):
        if row["sample"] != sample:
            continue
        code = context.classes.index(row["class"])
        kept = use & (block.scores.p_max >= np.float32(row["threshold"]))
        precision, recall, f1, support = learn(truth_all[kept], block.scores.codes[kept])
        expected = precision[code], recall[code], f1[code]
        assert (row["precision"], row["recall"], row["f1"]) == pytest.approx(expected)
        members = np.count_nonzero(truth_all[use] == code)
        assert row["count"] == support[code]
        assert row["frac_thre"] == pytest.approx(support[code] / members)
        assert row["completeness"] == pytest.approx(row["frac_thre"] * row["recall"])


def test_a_threshold_that_nothing_reaches_leaves_no_scores(survey, context):
    strict = replace(context, thresholds=(1.5,))
    for row in table(strict, "thresholds", survey(6, 500)):
        assert math.isnan(row["precision"])
        assert math.isnan(row["recall"])
        assert (row["frac_thre"], row["completeness"], row["count"]) == (0.0, 0.0, 0)


def test_a_probability_equal_to_the_threshold_is_kept(survey, context):
    block = survey(6, 200)
    block.scores.p_max[:] = np.float32(0.9)  # less than the float64 0.9
    at = replace(context, thresholds=(0.9,))
    counted = sum(r["count"] for r in table(at, "thresholds", block) if r["sample"] == "gama")
    classified = block.scores.codes >= 0
    assert counted == np.count_nonzero(judged_rows(block, "gama") & classified) > 0


def test_undefined_scores_are_nan_and_a_class_never_found_scores_zero():
    scores = matrix_scores(np.array([[5, 0, 1, 0], [2, 0, 0, 1], [0, 0, 0, 0]]))
    assert scores.recall.tolist()[:2] == [5 / 6, 0.0]
    assert math.isnan(scores.recall[2])
    assert scores.precision[0] == 5 / 7
    assert math.isnan(scores.precision[1]), "nothing was predicted to be of the class"
    assert scores.precision[2] == 0.0
    assert scores.f1[1] == 0.0
    assert math.isnan(scores.f1[2]), "a class without members has no F1"
    assert scores.accuracy == 5 / 9
    assert scores.balanced_accuracy == pytest.approx(5 / 12)
    nothing = matrix_scores(np.zeros((3, 4), np.int64))
    assert math.isnan(nothing.accuracy)
    assert math.isnan(nothing.balanced_accuracy)
