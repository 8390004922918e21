"""Views across right ascension 0 and at the pole, and what is read for them."""

import numpy as np
import pytest
from small_sky import drawn_explored, drawn_sources

from kidsclf.explorer import sources
from kidsclf.explorer.answers import Answers
from kidsclf.explorer.density import Density
from kidsclf.explorer.guard import Guard
from kidsclf.explorer.patience import Patience
from kidsclf.explorer.remembered import Remembered
from kidsclf.pipeline.query_partition import Question, Range
from kidsclf.sky.cap import separation_deg
from kidsclf.sky.cone import Cone

VIEWS = [
    (0.0, 0.0, 0.3),
    (359.9, 0.5, 0.5),
    (120.0, 90.0, 0.2),
    (300.0, 89.8, 0.4),
    (1.0, 0.0, 180.0),
]


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    return drawn_explored(tmp_path_factory.mktemp("sky") / "work")


@pytest.fixture
def opened(monkeypatch):
    """The partitions that sources were read from."""
    found = []
    real = sources.find_rows

    def noted(store, question, columns, partition):
        found.append(partition)
        return real(store, question, columns, partition)

    monkeypatch.setattr(sources, "find_rows", noted)
    return found


def asked(ra, dec, radius, **more):
    return {"ra": str(ra), "dec": str(dec), "radius": str(radius)} | more


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("faintest", [None, 20.0])
def test_a_view_anywhere_shows_what_lies_there_and_opens_no_more(explored, opened, view, faintest):
    ra, dec, radius = view
    table = drawn_sources()
    apart = separation_deg(table["ra"].to_numpy(), table["dec"].to_numpy(), ra, dec)
    inside = apart <= radius
    if faintest is not None:
        inside &= table["r"].to_numpy() <= np.float32(faintest)
    filters = {} if faintest is None else {"mag_max": str(faintest)}
    found = Answers(explored, None).view(asked(ra, dec, radius, **filters))
    assert found["kind"] == "sources"
    names = table.filter(inside)["name"].to_pylist()
    assert [each["name"] for each in found["sources"]] == names
    assert len(names) > 0
    index = table["_healpix_29"].to_numpy()
    held = {p for p in explored.partitions if p.contains(index[inside]).any()}
    assert held <= set(opened)
    if faintest is not None and radius == 180.0:
        counted = table.filter(table["r"].to_numpy() <= np.float32(faintest))["_healpix_29"]
        assert set(opened) == {
            p for p in explored.partitions if p.contains(counted.to_numpy()).any()
        }


def test_an_empty_view_opens_nothing_again(explored, opened):
    found = Answers(explored, None).view(asked(1.0, 0.0, 180.0, mag_max="17"))
    assert (found["kind"], found["count"], opened) == ("sources", 0, [])


def test_sources_that_take_too_long_are_shown_as_cells(explored, opened):
    view, whole = asked(1.0, 0.0, 180.0), Answers(explored, None)
    assert whole.view(view)["kind"] == "sources"
    opened.clear()
    found = whole.view(view, gone=lambda: True)
    assert (found["kind"], found["complete"], found["count"]) == ("cells", True, 400)
    assert len(opened) == 1 < len(explored.partitions)


def test_what_nobody_waits_for_is_left_off(explored):
    cone, question = Cone(0.0, 0.0, 180.0), Question()
    found = Density(explored).cells(cone, question, Patience(60.0, lambda: True))
    assert (found.looked_at, found.complete) == (1, False)


def test_nothing_is_counted_twice(explored, monkeypatch):
    density, read = Density(explored), []
    real = density._count_partition
    monkeypatch.setattr(density, "_count_partition", lambda *each: read.append(each) or real(*each))
    cone, question = Cone(0.0, 0.0, 180.0), Question(ranges=(Range("r", 18.0),))
    whole = density.cells(cone, question, Patience(60.0))
    assert whole.complete
    assert whole.total == 400
    again = density.cells(cone, question, Patience(0.0))
    assert len(read) == len(explored.partitions)
    np.testing.assert_array_equal(again.counts, whole.counts)


def test_counting_goes_on_where_it_was_left_off(explored):
    density, cone = Density(explored), Cone(0.0, 0.0, 180.0)
    looked = [density.cells(cone, Question(), Patience(0.0)) for _ in explored.partitions]
    assert [each.looked_at for each in looked] == list(range(1, len(looked) + 1))
    assert (looked[-1].complete, looked[-1].total) == (True, 400)


def test_what_is_remembered_has_a_bound():
    kept = Remembered(100)
    pair = (np.zeros(3, np.int64), np.zeros(4, np.int32))
    for key in "abc":
        kept.keep(key, pair)
        assert kept.get("a" if key != "c" else "c") is not None
    assert (kept.bytes, kept.get("b") is None) == (80, True)
    kept.keep("a", pair)
    assert kept.bytes == 80
    kept.keep("large", (np.zeros(30, np.int64), np.zeros(0, np.int32)))
    assert (kept.bytes, kept.get("large")) == (80, None)


def test_the_reach_of_a_survey_that_is_not_yet_counted_holds_all_of_it(explored):
    seen = Answers(explored, None).run({}, gone=lambda: True)
    assert seen["rows"] is None
    table, sky = drawn_sources(), seen["sky"]
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    assert (separation_deg(ra, dec, sky["ra"], sky["dec"]) <= sky["reach"]).all()
    assert sky["reach"] < 70


def test_browsers_leave_port_80_out_of_their_headers():
    for port, host in ((80, "127.0.0.1"), (80, "localhost"), (5011, "localhost:5011")):
        guard = Guard(port)
        assert guard.refuses_host(host) is None
        assert guard.refuses_host("evil.example") is not None
        sent = {"Origin": f"http://{host}", "Content-Type": "application/json"}
        assert guard.refuses_write(sent, b"{}") is None
    assert Guard(5011).refuses_host("localhost") is not None
