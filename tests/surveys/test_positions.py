"""Coordinates at the edges of the sphere and off it, and places for tables without any."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, plan_chunks, read_chunk
from kidsclf.surveys.positions import invented_positions, stated_positions

A_PLACE = (179.33780713826604, -0.7671466991001015)
BARE = {"name": "bare", "identifier": {"from_rows": True}, "position": {"ra": "ra", "dec": "dec"}}


def stated(ra, dec):
    table = pa.table({"ra": ra, "dec": dec})
    return stated_positions(table, "ra", "dec", "table")


@pytest.mark.parametrize(
    ("given_ra", "ra"),
    [
        (0.0, 0.0),
        (-0.0, 0.0),
        (359.999999, 359.999999),
        (360.0, 0.0),
        (-1e-15, 0.0),
        (-180.0, 180.0),
        (-360.0, 0.0),
        (719.5, 359.5),
        (720.0, np.nan),
        (-360.1, np.nan),
        (-999.0, np.nan),
        (9999.0, np.nan),
        (np.inf, np.nan),
        (np.nan, np.nan),
    ],
)
def test_right_ascension(given_ra, ra):
    found, dec = stated([given_ra], [10.0])
    np.testing.assert_array_equal(found, [ra])
    np.testing.assert_array_equal(dec, [np.nan if np.isnan(ra) else 10.0])


@pytest.mark.parametrize("dec", [90.0, -90.0])
def test_poles_are_places(dec):
    np.testing.assert_array_equal(stated([123.0], [dec]), [[123.0], [dec]])


@pytest.mark.parametrize("dec", [90.0000001, -91.0, -99.0, np.nan, -np.inf])
def test_beyond_the_poles_there_is_none(dec):
    assert np.isnan(stated([123.0], [dec])).all()


def test_a_null_is_no_place():
    assert np.isnan(stated([None, 1.0], [1.0, None])).all()


@settings(deadline=None)
@given(st.lists(st.floats(-359, 719), min_size=1))
def test_wrapping_changes_no_direction(ra):
    found, _ = stated(ra, [0.0] * len(ra))
    assert ((found >= 0) & (found < 360)).all()
    np.testing.assert_allclose(np.cos(np.radians(found)), np.cos(np.radians(ra)), atol=1e-12)
    np.testing.assert_allclose(np.sin(np.radians(found)), np.sin(np.radians(ra)), atol=1e-12)


def read(path, **changes) -> pa.Table:
    (chunk,) = plan_chunks([path], 10**6)
    return read_chunk(chunk, ColumnMap.model_validate(BARE | changes))


@pytest.mark.parametrize("column", ["ra", "dec"])
def test_hours_and_minutes_are_refused(tmp_path, column):
    path = tmp_path / "old.csv"
    values = {"ra": "1.5", "dec": "2.5"} | {column: "12:29:06.7"}
    path.write_text(f"ra,dec\n{values['ra']},{values['dec']}\n")
    said = rf"column {column} of {path} .* in degrees but holds texts such as '12:29:06.7'; convert"
    with pytest.raises(InputError, match=said):
        read(path)


def test_right_ascension_in_hours_is_refused_where_the_file_says_so(tmp_path):
    path = tmp_path / "hours.parquet"
    fields = [pa.field("ra", pa.float64(), metadata={"unit": "hourangle"}), ("dec", pa.float64())]
    pq.write_table(pa.table({"ra": [1.0], "dec": [2.0]}, schema=pa.schema(fields)), path)
    with pytest.raises(InputError, match=r"column ra .* in deg .* but is in hourangle"):
        read(path)


def test_invented_places_are_even_on_the_sphere():
    names = pa.array([f"x-{k}" for k in range(20_000)])
    ra, dec = invented_positions(names)
    assert ((ra >= 0) & (ra < 360) & (np.abs(dec) <= 90)).all()
    # Twelve equal areas: 1667 sources each with a spread of 39.
    counts = np.histogram2d(ra, np.sin(np.radians(dec)), bins=(4, 3))[0]
    assert np.abs(counts - 20_000 / 12).max() < 5 * 39


def test_invented_places_follow_the_name_alone():
    ra, dec = invented_positions(pa.array(["b", "a", "a"]))
    other = invented_positions(pa.array(["a"]))
    assert (ra[1], dec[1]) == (ra[2], dec[2]) == (other[0][0], other[1][0])
    assert ra[0] != ra[1]
    # Fixed for ever, so that a work directory stays true when the program is updated.
    assert (ra[1], dec[1]) == (pytest.approx(A_PLACE[0]), pytest.approx(A_PLACE[1]))


def test_a_table_without_coordinates(tmp_path):
    paths = []
    for name in ("train", "valid"):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"u": [1.0, 2.0, 3.0]}), path)
        paths.append(path)
    own = ColumnMap.model_validate(
        {
            "name": "x",
            "identifier": {"from_rows": True, "prefix": "X "},
            "position": {"invented": True},
        }
    )
    tables = [read_chunk(chunk, own, ["u"]) for chunk in plan_chunks(paths, 2)]
    names = [name for table in tables for name in table["name"].to_pylist()]
    assert names == [f"X {file}-{row}" for file in ("train", "valid") for row in range(3)]
    places = np.concatenate([table["ra"].to_numpy() for table in tables])
    assert len(np.unique(places)) == 6


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path):
    paths = []
    for folder in ("north", "south"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "part.csv"
        path.write_text("ra,dec\n1,2\n")
        paths.append(path)
    names = [read_chunk(c, ColumnMap.model_validate(BARE))["name"] for c in plan_chunks(paths, 9)]
    assert [column.to_pylist() for column in names] == [["north/part.csv-0"], ["south/part.csv-0"]]
