"""From the answers of several trainings to mean and spread, and to lines of text."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from kidsclf.experiments.scores import (
    Judged,
    Line,
    differences,
    score_seeds,
    summarise_seeds,
)
from kidsclf.experiments.told import told_differences, told_rows
from kidsclf.experiments.trained import less_the_first

CLASSES = ("STAR", "QSO", "GALAXY")
PUBLISHED = {"STAR": (0.9, 0.8, 0.85), "QSO": (0.7, 0.6, 0.65), "GALAXY": (0.5, 0.4, 0.45)}
LINES = [
    Line("all", "trees (Pho9)", "xgboost", PUBLISHED),
    Line("all", "images", "mnn", PUBLISHED, "it needs images, but survey.tiles is empty"),
]


def judged(number: int, share: float, variant: str = "all") -> Judged:
    rng = np.random.default_rng(number)
    codes = rng.integers(0, 3, 500)
    right = rng.random(500) < share
    return Judged(
        variant, "xgboost", number, 1000, codes, np.where(right, codes, rng.integers(-1, 3, 500))
    )


@pytest.fixture
def answers() -> list[Judged]:
    return [judged(number, 0.8) for number in range(3)]


def test_each_seed_is_scored_as_scikit_learn_does(answers) -> None:
    rows = score_seeds(answers, LINES, CLASSES).to_pylist()
    assert [row["seed"] for row in rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    first = answers[0]
    kwargs = {"labels": [0, 1, 2], "average": None}
    for name, function in (
        ("precision", precision_score), ("recall", recall_score), ("f1", f1_score)
    ):  # fmt: skip
        wanted = function(first.codes, first.predicted, **kwargs)
        assert [row[name] for row in rows[:3]] == pytest.approx(wanted)
    assert rows[0]["accuracy"] == pytest.approx(np.mean(first.codes == first.predicted))


def test_the_table_has_mean_and_deviation_and_what_is_published(answers) -> None:
    seeds = score_seeds(answers, LINES, CLASSES)
    table = summarise_seeds(seeds, LINES, CLASSES)
    star = table.to_pylist()[0]
    f1 = [row["f1"] for row in seeds.to_pylist() if row["class"] == "STAR"]
    assert star["seeds"] == 3
    assert star["f1"] == pytest.approx(np.mean(f1))
    assert star["f1_std"] == pytest.approx(np.std(f1, ddof=1))
    assert star["published_f1"] == 0.85
    one = summarise_seeds(score_seeds(answers[:1], LINES, CLASSES), LINES, CLASSES)
    assert np.isnan(one.to_pylist()[0]["f1_std"])


def test_a_score_that_some_training_lacks_has_no_mean_over_the_others(answers) -> None:
    answers[1].predicted[answers[1].predicted == 1] = 0
    table = summarise_seeds(score_seeds(answers, LINES, CLASSES), LINES, CLASSES)
    quasar = table.to_pylist()[1]
    assert quasar["seeds"] == 3
    assert np.isnan([quasar["precision"], quasar["precision_std"]]).all()
    assert 0 < quasar["recall"] < 0.8, "the training that finds none counts"
    assert np.isfinite(quasar["accuracy"])


def test_a_row_without_an_answer_stays_and_says_why(answers) -> None:
    table = summarise_seeds(score_seeds(answers, LINES, CLASSES), LINES, CLASSES)
    missing = table.to_pylist()[3]
    assert missing["seeds"] == 0
    assert np.isnan(missing["f1"])
    assert missing["published_f1"] == 0.85
    told = told_rows(table)
    assert told[-1] == "images: no answer, for it needs images, but survey.tiles is empty"
    assert any("trees (Pho9): accuracy" in line and "3 seeds" in line for line in told)
    assert sum("0.8500" in line for line in told) == 1


def test_differences_are_taken_seed_by_seed() -> None:
    lines = [Line(each, each, "xgboost", {}) for each in ("as-measured", "normalised")]
    answers = [judged(k, 0.8, "as-measured") for k in range(3)]
    # The same answers but for one source more that is right: exactly 1/500 better at each seed.
    for each in answers[:]:
        better = each.predicted.copy()
        wrong = np.flatnonzero(better != each.codes)[0]
        better[wrong] = each.codes[wrong]
        answers.append(Judged("normalised", "xgboost", each.seed, 1000, each.codes, better))
    pair = (("as-measured", "xgboost"), ("normalised", "xgboost"))
    found = differences(score_seeds(answers, lines, CLASSES), lines, [pair])
    accuracy = found.to_pylist()[0]
    assert accuracy["measure"] == "accuracy"
    assert accuracy["difference"] == pytest.approx(0.002)
    assert accuracy["difference_std"] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(accuracy["published"])
    assert "+0.0020" in told_differences(found, "heading")[1]


def test_networks_are_compared_with_the_first_that_answers_and_with_print() -> None:
    """One seed less of the second network: only seeds of both count."""
    mlp = [replace(judged(k, 0.7), network="mlp") for k in range(2)]
    answers = [*(judged(k, 0.8) for k in range(3)), *mlp]
    lines = [LINES[0], LINES[1], Line("all", "mlp", "mlp", {"QSO": (0.0, 0.0, 0.6)})]
    seeds = score_seeds(answers, lines, CLASSES)
    pairs = less_the_first([("all", "xgboost"), ("all", "mlp")])
    rows = {row["measure"]: row for row in differences(seeds, lines, pairs).to_pylist()}
    accuracy = [np.mean(each.codes == each.predicted) for each in answers]
    wanted = [accuracy[3] - accuracy[0], accuracy[4] - accuracy[1]]
    assert rows["accuracy"]["seeds"] == 2
    assert rows["accuracy"]["difference"] == pytest.approx(np.mean(wanted))
    assert rows["accuracy"]["difference_std"] == pytest.approx(np.std(wanted, ddof=1))
    assert rows["accuracy"]["less_network"] == "xgboost"
    assert rows["F1 QSO"]["published"] == pytest.approx(0.6 - 0.65)
    assert np.isnan(rows["F1 STAR"]["published"])
