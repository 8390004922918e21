"""Cuts: each counted, missing values fail, Feng's equations."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import InputError
from kidsclf.ingest import (
    all_bands_measured,
    column_cut,
    finite_coordinates,
    gaia_motion,
    has_label,
    magnitude_limit,
    select,
    survey_cut,
)
from kidsclf.ingest.select import GAIA_MOTION_COLUMNS

NAN = float("nan")


def sample() -> pa.Table:
    return pa.table(
        {
            "name": ["a", "b", "c", "d", "e"],
            "ra": [0.0, 10.0, NAN, 20.0, 359.9],
            "dec": [0.0, -91.0, 0.0, 10.0, 90.0],
            "mag_r": pa.array([23.0, 20.0, 20.0, 23.001, NAN], pa.float32()),
            "mag_u": pa.array([20.0, 20.0, 20.0, NAN, 20.0], pa.float32()),
            "label": ["STAR", "QSO", None, "GALAXY", "SKY"],
            "ZWARNING": pa.array([0, 4, 0, None, 0], pa.int32()),
        }
    )


def kept(table: pa.Table, *cuts) -> list[str]:
    return select(table, cuts)[0]["name"].to_pylist()


def test_each_row_is_counted_once_at_the_first_cut_it_fails():
    table, counts = select(
        sample(), (finite_coordinates(), all_bands_measured(("u", "r")), magnitude_limit("r", 23.0))
    )
    assert table["name"].to_pylist() == ["a"]
    assert [(c.step, c.rows_in, c.rows_cut, c.rows_out) for c in counts] == [
        ("coordinates", 5, 2, 3),
        ("bands", 3, 2, 1),
        ("magnitude", 1, 0, 1),
    ]


def test_a_missing_magnitude_is_not_bright_enough():
    assert kept(sample(), magnitude_limit("r", 23.0)) == ["a", "b", "c"]


def test_the_limit_is_inclusive_in_the_precision_of_the_column():
    table = pa.table({"name": ["x"], "mag_r": pa.array([np.float32(23.1)], pa.float32())})
    assert kept(table, magnitude_limit("r", 23.1)) == ["x"]


@pytest.mark.parametrize(
    ("op", "value", "names"),
    [
        ("==", 0, ["a", "c", "e"]),
        ("!=", 0, ["b"]),  # the null of "d" is unknown, not "other than 0"
        (">", 0, ["b"]),
        (">=", 4, ["b"]),
        ("<", 4, ["a", "c", "e"]),
        ("<=", 4.0, ["a", "b", "c", "e"]),
        ("in", (0, 4), ["a", "b", "c", "e"]),
        ("bits_clear", 4 + 8, ["a", "c", "e"]),
        ("bits_clear", 3, ["a", "b", "c", "e"]),
    ],
)
def test_operators(op, value, names):
    assert kept(sample(), column_cut("warning", "ZWARNING", op, value)) == names
    assert kept(sample(), survey_cut("warning", ("ZWARNING",), op, value)) == names


def test_nan_fails_every_operator():
    for op in ("==", "!=", "<", "<=", ">", ">="):
        assert "e" not in kept(sample(), column_cut("r", "mag_r", op, 1.0))
    assert "e" not in kept(sample(), column_cut("r", "mag_r", "in", (20.0, NAN)))


def test_texts_are_compared_without_blanks():
    table = pa.table({"name": ["x", "y"], "CLASS": ["STAR  ", "QSO   "]})
    assert kept(table, column_cut("class", "CLASS", "==", "STAR")) == ["x"]
    assert kept(table, column_cut("class", "CLASS", "in", ("QSO",))) == ["y"]


def test_labels():
    assert kept(sample(), has_label(("STAR", "QSO", "GALAXY"))) == ["a", "b", "d"]


def test_a_value_of_the_wrong_kind_is_the_users_error():
    with pytest.raises(InputError, match=r"ZWARNING.*'zero'.*int32"):
        select(sample(), [column_cut("warning", "ZWARNING", "==", "zero")])
    with pytest.raises(InputError, match=r"bits.*mag_r.*float"):
        select(sample(), [column_cut("bits", "mag_r", "bits_clear", 1)])
    with pytest.raises(InputError, match=r"NQ"):
        select(sample(), [column_cut("quality", "NQ", ">", 2)])


def moving(*rows: tuple[float | None, ...]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = (pa.array(column, pa.float32()) for column in columns)
    table = pa.table(dict(zip(GAIA_MOTION_COLUMNS, arrays, strict=True)))
    return table.append_column("name", [[str(k) for k in range(len(rows))]])


def test_gaia_motion_by_hand():
    table = moving(
        (5.0, 1.0, 0.0, 1.0, 0.0, 1.0),  # exactly 5 sigma of parallax
        (-5.0, 1.0, 0.0, 1.0, 0.0, 1.0),  # negative counts: it is the absolute value
        (4.9, 1.0, 0.0, 1.0, 0.0, 1.0),  # no motion at all: 0/0 must not pass
        (0.0, 1.0, 3.0, 1.0, 4.0, 1.0),  # 25 / sqrt(9 + 16) = 5
        (0.0, 1.0, 3.0, 1.0, 3.9, 1.0),
        (None, None, None, None, None, None),  # two-parameter solution
        (None, None, 30.0, 1.0, 0.0, 1.0),
        (5.0, 0.0, 0.0, 1.0, 0.0, 1.0),  # an error of 0 is no error
        (NAN, NAN, NAN, NAN, NAN, NAN),
    )
    assert kept(table, gaia_motion()) == ["0", "1", "3", "6"]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(-50, 50, width=32), st.floats(0.015625, 5, width=32)] * 3), min_size=1
    )
)
def test_gaia_motion_is_fengs_equations(rows):
    table = moving(*rows)
    p, sp, a, sa, d, sd = (table[c].to_numpy().astype(float) for c in GAIA_MOTION_COLUMNS)
    with np.errstate(all="ignore"):
        expected = np.abs(p) / sp >= 5
        expected |= (a**2 + d**2) / np.sqrt(a**2 * sa**2 + d**2 * sd**2) >= 5
        at_edge = np.isclose(np.abs(p) / sp, 5, rtol=1e-12)
        at_edge |= np.isclose((a**2 + d**2) / np.hypot(a * sa, d * sd), 5, rtol=1e-12)
    found = gaia_motion().keep(table)
    assert (found == expected)[~at_edge].all()
