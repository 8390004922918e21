"""Cutting a block of scored sources."""

from dataclasses import fields, replace

import numpy as np
import pytest
from tools.check_corrected_counts import natural_sky

from kidsclf.schema import Scores

KEPT = {"partition", "bands"}
MAYBE = {"reference_error"}
HOLDERS = {"scores", "labels", "shapes"}


def columns(block):
    """Every column by a name of its own; a new field of a block has to be one, or named above."""
    plain = {each.name for each in fields(block)} - KEPT - HOLDERS
    plain -= {name for name in MAYBE if getattr(block, name) is None}
    found = {name: getattr(block, name) for name in plain} | dict(block.shapes)
    for name in {each.name for each in fields(Scores)} - {"classes"}:
        found[f"scores.{name}"] = getattr(block.scores, name)
    for sample, labels in block.labels.items():
        found |= {f"{sample}.{each.name}": getattr(labels, each.name) for each in fields(labels)}
    return found


@pytest.mark.parametrize("rows", [np.array([5, 2, 2]), np.arange(40) % 3 == 1])
def test_taking_rows_cuts_every_column(survey, rows):
    block = survey(3, 40)
    block = replace(block, reference_error=np.linspace(0, 1, 40, dtype=np.float32))
    whole, taken = columns(block), columns(block.take(rows))
    assert {"novelty", "training_distance", "gini", "scores.entropy", "gama.fold"} < set(whole)
    assert set(taken) == set(whole)
    for name, column in whole.items():
        assert len(column) == 40, name
        np.testing.assert_array_equal(taken[name], column[rows], name)
    assert all(getattr(block.take(rows), name) == getattr(block, name) for name in KEPT)


def test_columns_of_different_lengths_are_refused(survey):
    block = survey(3, 4)
    for changed in (
        {"novelty": block.novelty[:3]},
        {"scores": replace(block.scores, entropy=block.scores.entropy[:3])},
        {"shapes": {"gini": block.shapes["gini"][:3]}},
        {"labels": {"sdss": replace(block.labels["sdss"], fold=np.zeros(3, np.int64))}},
    ):
        with pytest.raises(ValueError, match="columns of different lengths"):
            replace(block, **changed)


def test_the_check_of_corrected_counts_cuts_a_block_to_the_natural_sky(survey):
    block = survey(3, 40)
    rows = np.arange(40) < 30
    natural = natural_sky(block, rows)
    assert (len(natural), natural.labels, natural.shapes) == (30, {}, {})
    np.testing.assert_array_equal(natural.novelty, block.novelty[:30])
