"""The best of doubled rows is kept, whatever the order they come in."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.ingest import drop_duplicates

NAN = float("nan")


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


def test_the_smallest_error_is_kept_and_the_order_stays():
    rows = [("b", 0.3, 1.0), ("a", NAN, 2.0), ("b", 0.1, 3.0), ("c", 0.2, 4.0), ("a", 9.0, 5.0)]
    found, count = drop_duplicates(table(rows), "r")
    assert found["number"].to_pylist() == [3.0, 4.0, 5.0]
    assert (count.step, count.rows_in, count.rows_cut, count.rows_out) == ("duplicates", 5, 2, 3)


def test_rows_without_a_name_are_no_duplicates():
    found, count = drop_duplicates(table([(None, 0.1, 1.0), (None, 0.1, 1.0)]), "r")
    assert found.num_rows == 2
    assert count.rows_cut == 0


def test_one_name_at_two_places_is_two_sources():
    rows = [("a", 0.1, 1.0), ("a", 0.2, 2.0)]
    assert drop_duplicates(table(rows, [10.0, 10.0 + 1e-9]), "r")[0].num_rows == 1
    assert drop_duplicates(table(rows, [10.0, 10.01]), "r")[0].num_rows == 2


@settings(deadline=None)
@given(st.floats(0, 360, exclude_max=True), st.floats(0, 0.9), st.floats(1.1, 100))
def test_the_same_place_is_an_arcsecond_wherever_it_is(ra, near, far):
    rows = [("a", 0.1, 1.0), ("a", 0.2, 2.0), ("a", 0.3, 3.0)]
    places = [(ra + offset / 3600) % 360.0 for offset in (0.0, near, -far)]
    found, _ = drop_duplicates(table(rows, places), "r")
    assert found["number"].to_pylist() == [1.0, 3.0]


def test_nothing_doubled_and_nothing_at_all():
    assert drop_duplicates(table([("a", 0.1, 1.0), ("b", 0.1, 1.0)]))[0].num_rows == 2
    assert drop_duplicates(table([]), "r")[0].num_rows == 0


ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([0.1, 0.2, NAN]), st.integers(0, 3)),
    max_size=20,
)


@settings(deadline=None)
@given(ROWS, st.randoms())
def test_the_answer_does_not_depend_on_the_order(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = (drop_duplicates(table(r), "r")[0] for r in (rows, shuffled))
    assert sorted(map(str, one.to_pylist())) == sorted(map(str, other.to_pylist()))
    assert sorted(one["name"].to_pylist()) == sorted({name for name, _, _ in rows})
    for row in one.to_pylist():
        errors = [e for name, e, _ in rows if name == row["name"]]
        best = np.nanmin(errors) if not np.isnan(errors).all() else NAN
        np.testing.assert_equal(np.float32(row["mag_err_r"]), np.float32(best))
