"""What is told of benchmarks: tables, the README's speed, the page, comparisons of files."""

import doctest
import json
import re
from dataclasses import replace

import benchmarks.marked
import benchmarks.wording
import pytest
from benchmarks.__main__ import main
from benchmarks.compare import print_changes
from benchmarks.documents import FIGURE, PARTS, documents, figure
from benchmarks.figures import over_goal
from benchmarks.headlines import ROOT, kept_results, labelled, main_ratio, network_speeds
from benchmarks.inference_tables import inference
from benchmarks.marked import fill
from benchmarks.readme import speed
from benchmarks.record import Kept, Measurement, Ratio, Record, ratio, write_records
from benchmarks.stage_tables import engine as tell_engine
from benchmarks.table import page
from benchmarks.web_page import web_page

from chromium import open_page

MACHINE = {"cpu": "A <small> processor", "cores": 2, "memory_gib": 8.0, "load_1min": 0.5}


def infer(device: str = "core") -> Record:
    """A network that is asked of the store, and reaches one goal and misses one."""
    quantity, unit = ("of one core", "sources/s") if device == "core" else ("sources", "sources/s")
    bare = Measurement("net: bare", quantity, unit, (1000.0, 1100.0))
    store = Measurement("net: from the store", quantity, unit, (960.0, 1056.0))
    stage = Measurement("net: stage, 1 worker", quantity, unit, (500.0, 550.0))
    cost = Measurement("net: stage, 1 worker", "cost", f"{device} hours a million", (0.5, 0.6))
    ratios = (ratio(store, bare, goal=0.95), ratio(stage, bare, goal=0.95))
    return Record("infer", "small", (bare, store, stage, cost), ratios, {"rows": 10_000})


def engine() -> Record:
    shares = (("ingest", 0.25), ("infer", 0.75))
    measured = [Measurement(f"main job: {n}", "share", "of seconds", (s,)) for n, s in shares]
    costs = Ratio("engine", "whole run", "share", (0.08, 0.09), goal=0.05, at_least=False)
    return Record("engine", "full", tuple(measured), (costs,), {"rows": 10})


def scaling() -> Record:
    measured = tuple(
        Measurement(f"{kind}, {count} workers", "efficiency", "", (value, value - 0.01))
        for kind in ("strong", "weak")
        for count, value in ((2, 0.98), (8, 0.95))
    )
    ideal = Measurement("ideal", "efficiency", "", (1.0, 1.0))
    return Record("scaling", "full", measured, tuple(ratio(m, ideal, 0.9) for m in measured))


@pytest.fixture(scope="module")
def kept() -> tuple[Kept, ...]:
    return tuple(
        Kept(f"{record.benchmark}.json", MACHINE, (record,))
        for record in (engine(), infer(), scaling())
    )


@pytest.fixture(scope="module")
def drawn(kept) -> str:
    return web_page(kept)


def test_the_docs_say_what_the_result_files_hold():
    advice = "write it anew: python -m benchmarks table"
    kept = kept_results()
    for path, text in documents(kept).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path}: {advice}"
    # Places of letters hang on fonts, what is written and how many marks there are does not.
    now, then = (_texts_and_marks(each.decode()) for each in (figure(kept), FIGURE.read_bytes()))
    assert now == then, advice


def _texts_and_marks(svg: str) -> tuple[list[str], int]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg), svg.count("<use")


def test_the_docs_tell_machine_goal_and_range():
    ours = Measurement("ours", "rate", "rows/s", (1_000_000.0, 3_000_000.0, 2_000_000.0))
    theirs = Measurement("theirs", "rate", "rows/s", (1_000_000.0,) * 3)
    told = Record("b", "small", (ours, theirs), (ratio(ours, theirs, goal=2.5),))
    text = page([Kept("b.json", MACHINE, (told,))])
    assert "0 of 1 goals are reached" in text
    assert "| [b](#b-b) | ours / theirs, rate | 2 (1 to 3) | ≥ 2.5: missed | 0 | 1 |" in text
    assert "| ours | theirs | rate | 2 (1 to 3) | ≥ 2.5: missed |" in text
    assert "| ours | rate | 2,000,000 (1,000,000 to 3,000,000) rows/s |" in text
    assert "| theirs | rate | 1,000,000 rows/s |" in text


def test_the_readme_says_what_is_missed(kept):
    text = speed(kept)
    assert "On A <small> processor, 2 cores, 8.0 GiB" in text
    assert "| `net` | 1,010 | 0.55 | 0.96 | 0.5, **missed ≥ 0.95** |  |" in text


def test_the_docs_say_of_networks_what_is_missed_and_leave_out_what_is_not_there(kept):
    text = inference(kept)
    assert "| from the store, over bare, processor time | 0.96 |" in text
    assert "| the stage, 1 worker, over bare, processor time | 0.5, **missed ≥ 0.95** |" in text
    assert "| core hours a million sources | 0.55 (0.5 to 0.6) |" in text
    assert "| strong | 0.975 (0.97 to 0.98) | 0.945 (0.94 to 0.95) |" in text
    assert "Keras" not in text
    assert "float32" not in text


def test_every_part_of_a_document_can_do_without_files_and_marks_stand_once():
    for path, parts in PARTS.items():
        assert {name: make([]) for name, make in parts.items()} == dict.fromkeys(parts, "")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.findall(r"<!-- end of (.+?) -->", text) == list(parts)


def test_the_engine_is_told_in_milliseconds():
    nothing = Measurement("a task that does nothing", "worker's time", "s", (0.004, 0.006))
    facts = {"tasks": 4, "seconds": 2.0}
    record = replace(engine(), measurements=(*engine().measurements, nothing), facts=facts)
    text = tell_engine([Kept("engine.json", MACHINE, (record,))])
    assert "| a task that does nothing, of a worker's time | 5 (4 to 6) ms |" in text
    assert "| a task of the main job, mean of 4 | 500 ms |" in text
    assert "| of their time: infer, ingest | 75 %, 25 % |" in text


def test_only_what_stands_between_the_marks_is_written():
    marked = "a\n<!-- python -m benchmarks table writes x y -->\nold\n<!-- end of x y -->\nb\n"
    once = fill(marked, {"x y": "new\n"})
    assert once == marked.replace("old", "\nnew\n")
    assert fill(once, {"x y": "new"}) == once
    with pytest.raises(ValueError, match="not found"):
        fill("no marks", {"x": "new"})


def test_what_no_file_holds_is_not_told():
    assert speed([]) == inference([]) == ""
    assert "0 of 0 goals" in page([])
    found = web_page([])
    assert "no file holds the benchmark infer" in found
    assert "there is no result file" in found


def test_speed_is_of_a_card_where_there_is_one():
    (speed,) = network_speeds(infer("card"))
    assert (speed.device, speed.from_store.quantity) == ("card", "sources")
    assert speed.over_bare.reached is True
    assert speed.stage_over_bare.reached is False
    assert network_speeds(engine()) == []


def test_two_runs_of_a_benchmark_are_told_apart():
    kept = [
        Kept(name, MACHINE, (infer(of),)) for name, of in (("a.json", "core"), ("b.json", "card"))
    ]
    assert [label for label, _, _ in labelled(kept)] == ["infer (a)", "infer (b)"]
    assert [label for label, _, _ in labelled(kept[:1])] == ["infer"]
    text = page(kept)
    assert "[infer (a)](#a-infer)" in text
    assert "| infer (b) | net: stage, 1 worker / bare, sources |" in text
    assert text.count('id="b-infer"') == 1
    told = inference(kept)
    assert "| sources a second of one core | `net` |" in told
    assert "| sources a second of one card | `net` |" in told


def test_the_main_ratio_is_the_first_with_a_goal():
    free, asked = Ratio("a", "b", "q", (1.0,)), Ratio("c", "d", "q", (1.0,), goal=2.0)
    assert main_ratio(Record("x", "tiny", (), (free, asked))) is asked
    assert main_ratio(Record("x", "tiny", (), (free,))) is free
    assert main_ratio(Record("x", "tiny", ())) is None


@pytest.mark.parametrize(("at_least", "expected"), [(True, 2.0), (False, 0.5)])
def test_better_than_the_goal_is_above_one(at_least, expected):
    assert over_goal(Ratio("a", "b", "q", (4.0,), 2.0, at_least), 4.0) == expected


def test_the_page_has_everything_once_and_escapes_names(drawn):
    for said in ("1,010/s", "0.55 core hours a million", "5 of 7 goals", "Scaling"):
        assert said in drawn
    assert "A &lt;small&gt; processor" in drawn
    assert "A <small> processor" not in drawn
    ids = re.findall(r'<(?:section|figure) id="([^"]+)"', drawn)
    assert len(ids) == len(set(ids))
    assert "fig-goals-infer-infer" in ids
    figures = drawn.split("<figure ")[1:]
    assert len(figures) == 6
    assert all(len(re.findall(r'role="img" aria-label="[^"]+"', each)) == 2 for each in figures)


@pytest.mark.browser
def test_the_page_asks_for_nothing_and_fits_a_phone(drawn, chromium, tmp_path):
    (tmp_path / "page.html").write_text(drawn, encoding="utf-8")
    with open_page(chromium, tmp_path) as opened:
        for width in (390, 1280):
            opened.window(width, 900, phone=width < 500)
            opened.go(f"file://{tmp_path / 'page.html'}")
            opened.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
            assert opened.evaluate("document.documentElement.scrollWidth") == width
        asked = opened.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
        assert [each for each in asked if not each.startswith("data:")] == []
        assert opened.console == []


def test_the_page_is_written_where_it_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.web_page.kept_results", lambda: ())
    where = tmp_path / "below" / "page.html"
    assert main(["page", "--out", str(where)]) == 0
    assert where.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert capsys.readouterr().out == f"{where}\n"


def test_only_changes_beyond_the_noise_are_marked(capsys):
    old = Record("b", "small", (Measurement("s", "t", "s", (1.0, 1.2, 1.1)),))
    same = Record("b", "small", (Measurement("s", "t", "s", (1.15, 1.3, 1.2)),))
    slower = Record("b", "small", (Measurement("s", "t", "s", (1.3, 1.5, 1.4)),))
    once = Record("b", "small", (Measurement("s", "t", "s", (9.0,)),))
    for new, marked in ((same, False), (slower, True), (once, False)):
        print_changes([old], [new])
        assert ("CHANGED" in capsys.readouterr().out) is marked


def test_a_comparison_tells_what_has_no_counterpart(capsys):
    one, two = (Measurement(name, "t", "s", (1.0, 2.0)) for name in "ab")
    print_changes([Record("b", "small", (one, two))], [Record("b", "small", (two,))])
    assert "1 figures of the first file and 0 of the second" in capsys.readouterr().out
    print_changes([Record("b", "small", (one,))], [Record("b", "full", (one,))])
    assert "share no figure" in capsys.readouterr().out


def test_files_of_two_machines_are_said_to_be(tmp_path, capsys):
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    write_records(here, [infer()])
    content = json.loads(here.read_text(encoding="utf-8"))
    (record,) = content["records"]
    for each in record["measurements"]:
        each["values"] = [9 * value for value in each["values"]]
    there.write_text(json.dumps(content | {"machine": content["machine"] | {"cpu": "another"}}))
    assert main(["compare", str(here), str(here)]) == 0
    assert "ANOTHER MACHINE" not in capsys.readouterr().out
    assert main(["compare", str(here), str(there)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ANOTHER MACHINE: speeds, times and memory are not to be compared")
    assert "CHANGED" not in out
    assert f"cpu: {content['machine']['cpu']} -> another" in out


@pytest.mark.parametrize("content", [None, "[]", '{"records": [{}]}', "no json"])
def test_a_file_that_is_none_is_one_sentence(content, tmp_path, capsys):
    path = tmp_path / "away.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert main(["compare", str(path), str(path)]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"{path} was to be read as results of benchmarks, but ")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("module", [benchmarks.marked, benchmarks.wording])
def test_examples_of_words_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_a_run_notes_its_day(tmp_path):
    write_records(tmp_path / "kept.json", [infer()])
    machine = json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))["machine"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", machine["date"])
