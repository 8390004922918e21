"""The best of doubled rows is kept, whatever the order they come in."""

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.ingest.duplicates import DuplicateRule, doubled_rows, duplicates_cut

NAN = float("nan")
NAMED = DuplicateRule(reference_band="r")
PLACED = DuplicateRule("position", 1.0, "r", "tile")


def table(rows, ra=10.0) -> pa.Table:
    names, errors, numbers = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "name": pa.array(names, pa.string()),
            "ra": pa.array(np.broadcast_to(ra, len(rows)), pa.float64()),
            "dec": pa.array(np.full(len(rows), 0.01), pa.float64()),
            "number": pa.array(numbers, pa.float64()),
            "mag_err_r": pa.array(errors, pa.float32()),
        }
    )


def drop_duplicates(rows: pa.Table, rule: DuplicateRule):
    """Leave doubled rows out, and count them."""
    doubled = doubled_rows(rows, rule)
    return rows.filter(pa.array(~doubled)), duplicates_cut(doubled, rule)


def test_the_smallest_error_is_kept_and_the_order_stays():
    rows = [("b", 0.3, 1.0), ("a", NAN, 2.0), ("b", 0.1, 3.0), ("c", 0.2, 4.0), ("a", 9.0, 5.0)]
    found, count = drop_duplicates(table(rows), NAMED)
    assert found["number"].to_pylist() == [3.0, 4.0, 5.0]
    assert (count.step, count.rows_in, count.rows_cut, count.rows_out) == ("duplicates", 5, 2, 3)


def test_rows_without_a_name_are_no_duplicates():
    found, count = drop_duplicates(table([(None, 0.1, 1.0), (None, 0.1, 1.0)]), NAMED)
    assert found.num_rows == 2
    assert count.rows_cut == 0


def test_one_name_at_two_places_is_two_sources():
    rows = [("a", 0.1, 1.0), ("a", 0.2, 2.0)]
    assert drop_duplicates(table(rows, [10.0, 10.0 + 1e-9]), NAMED)[0].num_rows == 1
    assert drop_duplicates(table(rows, [10.0, 10.01]), NAMED)[0].num_rows == 2


@settings(deadline=None)
@given(st.floats(0, 360, exclude_max=True), st.floats(0, 0.9), st.floats(1.1, 100))
def test_the_same_place_is_an_arcsecond_wherever_it_is(ra, near, far):
    rows = [("a", 0.1, 1.0), ("a", 0.2, 2.0), ("a", 0.3, 3.0)]
    places = [(ra + offset / 3600) % 360.0 for offset in (0.0, near, -far)]
    found, _ = drop_duplicates(table(rows, places), NAMED)
    assert found["number"].to_pylist() == [1.0, 3.0]


def test_nothing_doubled_and_nothing_at_all():
    for rule in (NAMED, DuplicateRule()):
        two = table([("a", 0.1, 1.0), ("b", 0.1, 1.0)])
        assert drop_duplicates(two, rule)[0].num_rows == 2
        assert drop_duplicates(table([]), rule)[0].num_rows == 0


def test_a_whole_table_of_one_name_is_no_trouble():
    many = [("a", 0.1, float(k)) for k in range(20_000)]
    found, _ = drop_duplicates(table(many, np.linspace(0, 359, 20_000)), NAMED)
    assert found.num_rows == 20_000


def test_by_position_rows_of_one_tile_are_different_sources():
    rows = [("a", 0.2, 1.0), ("b", 0.1, 2.0), ("c", 0.3, 3.0), ("d", 0.4, 4.0)]
    close = table(rows, np.array([10.0, 10.0, 10.0, 10.1]))
    tiles = {"one and the same": [1, 1, 1, 1], "two": [1, 1, 2, 2], "none": [None] * 4}
    left = {
        what: drop_duplicates(close.append_column("tile", [which]), PLACED)[0]["name"].to_pylist()
        for what, which in tiles.items()
    }
    assert left == {
        "one and the same": ["a", "b", "c", "d"],
        "two": ["a", "b", "d"],
        "none": ["a", "b", "c", "d"],
    }


def test_a_row_is_doubled_by_a_better_one_that_is_doubled_itself():
    """Else the answer would depend on rows further away than the radius, one after the other."""
    rows = [("a", 0.1, 1.0), ("b", 0.2, 2.0), ("c", 0.3, 3.0)]
    chain = table(rows, 10.0 + np.array([0.0, 0.8, 1.6]) / 3600).append_column("tile", [[1, 2, 3]])
    assert doubled_rows(chain, PLACED).tolist() == [False, True, True]


ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([0.1, 0.2, NAN]), st.integers(0, 3)),
    max_size=20,
)


@settings(deadline=None)
@given(ROWS, st.randoms())
def test_the_answer_does_not_depend_on_the_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = (drop_duplicates(table(r), NAMED)[0] for r in (rows, shuffled))
    assert sorted(map(str, one.to_pylist())) == sorted(map(str, other.to_pylist()))
    assert sorted(one["name"].to_pylist()) == sorted({name for name, _, _ in rows})
    for row in one.to_pylist():
        errors = [e for name, e, _ in rows if name == row["name"]]
        best = np.nanmin(errors) if not np.isnan(errors).all() else NAN
        np.testing.assert_equal(np.float32(row["mag_err_r"]), np.float32(best))


@pytest.mark.parametrize("rule", [NAMED, PLACED], ids=["identifier", "position"])
@pytest.mark.parametrize("dec", [0.0, 60.0, 89.9999, -90.0])
def test_pairs_are_those_of_astropy(rule, dec):
    rng = np.random.default_rng(4)
    n = 400
    ra = (rng.normal(0, 3, n) / 3600 / max(np.cos(np.radians(dec)), 1e-4)) % 360
    places = {"ra": ra, "dec": np.clip(dec + rng.normal(0, 3, n) / 3600, -90, 90)}
    errors = rng.permutation(n).astype(np.float32)
    columns = {"name": rng.choice(list("abc"), n), **places, "mag_err_r": errors}
    columns["tile"] = rng.choice(4, n)
    sky = SkyCoord(places["ra"], places["dec"], unit="deg")
    near = sky[:, None].separation(sky[None]).arcsec <= 1.0
    group = np.array(columns["name" if rule.by == "identifier" else "tile"])
    same = group[:, None] == group[None]
    rival = near & (same if rule.by == "identifier" else ~same) & (errors[None] < errors[:, None])
    assert rival.any()
    np.testing.assert_array_equal(doubled_rows(pa.table(columns), rule), rival.any(axis=1))
