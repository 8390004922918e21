"""Accuracy and numbers by novelty are what counting source by source gives."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from kidsclf.reduce import reductions_for
from kidsclf.reduce.metrics import binomial_interval
from kidsclf.reduce.novelty import EDGES


def table(context, name, block):
    reduction = next(each for each in reductions_for(context) if each.name == name)
    return reduction.finish(reduction.local(block), context).to_pylist()


def inside(row, block):
    r = block.reference_magnitude
    in_r = (r > row["r_low"]) & (r <= row["r_high"]) | math.isnan(row["r_low"])
    low, high = np.float32(row["novelty_low"]), np.float32(row["novelty_high"])
    return in_r & (block.novelty >= low) & (block.novelty < high)


def test_accuracy_is_that_of_the_labelled_sources_of_each_bin(survey, context):
    block = survey(4, 3000)
    rows = table(context, "novelty_accuracy", block)
    label = block.labels["sdss"]
    judged = (label.codes >= 0) & (label.split == "test")
    of_sample = [row for row in rows if row["sample"] == "sdss"]
    for row in of_sample:
        picked = judged & inside(row, block)
        codes = block.scores.codes[picked]
        assert row["count"] == np.count_nonzero(picked)
        assert row["correct"] == np.count_nonzero(codes == label.codes[picked])
        assert row["accuracy"] == row["correct"] / row["count"]
        bounds = (row["accuracy_low"], row["accuracy_high"])
        assert bounds == binomial_interval(row["correct"], row["count"])
        answered = picked & (block.scores.codes >= 0)
        said = block.calibrated[answered, block.scores.codes[answered]]
        assert row["p_mean"] == pytest.approx(said.mean(dtype=float), abs=1e-8)
    everywhere = [row for row in of_sample if math.isnan(row["r_low"])]
    total = np.count_nonzero(judged & np.isfinite(block.novelty))
    assert sum(row["count"] for row in everywhere) == total
    assert [(r["novelty_low"], r["novelty_high"]) for r in everywhere] == [*pairwise(EDGES)]


def test_counts_are_those_of_the_catalogue(survey, context):
    block = survey(5, 2000)
    rows = table(context, "novelty_counts", block)
    names = np.array([*context.classes, "UNCLASSIFIED"])[block.scores.codes]
    for row in rows:
        assert row["count"] == np.count_nonzero(inside(row, block) & (names == row["class"]))
    everywhere = sum(row["count"] for row in rows if math.isnan(row["r_low"]))
    assert everywhere == np.count_nonzero(np.isfinite(block.novelty))


def test_a_bin_begins_at_its_edge_as_the_catalogue_has_it(survey, context):
    """0.99 as a 32-bit number, which the flag compares too, stands in the last bin."""
    block = survey(6, 50)
    block = replace(block, novelty=np.full(50, 0.99, np.float32))
    rows = table(context, "novelty_counts", block)
    assert {row["novelty_low"] for row in rows} == {0.99}


def test_without_photometry_there_is_no_novelty(survey, context):
    block = survey(7, 60)
    block = replace(block, novelty=np.full(60, np.nan, np.float32))
    assert table(context, "novelty_counts", block) == []
    assert table(context, "novelty_accuracy", block) == []
