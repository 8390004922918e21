"""Corrected numbers against skies whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from tools.check_unfolding import CHANCES, SKY, TWICE_AS_COMMON, coverage, simulated

from kidsclf.reduce import merge_all, reductions_for
from kidsclf.reduce.block import SampleLabels
from kidsclf.reduce.corrected import CUTS, QUOTED_CUT, UNSOLVED, quoted
from kidsclf.reduce.unfolding import Doubts, unfold
from kidsclf.schema import Scores

CLASSES = ("STAR", "QSO", "GALAXY")
DOUBTS = Doubts.drawn(np.random.default_rng(0))


def test_bounds_hold_the_truth_as_often_as_they_say():
    selections = [simulated(seed) for seed in range(200)]
    # 200 skies: one standard deviation is 3.3 %. The factor of contaminants that are in truth as
    # common as the labels say makes the bounds somewhat too wide.
    assert 0.66 < coverage(selections) < 0.9
    assert coverage(selections, 0.95) > 0.93
    numbers = [unfold(each, DOUBTS, np.random.default_rng(1)).number for each in selections]
    assert np.mean(numbers) == pytest.approx(SKY[1], rel=0.05)


def test_contaminants_twice_as_common_as_the_labels_say_are_within_the_bounds():
    selections = [simulated(seed, sky=TWICE_AS_COMMON) for seed in range(200)]
    assert coverage(selections, 0.95) > 0.85


def test_the_purity_is_that_of_the_sky_and_not_of_the_labelled_mix():
    selections = [simulated(seed) for seed in range(40)]
    found = [unfold(each, DOUBTS, np.random.default_rng(1)) for each in selections]
    of_labels = [each.matrix[1, 1] / each.matrix[:, 1].sum() for each in selections]
    true = SKY[1] * CHANCES[1, 1] / (SKY @ CHANCES[:, 1])
    assert np.mean(of_labels) > 0.95
    assert true < 0.85
    assert np.mean([each.purity for each in found]) == pytest.approx(true, abs=0.07)


def test_few_labels_give_no_number():
    selection = simulated(1)
    few = replace(selection, labelled=np.array([100, 19, 400]))
    assert few.why_not(CLASSES) == "fewer than 20 labelled QSO in the bin"
    few = replace(selection, labelled=np.array([100, 190, 30]))
    assert "too few labelled GALAXY" in few.why_not(CLASSES)
    assert selection.why_not(CLASSES) == ""
    matrix = selection.matrix.copy()
    matrix[1, 1] = 0
    missed = replace(selection, matrix=matrix)
    assert missed.why_not(CLASSES) == "no labelled QSO in the bin is selected"


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


NUMBERS = ("purity", "completeness", "estimate", "per_sq_deg")


def numbers_of(row, *names):
    return [row[name + bound] for name in names for bound in ("", "_low", "_high")]


def test_a_cut_that_no_labelled_quasar_passes_gives_no_number(survey, context):
    block, truth = known_sky(survey)
    r = block.reference_magnitude
    calibrated = block.calibrated.copy()
    calibrated[(r <= 19.0) & (truth == 1) & (block.labels["sdss"].codes == 1), 1] = 0.94
    reduction = reduction_of(context)
    found = reduction.finish(reduction.local(replace(block, calibrated=calibrated)), context)
    for row in found.to_pylist():
        missed = row["p_min"] == 0.95 and row["r_high"] == 19.0
        assert row["why"] == ("no labelled QSO in the bin is selected" if missed else "")
        assert np.isnan(numbers_of(row, *NUMBERS)).all() == missed
        # Fainter sums hold what the bin counts, as those of any bin before the first corrected.
        assert np.isnan(numbers_of(row, "cumulative_per_sq_deg")).all() == missed


def test_classes_that_labels_do_not_tell_apart_give_no_number(survey, context):
    block, _ = known_sky(survey)
    codes = block.scores.codes
    star_for_none = (block.labels["sdss"].codes >= 0) & (codes == 0)
    scores = replace(block.scores, codes=np.where(star_for_none, 2, codes))
    reduction = reduction_of(context)
    rows = reduction.finish(reduction.local(replace(block, scores=scores)), context).to_pylist()
    assert {row["why"] for row in rows} == {UNSOLVED}
    for row in rows:
        assert np.isnan(numbers_of(row, *NUMBERS, "cumulative_per_sq_deg")).all()


def test_without_an_area_there_are_numbers_and_no_densities(survey, context):
    block, _ = known_sky(survey)
    reduction = reduction_of(context)
    block = replace(block, index29=np.zeros(len(block), np.int64))
    for row in reduction.finish(reduction.local(block), context).to_pylist():
        assert row["labels"] > 20
        assert np.isfinite(numbers_of(row, "purity", "completeness", "estimate")).all()
        assert np.isnan(numbers_of(row, "per_sq_deg", "cumulative_per_sq_deg")).all()


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
