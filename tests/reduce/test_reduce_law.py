"""The law: any partitioning, any order, any shape of the tree give the same table to the bit."""

import doctest
import importlib
import pkgutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kidsclf.reduce
from kidsclf.errors import StoreError
from kidsclf.reduce import (
    Context,
    from_json,
    merge_all,
    reductions_for,
    to_json,
    with_network,
)
from kidsclf.reduce.questions import QUESTIONS

quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = [
    *("classification", "confusion", "thresholds", "reliability", "calibration"),
    *("prediction_sets", "wanted", "novelty_accuracy", "novelty_counts"),
    *("class_counts", "p_max", "quasar_counts", "quasar_fields", "quasar_corrected"),
    *("distributions", "colour_colour", "morphology", "sky", "gallery", "rows", "area"),
]


def text(table):
    """NaN equals NaN in text, and floats are written to the last bit."""
    return repr((table.schema, table.to_pylist()))


def of_name(context, name):
    return next(r for r in reductions_for(context) if r.name == name)


def test_names_are_those_of_the_tables(context):
    assert [reduction.name for reduction in reductions_for(context)] == NAMES
    assert len(QUESTIONS) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
@quick
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 400),
    max_rows=st.integers(1, 200),
    folds=st.sampled_from([0, 3]),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_table_does_not_depend_on_the_partitioning(
    survey, split, context, name, seed, rows, max_rows, folds, shuffle
):
    reduction = of_name(context, name)
    whole = survey(seed, rows, folds)
    coarse = [reduction.local(block) for block in split(whole, rows + 1)]
    fine = [reduction.local(block) for block in split(whole, max_rows)]
    shuffle.shuffle(fine)
    one = reduction.finish(merge_all(reduction, coarse), context)
    other = reduction.finish(merge_all(reduction, fine), context)
    assert text(one) == text(other)


@pytest.mark.parametrize("name", NAMES)
@quick
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(3, 300), cut=st.data())
def test_merge_is_associative_and_commutative_and_empty_is_neutral(
    survey, split, context, name, seed, rows, cut
):
    reduction = of_name(context, name)
    blocks = split(survey(seed, rows), 20)
    states = [reduction.local(block) for block in blocks]
    before = [to_json(state) for state in states]
    part = st.integers(0, 2)
    parts = cut.draw(st.lists(part, min_size=len(states), max_size=len(states)))
    first, second, third = (
        merge_all(reduction, [s for s, p in zip(states, parts, strict=True) if p == number])
        for number in range(3)
    )
    merge = reduction.merge
    left = merge(merge(first, second), third)
    right = merge(first, merge(second, third))
    assert to_json(left) == to_json(right) == to_json(merge(third, merge(second, first)))
    assert to_json(merge(reduction.empty, left)) == to_json(left)
    assert to_json(merge(left, reduction.empty)) == to_json(left)
    assert [to_json(state) for state in states] == before, "merge must not change its arguments"


@pytest.mark.parametrize("name", NAMES)
def test_a_state_survives_json(survey, context, name):
    reduction = of_name(context, name)
    state = reduction.local(survey(3, 500, 3))
    again = from_json(to_json(state))
    assert to_json(again) == to_json(state)
    assert text(reduction.finish(again, context)) == text(reduction.finish(state, context))


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_kilobytes_whatever_the_rows(survey, subset, context, name):
    reduction = of_name(context, name)
    block = survey(5, 20_000)
    repeated = subset(block, np.tile(np.arange(len(block)), 5), block.partition)
    size = len(to_json(reduction.local(block)))
    assert size < 250_000
    assert len(to_json(reduction.local(repeated))) <= 1.2 * size


@pytest.mark.parametrize("name", NAMES)
def test_nothing_gives_an_empty_table_with_the_same_columns(survey, context, name):
    reduction = of_name(context, name)
    empty = reduction.finish(reduction.empty, context)
    assert empty.num_rows == 0
    assert empty.schema == reduction.finish(reduction.local(survey(1, 200)), context).schema


def test_two_classes_and_other_bands_are_no_special_case(survey, subset):
    whole = survey(1, 300)
    two = Context(("STAR", "QSO", "GALAXY"), "sdss", (19.0, 21.0), (0.5,), quasar_class="AGN")
    tables = {r.name: r.finish(r.local(whole), two) for r in reductions_for(two)}
    assert tables["quasar_counts"].num_rows == 0
    other = Context(two.classes, "sdss", (19.0, 21.0), (0.5,), colours=(("g", "r"), ("r", "Ks")))
    assert of_name(other, "colour_colour").local(whole) == {}


def test_scores_of_other_classes_are_refused(survey, context):
    reduction = of_name(Context(("STAR", "GALAXY"), "sdss", (19.0, 21.0), ()), "rows")
    with pytest.raises(StoreError, match=r"ask for the classes STAR, GALAXY.*run infer again"):
        reduction.local(survey(1, 10))


def test_a_label_code_that_is_no_class_is_refused(survey, context):
    block = survey(1, 10)
    block.labels["gama"].codes[3] = 7
    with pytest.raises(StoreError, match=r"sample gama.*class code 7; run match again"):
        of_name(context, "rows").local(block)


def test_columns_of_different_lengths_are_a_bug(survey, subset):
    block = survey(1, 10)
    with pytest.raises(ValueError, match="different lengths"):
        replace(block, ra=block.ra[:5])


def test_the_network_stands_before_the_other_columns(survey, context):
    table = of_name(context, "rows").finish(of_name(context, "rows").local(survey(1, 10)), context)
    named = with_network(table, "mnn")
    assert named.column_names == ["network", *table.column_names]
    assert set(named["network"].to_pylist()) == {"mnn"}


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(kidsclf.reduce.__path__)])
def test_the_examples_in_the_docstrings_hold(module):
    result = doctest.testmod(importlib.import_module(f"kidsclf.reduce.{module}"))
    assert result.failed == 0
