"""What a network says of other surveys' sources: counts that merge, shares, agreement."""

import numpy as np
import pytest

from kidsclf.experiments.external import (
    Cuts,
    Members,
    count_members,
    tabulate_agreement,
    tabulate_redshifts,
    tabulate_shares,
)
from kidsclf.experiments.told import told_external
from kidsclf.reduce.law import add_states, from_json, to_json

CLASSES = ("STAR", "QSO", "GALAXY")
CUTS = Cuts(0.04, 0.8)
STARS, QUASARS, GALAXIES = 0, 1, 2


@pytest.fixture
def galaxies() -> Members:
    return Members(
        np.full(6, GALAXIES),
        np.array([STARS, GALAXIES, GALAXIES, QUASARS, GALAXIES, -1]),
        np.array([0.5, 0.9, 0.99, 0.95, 0.4, np.nan], np.float32),
        np.array([0.001, 0.04, 0.2, 1.5, np.nan, 0.3], np.float32),
    )


def shares(state, **published) -> dict:
    table = tabulate_shares(state, "mnn", CLASSES, published.get("beside", {}))
    return {(row["of"], row["predicted_class"]): row for row in table.to_pylist()}


def test_shares_are_of_all_and_of_those_beyond_the_cut(galaxies) -> None:
    state = count_members({"gama": galaxies}, CLASSES, CUTS)
    found = shares(state, beside={("GALAXY", "all"): {"GALAXY": 0.977}})
    assert found["all", "GALAXY"]["count"] == 3
    assert found["all", "GALAXY"]["share"] == 0.5
    assert found["all", "GALAXY"]["published"] == 0.977
    assert found["all", "UNCLASSIFIED"]["count"] == 1
    assert found["cut", "STAR"]["count"] == 0
    assert found["cut", "STAR"]["sources"] == 4, "0.04 itself counts, an unknown redshift does not"
    assert found["far", "QSO"]["share"] == 1.0


def test_the_answer_does_not_depend_on_how_sources_are_spread_over_partitions(galaxies) -> None:
    rng = np.random.default_rng(1)
    n = 300
    many = Members(
        rng.integers(0, 3, n), rng.integers(-1, 3, n), rng.random(n).astype(np.float32),
        rng.uniform(-0.01, 5, n).astype(np.float32),
    )  # fmt: skip
    whole = count_members({"a": many}, CLASSES, CUTS)
    merged: dict = {}
    for rows in np.array_split(rng.permutation(n), 5):
        some = Members(
            many.codes[rows], many.predicted[rows], many.p_max[rows], many.redshift[rows]
        )
        state = from_json(to_json(count_members({"a": some}, CLASSES, CUTS)))
        merged = add_states(merged, state)
    assert merged == whole
    inside = (many.redshift >= -0.05) & (many.redshift < 4)
    assert sum(tabulate_redshifts(whole, "mnn", CLASSES)["count"].to_pylist()) == inside.sum()


def test_agreement_is_of_those_that_reach_the_threshold(galaxies) -> None:
    table = tabulate_agreement(count_members({"g": galaxies}, CLASSES, CUTS), "mnn")
    rows = {row["threshold"]: row for row in table.to_pylist()}
    assert rows[0.0]["kept"] == 5, "a source without a class reaches none"
    assert rows[0.0]["agreement"] == pytest.approx(3 / 5)
    assert rows[0.9]["kept"] == 3, "a probability of 0.9 reaches 0.9"
    assert rows[0.9]["agreement"] == pytest.approx(2 / 3)
    assert rows[0.9]["kept_fraction"] == pytest.approx(3 / 6)


def test_redshifts_are_binned_by_predicted_class(galaxies) -> None:
    table = tabulate_redshifts(count_members({"g": galaxies}, CLASSES, CUTS), "mnn", CLASSES)
    rows = {(row["z_low"], row["predicted_class"]): row["count"] for row in table.to_pylist()}
    assert rows == {(0.0, "STAR"): 1, (0.0, "GALAXY"): 1, (0.2, "GALAXY"): 1,
                    (1.5, "QSO"): 1, (0.3, "UNCLASSIFIED"): 1}  # fmt: skip


def test_numbers_stand_beside_the_papers(galaxies) -> None:
    quasars = Members(
        np.full(4, QUASARS), np.array([1, 1, 1, 2]), np.array([0.95, 0.5, 0.5, 0.95], np.float32),
        np.full(4, np.nan, np.float32),
    )  # fmt: skip
    state = count_members({"gama": galaxies, "other": quasars}, CLASSES, CUTS)
    table = tabulate_shares(state, "mnn", CLASSES, {("GALAXY", "all"): {"GALAXY": 0.977}})
    lines = told_external(
        table, tabulate_agreement(state, "mnn"), {"recall of stars": "no sample"}, ["a note"]
    )
    text = "\n".join(lines)
    assert "Feng 97.70 %" in text
    assert "  galaxy or quasar     3   75.00 %   Feng 99.74 %" in lines
    assert "75.00 % of 4 are quasars here too   Feng 79 %" in text
    assert "p >= 0.9: 50.00 % of 2 are not   Feng about 6 %" in text
    assert "recall of stars: no answer, for no sample" in lines
    assert lines[-1] == "a note"
