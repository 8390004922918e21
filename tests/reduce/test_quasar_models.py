"""Luminosity functions against published integrals, and against a plain double sum."""

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.reduce.context import Context
from kidsclf.reduce.luminosity import LUMINOSITY_FUNCTIONS, expected_counts, quasar_models
from kidsclf.reduce.published import quasar_published

BY_NAME = {model.name: model for model in LUMINOSITY_FUNCTIONS}
LIMITS = np.array([-np.inf, 21.0, 22.0, 23.0])


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # Palanque-Delabrouille et al. 2016, Table 7, per square degree at g < 21, 22, 23; their
        # band and K-correction differ, hence the tolerance.
        ("PD16 PLE", (76.8, 164.2, 313.0)),
        ("PD16 PLE+LEDE", (77.9, 162.7, 298.0)),
    ],
)
def test_counts_are_those_of_the_paper(name, published):
    counts = np.cumsum(expected_counts(BY_NAME[name], LIMITS))
    np.testing.assert_allclose(counts, published, rtol=0.06)


def test_the_number_of_feng_needs_a_falling_continuum():
    model = BY_NAME["PD16 PLE"]
    thousands = {
        slope: expected_counts(model, np.array([-np.inf, 22.0]), slope=slope)[0] * 1.350
        for slope in (-0.5, 0.5)
    }
    assert thousands[-0.5] == pytest.approx(226.8, rel=0.005)
    assert thousands[0.5] < 0.75 * 226.8


@pytest.mark.parametrize("model", LUMINOSITY_FUNCTIONS, ids=lambda model: model.name)
def test_bins_add_up_and_do_not_depend_on_their_width(model):
    whole = expected_counts(model, np.array([18.0, 22.0]))[0]
    parts = expected_counts(model, np.linspace(18.0, 22.0, 9))
    assert parts.sum() == pytest.approx(whole, rel=1e-4)
    assert (parts > 0).all()
    assert np.isfinite(parts).all()


def test_nothing_fainter_than_the_limit_counts():
    model = BY_NAME["PD16 PLE"]
    edges = np.array([15.0, 23.0])
    brighter = expected_counts(model, edges, faintest=-23.0)
    assert 0 < brighter[0] < expected_counts(model, edges)[0]
    assert expected_counts(model, edges, faintest=-40.0)[0] == 0.0


@pytest.mark.parametrize("model", LUMINOSITY_FUNCTIONS, ids=lambda model: model.name)
def test_density_falls_from_faint_to_bright(model):
    magnitudes = np.linspace(-29.0, -20.0, 50)
    for z in (0.5, 1.5, 2.5, 4.0):
        density = model.density(magnitudes, np.array(z))
        assert (np.diff(density) > 0).all(), z


def test_table_holds_every_model_in_the_bins_of_the_run():
    context = Context(("STAR", "QSO"), "sdss", (20.0, 21.0, 22.0), ())
    rows = quasar_models(context).to_pylist()
    assert [row["model"] for row in rows] == [m.name for m in LUMINOSITY_FUNCTIONS for _ in "ab"]
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert (first["r_low"], first["r_high"], second["r_high"]) == (20.0, 21.0, 22.0)
        grown = second["cumulative_per_sq_deg"] - first["cumulative_per_sq_deg"]
        assert grown == pytest.approx(second["per_sq_deg"])
        assert first["cumulative_per_sq_deg"] > first["per_sq_deg"]  # those brighter than r = 20


def test_what_feng_prints_stands_beside_ours():
    context = Context(("STAR", "QSO"), "sdss", (20.0, 21.0, 22.0), ())
    places = {"r_low": [20.0, 21.0], "r_high": [21.0, 22.0]}
    counts = pa.table(places | {"cumulative_per_sq_deg": [90.0, 290.0]})
    fields = pa.table(places | {"source": ["sdss"] * 2, "cumulative_median": [80.0, 150.0]})
    rows = quasar_published(counts, fields, context.training_sample).to_pylist()
    found = {}
    for row in rows:
        found.setdefault((row["source"], row["r"]), []).append(row)
    printed = {key: round(same[0]["printed"] / 1e3, 1) for key, same in found.items()}
    pd16, liu = "QLF of Palanque-Delabrouille 2016", "QLF of Liu 2022"
    stripe, feng = "SDSS Stripe 82", "Feng, KiDS DR5"
    assert printed == {
        (stripe, 21.0): 112.5,
        (stripe, 22.0): 209.5,
        (feng, 21.0): 119.5,
        (feng, 22.0): 394.5,
        (feng, 23.0): 2804.7,
        (pd16, 22.0): 226.8,
        (liu, 22.0): 584.2,
        (liu, 23.0): 788.7,
    }
    assert found[stripe, 21.0][0]["printed_per_sq_deg"] == pytest.approx(83, abs=0.5)
    assert found[stripe, 22.0][0]["ours"] == pytest.approx(150 * 1350)
    assert found[feng, 21.0][0]["ours_per_sq_deg"] == 90.0
    assert np.isnan(found[feng, 23.0][0]["ours"]), "23 is no edge of a bin of this run"
    assert [round(row["ours"] / 1e3) for row in found[pd16, 22.0]] == [227, 221, 162]
    for limit in (22.0, 23.0):
        (row,) = found[liu, limit]
        assert np.isnan(row["ours"])
        assert "could not be had" in row["note"]
