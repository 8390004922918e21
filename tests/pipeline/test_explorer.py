"""The explorer's answers over HTTP, beside what the tables of the run hold."""

import json
import re
import shutil
import signal
import socket
from collections import Counter

import matplotlib.image
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from explorer_client import running_explorer
from upath import UPath

from kidsclf.errors import ConfigError
from kidsclf.explorer.asked import question_asked
from kidsclf.explorer.catalogue import open_explored
from kidsclf.explorer.density import Density, order_for
from kidsclf.explorer.patience import Patience
from kidsclf.explorer.ranking import Ranking
from kidsclf.explorer.verdicts import Judged, open_verdicts
from kidsclf.pipeline.query_partition import Question
from kidsclf.run import main
from kidsclf.sky.cap import separation_deg
from kidsclf.sky.cone import Cone
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory


@pytest.fixture(scope="module")
def server(warm, explored_work):
    with running_explorer(warm, explored_work, explored_work.parent / "log") as running:
        yield running


@pytest.fixture(scope="module")
def explored(explored_work):
    return open_explored(WorkDirectory(UPath(explored_work)))


@pytest.fixture(scope="module")
def catalogue(explored_work) -> pa.Table:
    return whole(explored_work / "products/catalog")


def whole(folder) -> pa.Table:
    data = ds.dataset(folder / "dataset", exclude_invalid_files=True).to_table()
    return data.sort_by([("_healpix_29", "ascending"), ("name", "ascending")])


def middle(catalogue) -> tuple[float, float]:
    ra = (catalogue["ra"].to_numpy() + 180) % 360 - 180
    return float(np.median(ra)) % 360, float(np.median(catalogue["dec"].to_numpy()))


def test_a_view_shows_the_sources_that_the_catalogue_has_there(server, catalogue):
    ra, dec = middle(catalogue)
    apart = separation_deg(catalogue["ra"].to_numpy(), catalogue["dec"].to_numpy(), ra, dec)
    expected = catalogue.filter(pa.array(apart <= 0.05))
    found = server.get("/api/view", ra=ra, dec=dec, radius=0.05).record
    assert found["kind"] == "sources"
    assert [each["name"] for each in found["sources"]] == expected["name"].to_pylist()
    assert found["count"] == len(expected) > 20
    first = expected.to_pylist()[0]
    assert found["sources"][0]["class"] == first["class"]
    assert found["sources"][0]["_healpix_29"] == str(first["_healpix_29"])


def test_filters_choose_as_the_tables_do(server, catalogue):
    ra, dec = middle(catalogue)
    name, _ = Counter(catalogue["class"].to_pylist()).most_common(1)[0]
    surely = float(np.nanquantile(catalogue["p_max"].to_numpy(), 0.3))
    keep = pc.and_(pc.equal(catalogue["class"], name), pc.less_equal(catalogue["r"], 21.5))
    keep = pc.and_(keep, pc.greater_equal(catalogue["p_max"], surely))
    keep = pc.and_(keep, pc.equal(pc.bit_wise_and(catalogue["flags"], 64), 0))
    asked = {"class": name, "mag_max": 21.5, "p_min": surely, "without_flags": "TRAINED_ON"}
    found = server.get("/api/view", ra=ra, dec=dec, radius=20.0, **asked).record
    names = catalogue.filter(keep)["name"].to_pylist()
    assert [each["name"] for each in found["sources"]] == names
    assert 0 < len(names) < catalogue.num_rows


@pytest.mark.parametrize("chosen", [None, "STAR", "QSO"])
@pytest.mark.parametrize("radius", [180.0, 2.0, 0.1, 0.02])
def test_cells_count_every_source_once(explored, catalogue, chosen, radius):
    ra, dec = middle(catalogue)
    kept = catalogue if chosen is None else catalogue.filter(pc.equal(catalogue["class"], chosen))
    question = Question(class_name=chosen)
    found = Density(explored).cells(Cone(ra, dec, radius), question, Patience(60.0))
    assert found.complete
    shift = 2 * (29 - found.order)
    own = kept["_healpix_29"].to_numpy() >> shift
    counts = dict(zip(*np.unique(own, return_counts=True), strict=True))
    assert found.counts.sum(axis=1).tolist() == [counts[pixel] for pixel in found.pixels.tolist()]
    inside = separation_deg(kept["ra"].to_numpy(), kept["dec"].to_numpy(), ra, dec) <= radius
    assert set(own[inside].tolist()) <= set(found.pixels.tolist())
    codes = [*explored.classes, ""]
    classes = dict(zip(codes, found.counts.sum(axis=0).tolist(), strict=True))
    inside = np.isin(own, found.pixels)
    names = kept["class"].to_numpy(zero_copy_only=False)[inside]
    assert classes == {name: int((names == name).sum()) for name in codes}


def test_a_view_of_too_many_sources_is_one_of_cells(explored_work, explored, monkeypatch):
    from kidsclf.explorer import answers

    monkeypatch.setattr(answers, "MOST_SOURCES", 10)
    asked = {"ra": "0", "dec": "0", "radius": "180"}
    found = answers.Answers(explored, None).view(asked)
    assert found["kind"] == "cells"
    assert len(found["corners"]) == len(found["counts"]) > 0
    assert all(len(each) == 8 for each in found["corners"])


def test_what_takes_long_is_answered_in_part_and_gone_on_with(explored, catalogue):
    assert len(explored.partitions) > 3
    ranking, ra_dec = Ranking(explored), middle(catalogue)
    looked = [
        ranking.ranked("p_max", Question(), 0, 10, Patience(0.0)).looked_at
        for _ in explored.partitions
    ]
    assert looked == list(range(1, len(looked) + 1))
    density, question = Density(explored), Question(p_min=0.0)
    wide = Cone(*ra_dec, 20.0)
    cells = density.cells(wide, question, Patience(0.0))
    assert (cells.looked_at, cells.complete) == (1, False)
    for looked_at in range(2, cells.partitions + 1):
        cells = density.cells(wide, question, Patience(0.0))
        assert (cells.looked_at, cells.complete) == (looked_at, looked_at == cells.partitions)
    assert cells.total == density.cells(wide, question, Patience(60.0)).total > 0


@pytest.mark.parametrize(
    ("name", "column", "order"),
    [("entropy", "entropy", -1), ("p_max", "p_max", 1), ("novelty", "novelty", -1)],
)
def test_a_list_is_led_by_the_least_sure(server, catalogue, name, column, order):
    found = server.get("/api/list", list=name, first=5, count=20).record
    while not found["complete"]:
        found = server.get("/api/list", list=name, first=5, count=20).record
    values = catalogue[column].to_numpy()
    best = np.sort(order * values[~np.isnan(values)])[5:25]
    np.testing.assert_array_equal(
        np.float32([each[column] for each in found["sources"]]), order * best
    )
    assert found["chosen"] == catalogue.num_rows
    assert found["listed"] == min(500, np.count_nonzero(~np.isnan(values)))


def test_a_source_with_all_that_is_known_of_it(server, explored_work, explored, catalogue):
    labelled = whole(explored_work / "samples/sdss").to_pylist()[0]
    index, name = labelled["_healpix_29"], labelled["name"]
    found = server.get("/api/source", index=index, name=name).record
    (row,) = [each for each in catalogue.to_pylist() if each["name"] == name]
    assert found["source"]["p_max"] == row["p_max"]
    (measured,) = [e for e in whole(explored_work / "catalog").to_pylist() if e["name"] == name]
    assert [each["band"] for each in found["photometry"]] == [*"ugri", "Z", "Y", "J", "H", "Ks"]
    assert found["photometry"][2]["magnitude"] == measured["mag_r"]
    assert found["photometry"][2]["error"] == measured["mag_err_r"]
    networks = list(explored.config.train.networks)
    assert [each["network"] for each in found["scores"]] == networks
    for said in found["scores"]:
        (own,) = [
            each
            for each in whole(explored_work / "scores" / said["network"]).to_pylist()
            if each["name"] == name
        ]
        assert said["raw"] == [own[f"p_{each}"] for each in ("star", "qso", "galaxy")]
        assert said["calibrated"][1] == own["p_qso_calibrated"]
        assert said["prediction_set"] == own["prediction_set"]
    (label,) = [each for each in found["labels"] if each["sample"] == "sdss"]
    assert label["label"] == labelled["label"]
    assert "gini" in found["features"]
    assert ("TRAINED_ON" in found["flags"]) == bool(row["flags"] & 64)
    near = [each["distance_arcsec"] for each in found["neighbours"]["rows"]]
    apart = separation_deg(
        catalogue["ra"].to_numpy(), catalogue["dec"].to_numpy(), row["ra"], row["dec"]
    )
    assert near == sorted(near)
    assert len(near) == (apart * 3600 <= 30).sum() - 1
    assert found["sed"].startswith("<svg")


def test_a_stamp_is_the_one_that_the_run_has_cut(server, explored_work, explored, tmp_path):
    partition = explored.partitions[-1]
    known = explored.store.read(partition, ["_healpix_29", "name"])
    cut = CutoutStore(UPath(explored_work / "cutouts.zarr")).read(partition, known["name"], ["r"])
    place = int(np.flatnonzero(np.isfinite(cut["r"]).all(axis=(1, 2)))[-1])
    row = known.to_pylist()[place]
    reply = server.get("/api/stamp", index=row["_healpix_29"], name=row["name"], band="r")
    assert reply.headers["Content-Type"] == "image/png"
    (tmp_path / "stamp.png").write_bytes(reply.body)
    seen = matplotlib.image.imread(tmp_path / "stamp.png")[::-1, :, 0]
    pixels = cut["r"][place]
    assert seen.shape == pixels.shape
    bright, dark = np.unravel_index([pixels.argmax(), pixels.argmin()], pixels.shape)
    order = np.argsort(pixels.ravel())
    assert (np.diff(seen.ravel()[order]) <= 1e-6).all()
    assert seen[bright[0], dark[0]] < seen[bright[1], dark[1]]


def test_the_page_and_its_files_come_from_here(server):
    page = server.get("/").body.decode()
    assert "http://" not in page
    assert "https://" not in page
    assert "<script>" not in page
    for name in ("explorer.js", "explorer.css", "page.css", "bokeh.min.js", "bokeh-api.min.js"):
        assert f"/{name}" in page
        assert server.get(f"/{name}").status == 200
    run = server.get("/api/run").record
    assert [(each["name"], each["variable"]) for each in run["classes"]] == [
        ("STAR", "star"),
        ("QSO", "quasar"),
        ("GALAXY", "galaxy"),
    ]


def test_verdicts_are_kept_changed_and_taken_back(server, explored_work):
    first, second = server.get("/api/list", list="entropy", count=2).record["sources"]
    assert server.judge(first, "quasar").record["before"] is None
    assert server.judge(first, "junk").record["before"] == "quasar"
    told = server.judge(second, "galaxy").record
    assert told["counts"] == {"star": 0, "quasar": 0, "galaxy": 1, "junk": 1}
    table = pq.read_table(explored_work / "verdicts/verdicts.parquet").to_pylist()
    assert {row["name"]: row["verdict"] for row in table} == {
        first["name"]: "junk",
        second["name"]: "galaxy",
    }
    seen = server.get("/api/source", index=first["_healpix_29"], name=first["name"]).record
    assert seen["verdict"] == "junk"
    assert server.judge(first, None).record["before"] == "junk"
    assert server.judge(second, None).record["counts"]["galaxy"] == 0


HOSTILE_VIEWS = [
    {"radius": "180.1"},
    {"radius": "1e308"},
    {"radius": "0"},
    {"radius": "-1"},
    {"radius": "nan"},
    {"ra": "inf"},
    {"ra": "1e9"},
    {"dec": "-90.5"},
    {"dec": ""},
    {"class": "<script>alert(1)</script>"},
    {"class": "STAR' OR 1=1"},
    {"mag_min": "nan"},
    {"mag_min": "22", "mag_max": "20"},
    {"p_min": "-0.1"},
    {"p_max": "1.1"},
    {"flags": "ANY_FLAG"},
    {"flags": "NOVEL", "without_flags": "NOVEL"},
    {"columns": "name"},
    {"__class__": "1"},
]


@pytest.mark.parametrize("hostile", HOSTILE_VIEWS, ids=str)
def test_views_that_make_no_sense_are_refused_in_a_sentence(server, hostile):
    reply = server.get("/api/view", **({"ra": "0", "dec": "0", "radius": "1"} | hostile))
    assert reply.status == 400
    said = reply.record["error"]
    assert said.count("\n") == 0
    assert re.search(r", but .*; ", said)
    assert reply.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("/api/list", {"list": "../entropy"}, 400),
        ("/api/list", {"list": "entropy", "count": "1000000"}, 400),
        ("/api/list", {"list": "entropy", "count": "1e2"}, 400),
        ("/api/list", {"list": "entropy", "first": "-1"}, 400),
        ("/api/list", {"list": "name"}, 400),
        ("/api/source", {"index": "5"}, 400),
        ("/api/source", {"index": str(1 << 62), "name": "x"}, 400),
        ("/api/source", {"index": "-3", "name": "x"}, 400),
        ("/api/source", {"index": "9" * 400, "name": "x"}, 400),
        ("/api/source", {"index": "0", "name": "<script>alert(1)</script>"}, 400),
        ("/api/source", {"index": "0", "name": "x" * 300}, 400),
        ("/api/stamp", {"index": "0", "name": "x", "band": "../../run.toml"}, 400),
        ("/api/run", {"x": "1"}, 400),
        ("/../../etc/passwd", {}, 404),
        ("/%2e%2e/%2e%2e/etc/passwd", {}, 404),
        ("/page/index.html", {}, 404),
        ("/run.toml", {}, 404),
        ("/api/", {}, 404),
        ("/api/verdict", {}, 405),
    ],
)
def test_hostile_questions_are_refused_in_a_sentence(server, path, parameters, status):
    reply = server.get(path, **parameters)
    assert reply.status == status
    assert len(reply.record["error"].splitlines()) == 1
    assert b"Traceback" not in reply.body


def test_only_the_browser_with_the_key_is_answered(server):
    for headers in ({}, {"Cookie": f"kidsclf-{server.port}=wrong"}, {"Cookie": "\u00e9=1;;"}):
        for path in ("/", "/?key=wrong", "/api/run", "/explorer.js"):
            reply = server.send("GET", path, **headers)
            assert reply.status == 403
            assert "open the address that it has printed" in reply.record["error"]
    reply = server.send("GET", "/?" + server.address.partition("?")[2])
    assert (reply.status, reply.headers["Location"]) == (302, "/")
    assert "HttpOnly" in reply.headers["Set-Cookie"]
    assert "SameSite=Strict" in reply.headers["Set-Cookie"]


def test_another_host_name_is_refused(server):
    for host in (
        "evil.example",
        f"evil.example:{server.port}",
        "127.0.0.1",
        f"0.0.0.0:{server.port}",
    ):
        reply = server.send("GET", "/api/run", Cookie=server.cookie, Host=host)
        assert reply.status == 403
        assert "tunnel" in reply.record["error"]
    own = f"localhost:{server.port}"
    assert server.send("GET", "/api/run", Cookie=server.cookie, Host=own).status == 200


def test_every_answer_forbids_foreign_scripts(server):
    for path in ("/", "/api/run", "/nothing", "/api/view?radius=x"):
        headers = server.send("GET", path, Cookie=server.cookie).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


def test_verdicts_of_other_pages_and_broken_ones_are_refused(server, explored_work):
    (source,) = server.get("/api/list", list="entropy", count=1).record["sources"]
    before = sorted((explored_work / "verdicts").glob("*.parquet"))
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Cookie": "none=1"},
    ):
        assert server.judge(source, "star", **headers).status == 403
    for body in (b"", b"{", b"[]", b"[" * 4000, b'{"index": 1}', b"\xff\xfe", b"null"):
        reply = server.send(
            "POST", "/api/verdict", body, Cookie=server.cookie, Content_Type="application/json"
        )
        assert reply.status == 400
        assert reply.record["error"]
    assert server.judge(source, "<script>").status == 400
    assert server.judge(source | {"name": "another"}, "star").status == 400
    large = json.dumps({"index": "1", "name": "x" * 5000, "verdict": "star"}).encode()
    own = {"Cookie": server.cookie, "Content_Type": "application/json"}
    reply = server.send("POST", "/api/verdict", large, **own)
    assert (reply.status, "at most" in reply.record["error"]) == (403, True)
    huge = own | {"Content_Length": "2000000"}
    assert server.send("POST", "/api/verdict", b"x", **huge).status == 400
    assert sorted((explored_work / "verdicts").glob("*.parquet")) == before


def test_a_second_explorer_looks_on_but_does_not_judge(server, warm, explored_work, capsys):
    assert main(["serve", str(explored_work), "--port", "0"]) == 4
    assert "--read-only" in capsys.readouterr().err
    log = explored_work.parent / "second.log"
    with running_explorer(warm, explored_work, log, "--read-only") as other:
        assert other.get("/api/run").record["verdicts"] == []
        (source,) = other.get("/api/list", list="entropy", count=1).record["sources"]
        reply = other.judge(source, "star")
        assert (reply.status, "--read-only" in reply.record["error"]) == (400, True)
        other.process.send_signal(signal.SIGINT)
        assert other.process.wait(30) == 0
    assert log.read_text().endswith("explorer stopped\n")


def test_a_port_in_use_and_runs_that_are_not_there(explored_work, small_survey, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", str(explored_work), "--port", port, "--read-only"]) == 2
    assert f"--port {port} was asked for" in capsys.readouterr().err
    assert main(["serve", str(explored_work), "--port", "70000"]) == 2
    assert main(["serve", str(tmp_path)]) == 2
    assert "holds no run.toml" in capsys.readouterr().err
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(explored_work / "run.toml", half)
    shutil.copytree(explored_work / "receipts/ingest", half / "receipts/ingest")
    assert main(["serve", str(half)]) == 4
    said = capsys.readouterr().err
    assert "missing: cutouts, features, match, train, infer, reduce" in said
    assert not (half / "verdicts").exists()


def judged(number: int) -> Judged:
    return Judged(number, f"source {number}", 10.0, 1.0, "mnn", "QSO", 0.4)


def test_verdicts_survive_a_kill_between_any_two_steps(tmp_path, monkeypatch):
    work = WorkDirectory(UPath(tmp_path))
    with open_verdicts(work) as verdicts:
        verdicts.give(judged(1), "star")
        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                verdicts.give(judged(2), "galaxy")
        assert verdicts.of(2, "source 2") is None
    (tmp_path / "verdicts" / ".unfinished-0-verdicts.parquet").write_bytes(b"half")
    with open_verdicts(work) as verdicts:
        assert verdicts.counts() == {"star": 1, "quasar": 0, "galaxy": 0, "junk": 0}
    assert [path.name for path in (tmp_path / "verdicts").iterdir()] == ["verdicts.parquet"]


def interrupted(*_):
    raise KeyboardInterrupt


def test_questions_are_read_from_texts():
    assert question_asked({}, ("STAR",), "r") == Question()
    assert question_asked({"class": "none"}, ("STAR",), "r").class_name == ""
    assert [order_for(radius) for radius in (180.0, 5.0, 1.0, 0.2, 1e-5)] == [3, 8, 11, 12, 12]
    with pytest.raises(ConfigError):
        question_asked({"class": "QSO"}, ("STAR",), "r")
