"""Corrected numbers against skies whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from kidsclf.reduce import merge_all, reductions_for
from kidsclf.reduce.block import SampleLabels
from kidsclf.reduce.corrected import CUTS, QUOTED_CUT, quoted
from kidsclf.reduce.unfolding import WRONG_LABELS, Doubts, Selection, unfold
from kidsclf.schema import Scores

CLASSES = ("STAR", "QSO", "GALAXY")
SKY = np.array([1500, 240, 6000])
LABELLED = np.array([100, 190, 400])
"""Quasars are 3 % of the sky and 28 % of the labels."""
CHANCES = np.array([[0.97, 0.004, 0.02], [0.02, 0.8, 0.1], [0.01, 0.005, 0.98]])
"""Selected as each class, by true class; the rest as nothing."""

DOUBTS = Doubts.drawn(np.random.default_rng(0))


def drawn(seed, sky=CHANCES, labels=CHANCES, wrong=WRONG_LABELS / 2):
    rng = np.random.default_rng(seed)

    def counts(numbers, chances):
        rest = 1.0 - chances.sum(axis=1, keepdims=True)
        return rng.multinomial(numbers, np.concatenate([chances, rest], axis=1))[:, :3]

    true = rng.poisson(SKY)
    matrix, mistaken = (
        counts(LABELLED, labels),
        rng.binomial(LABELLED[1], [wrong / 2, 0, wrong / 2]),
    )
    moved = counts(mistaken, np.tile(labels[1], (3, 1)))
    labelled = LABELLED + mistaken - [0, mistaken.sum(), 0]
    matrix += moved
    matrix[1] -= moved.sum(axis=0)
    return Selection(1, counts(true, sky).sum(axis=0), labelled, matrix)


def coverage_of(selections, share=0.68):
    """Say how often the central part of the draws holds the number that the sky was drawn from."""
    held = 0
    for seed, selection in enumerate(selections):
        draws = unfold(selection, DOUBTS, np.random.default_rng(seed)).number_draws
        low, high = np.percentile(draws, [50 - 50 * share, 50 + 50 * share])
        held += low <= SKY[1] <= high
    return held / len(selections)


def test_bounds_hold_the_truth_as_often_as_they_say():
    selections = [drawn(seed) for seed in range(200)]
    # 200 skies: one standard deviation is 3.3 %. The factor of contaminants that are in truth as
    # common as the labels say makes the bounds somewhat too wide.
    assert 0.66 < coverage_of(selections) < 0.9
    assert coverage_of(selections, 0.95) > 0.93
    numbers = [unfold(each, DOUBTS, np.random.default_rng(1)).number for each in selections]
    assert np.mean(numbers) == pytest.approx(SKY[1], rel=0.05)


def test_contaminants_twice_as_common_as_the_labels_say_are_within_the_bounds():
    galaxies = CHANCES.copy()
    galaxies[2] = [0.01, 0.01, 0.975]
    assert coverage_of([drawn(seed, sky=galaxies) for seed in range(200)], 0.95) > 0.85


def test_the_purity_is_that_of_the_sky_and_not_of_the_labelled_mix():
    selections = [drawn(seed) for seed in range(40)]
    found = [unfold(each, DOUBTS, np.random.default_rng(1)) for each in selections]
    of_labels = [each.matrix[1, 1] / each.matrix[:, 1].sum() for each in selections]
    true = SKY[1] * CHANCES[1, 1] / (SKY @ CHANCES[:, 1])
    assert np.mean(of_labels) > 0.95
    assert true < 0.85
    assert np.mean([each.purity for each in found]) == pytest.approx(true, abs=0.07)


def test_few_labels_give_no_number():
    selection = drawn(1)
    few = replace(selection, labelled=np.array([100, 19, 400]))
    assert few.why_not(CLASSES) == "fewer than 20 labelled QSO in the bin"
    few = replace(selection, labelled=np.array([100, 190, 30]))
    assert "too few labelled GALAXY" in few.why_not(CLASSES)
    assert selection.why_not(CLASSES) == ""


def known_sky(survey, rows=30_000):
    """A block whose quasars are known: truth, answers and labels by chance, labels at random."""
    rng = np.random.default_rng(8)
    block = survey(8, rows)
    truth = rng.choice(3, rows, p=[0.3, 0.1, 0.6])
    right = rng.random(rows) < 0.92
    codes = np.where(right, truth, rng.choice(3, rows))
    said = np.where(right, rng.uniform(0.7, 1.0, rows), rng.uniform(0.5, 0.8, rows))
    calibrated = np.repeat(((1 - said) / 2)[:, None], 3, axis=1)
    calibrated[np.arange(rows), codes] = said
    labels = SampleLabels(
        np.where(rng.random(rows) < np.array([0.1, 0.4, 0.1])[truth], truth, -1),
        np.full(rows, "test"),
        np.full(rows, -1),
    )
    probabilities = calibrated.astype(np.float32)
    scores = Scores(probabilities, codes, probabilities.max(axis=1), said, CLASSES)
    magnitude = rng.uniform(18.0, 22.0, rows).astype(np.float32)
    magnitude[-10:] = 17.0
    whole = replace(
        block,
        scores=scores,
        calibrated=probabilities,
        labels={"sdss": labels},
        reference_magnitude=magnitude,
    )
    return whole, truth


def reduction_of(context):
    return next(each for each in reductions_for(context) if each.name == "quasar_corrected")


def test_the_table_finds_the_quasars_of_a_block(survey, context):
    block, truth = known_sky(survey)
    reduction = reduction_of(context)
    rows = reduction.finish(reduction.local(block), context).to_pylist()
    assert sorted({row["p_min"] for row in rows}) == list(CUTS)
    selected = block.scores.codes == 1
    for row in rows:
        r = block.reference_magnitude
        inside = (r > row["r_low"]) & (r <= row["r_high"])
        cut = inside & selected & (block.calibrated[:, 1] >= np.float32(row["p_min"]))
        assert row["count"] == np.count_nonzero(cut)
        assert row["labels"] == np.count_nonzero(inside & (block.labels["sdss"].codes == 1))
        assert row["why"] == ""
        assert row["estimate"] == pytest.approx(np.sum(inside & (truth == 1)), rel=0.2)
        assert row["estimate_low"] < row["estimate"] < row["estimate_high"]
        area = row["estimate"] / row["per_sq_deg"]
        brighter = np.sum((truth == 1) & (r <= row["r_high"]))
        assert row["cumulative_per_sq_deg"] * area == pytest.approx(brighter, rel=0.15)


def test_bins_without_labels_get_no_number_and_end_the_sum(survey, context):
    block, _ = known_sky(survey)
    labels = block.labels["sdss"]
    codes = np.where(block.reference_magnitude > 21.0, -1, labels.codes)
    block = replace(block, labels={"sdss": replace(labels, codes=codes)})
    reduction = reduction_of(context)
    rows = reduction.finish(reduction.local(block), context).to_pylist()
    for row in rows:
        numbers = [row["estimate"], row["per_sq_deg_low"], row["cumulative_per_sq_deg"]]
        assert np.isnan(numbers).all() == (row["r_high"] == 22.0)
        assert bool(row["why"]) == (row["r_high"] == 22.0)


def test_held_out_rows_tell_of_the_network_and_count_nothing(survey, context):
    block, _ = known_sky(survey)
    labels = block.labels["sdss"]
    again = replace(block, labels={"sdss": replace(labels, fold=np.zeros(len(block), np.int64))})
    block = replace(block, labels={"sdss": replace(labels, split=np.full(len(block), ""))})
    reduction = reduction_of(context)
    states = [reduction.local(each) for each in (block, again)]
    rows = reduction.finish(merge_all(reduction, states), context).to_pylist()
    whole, _ = known_sky(survey)
    assert rows == reduction.finish(reduction.local(whole), context).to_pylist()


def test_without_a_quasar_class_there_is_no_row(survey, context):
    reduction = reduction_of(replace(context, quasar_class="NOVA"))
    assert reduction.finish(reduction.local(survey(1, 50)), context).num_rows == 0


def test_the_faintest_corrected_density_is_quoted(survey, context):
    block, _ = known_sky(survey)
    labels = block.labels["sdss"]
    codes = np.where(block.reference_magnitude > 21.0, -1, labels.codes)
    reduction = reduction_of(context)
    faint = replace(block, labels={"sdss": replace(labels, codes=codes)})
    found = quoted(reduction.finish(reduction.local(faint), context))
    assert (found["p_min"], found["brighter_than"]) == (QUOTED_CUT, 21.0)
    assert found["per_sq_deg_low"] < found["per_sq_deg"] < found["per_sq_deg_high"]
    nothing = replace(block, labels={})
    assert quoted(reduction.finish(reduction.local(nothing), context)) is None
