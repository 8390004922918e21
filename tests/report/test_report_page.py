"""The page as text: its sections, what it says of missing tables, what it does with odd names."""

import base64
import dataclasses
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pyarrow as pa
import pytest

from kidsclf.errors import StoreError
from kidsclf.report import ReportTables, render_page, render_sections
from kidsclf.report.blocks import Drawing, Folded, Section, sketches
from kidsclf.report.sections import all_sections
from kidsclf.report.sections.run import of_a_thread
from kidsclf.report.sketches import FigureSketch
from kidsclf.report.tables import COLUMNS

SECTIONS = {
    "verdict",
    "products",
    "cut-flow",
    "accuracy",
    "calibration",
    "novelty",
    "reach",
    "counts",
    "quasars",
    "colours",
    "morphology",
    "gallery",
    "training",
    "experiments",
    "sky",
    "throughput",
    "settings",
}
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Outline(HTMLParser):
    """Reads a page strictly: every element is closed in order, every id stands once."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.tags, self.links = [], [], [], []
        self.text = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[k] for k in ("href", "src", "xlink:href") if k in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def outline(page: str) -> Outline:
    reader = Outline()
    reader.feed(page)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def read(page):
    return outline(page)


def test_elements_close_in_order_and_ids_stand_once(read):
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))


def test_every_section_is_there_and_linked(read):
    sections = {a["id"] for tag, a in read.tags if tag == "section"}
    assert sections == SECTIONS
    anchors = {link[1:] for link in read.links if link.startswith("#")}
    assert sections <= anchors
    assert anchors <= set(read.ids)


def test_headings_do_not_skip_levels(read):
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_nothing_is_fetched_from_outside(page, read):
    assert all(link.startswith(("#", "data:")) for link in read.links)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert not any(tag in {"iframe", "object", "embed"} for tag, _ in read.tags)


def test_the_only_script_is_the_one_that_the_policy_of_the_page_names(page, read):
    assert [attributes for tag, attributes in read.tags if tag == "script"] == [{}]
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policies = [a["content"] for tag, a in read.tags if tag == "meta" and "http-equiv" in a]
    assert policies[0].endswith(f"; script-src 'sha256-{digest}'")
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)


OTHER = f"-{b'xgboost'.hex()}"
"""How names of figures tell of the network that is not the catalogue's."""


def test_every_figure_has_its_data_and_a_pdf_of_its_own(page, read):
    figures = [a["id"] for tag, a in read.tags if tag == "figure"]
    files = {a["download"]: a["href"] for tag, a in read.tags if "download" in a}
    of_others = [name for name in figures if OTHER in name]
    assert 0 < len(of_others) < len(figures)
    assert set(files) == {f"{name}.pdf" for name in figures if name not in of_others}
    for name, link in files.items():
        pdf = base64.b64decode(link.removeprefix("data:application/pdf;base64,"), validate=True)
        assert pdf.startswith(b"%PDF-"), name
        assert b"/FontFile2" in pdf, "letters travel with the figure"
    assert page.count("<summary>Show the data</summary>") == len(figures)
    assert [a["data-svg"] for _, a in read.tags if "data-svg" in a] == figures


CSS_COLOUR = re.compile(r"--([\w-]+): (#[0-9a-f]{6})")
READ_ON = [("ink", "paper"), ("ink", "soft"), ("ink", "warn"), ("muted", "paper")]
READ_ON += [("muted", "soft"), ("accent", "paper")]
SEEN_ON = [(name, "paper") for name in ("star", "quasar", "galaxy", "line")]


def contrast(one, other):
    """Ratio of WCAG 2.2, from relative luminance."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        lights.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_contrast_is_that_of_wcag_aa_in_light_and_dark(page):
    light, dark = (dict(CSS_COLOUR.findall(part)) for part in page.split(":root {")[1:3])
    for colours in (light, light | dark):
        assert min(contrast(colours[a], colours[b]) for a, b in READ_ON) >= 4.5
        for name, ground in SEEN_ON:
            least = 3.0 if name != "line" else 2.5
            assert contrast(colours[name], colours[ground]) >= least, name


def test_is_smaller_than_five_megabytes(page):
    assert len(page.encode()) < 5_000_000


def test_figures_have_a_caption_an_alternative_text_and_both_sizes(read):
    figures = [a["id"] for tag, a in read.tags if tag == "figure"]
    assert len(figures) > 15
    assert sum(tag == "figcaption" for tag, _ in read.tags) == len(figures)
    images = [a for tag, a in read.tags if a.get("role") == "img"]
    assert all(a["aria-label"].strip() for a in images)
    assert sum(a.get("class") == "narrow" for a in images) == len(figures)


def test_names_from_data_are_shown_and_harmless(page, read):
    text = "".join(read.text)
    assert "<script>alert('sky')</script> $\\frac{1}{2}$ & \"quoted\"" in text
    assert page.lower().count("<script") == 1


def test_hostile_names_everywhere_stay_text(tables):
    bad = "</svg><img src=x onerror=alert(1)>'\"&"
    changed = {}
    for name in ("classification", "thresholds", "history", "gallery", "class_counts"):
        table = getattr(tables, name)
        for column in ("network", "name", "class", "sample"):
            if column in table.column_names:
                place = table.column_names.index(column)
                values = pa.array([bad] * table.num_rows)
                table = table.set_column(place, column, values)
        changed[name] = table.slice(0, 3)
    page = render_page(ReportTables(summary={"run": {"name": bad}}, **changed))
    reader = outline(page)
    assert reader.open == []
    assert not any(tag == "img" for tag, _ in reader.tags)
    assert not any("onerror" in attributes for _, attributes in reader.tags)
    assert bad in "".join(reader.text)


def test_undefined_metrics_are_dashes(page, read):
    assert "nan" not in {text.strip().lower() for text in read.text}
    assert "–" in {text.strip() for text in read.text}


def test_headline_numbers(read):
    text = " ".join(" ".join(read.text).split())
    assert "85,412 sources have a class, over 38.4 square degrees" in text
    assert "98.76%" in text
    assert "24,010 (28.1%)" in text
    assert "nothing was lost unseen" in text
    assert "rows in quarantine 1,204 of 2 tasks" in text


def test_experiments_are_shown_and_those_of_another_version_named(read):
    text = " ".join("".join(read.text).split())
    figures = {a["id"] for tag, a in read.tags if tag == "figure"}
    assert {"fig-experiment-training_size-0", "fig-experiment-thresholds-0"} <= figures
    assert "its tables are of another version; run kidsclf experiment table1 again" in text


def test_experiments_of_other_settings_are_named_and_not_shown():
    reader = outline(render_page(ReportTables(stale_experiments=("table2",))))
    text = " ".join("".join(reader.text).split())
    assert "made with other settings, labels or code than this run's" in text
    assert "run kidsclf experiment table2 again" in text


def test_where_nothing_failed_the_page_says_so_and_maps_the_rest(read):
    assert "Every source has a class: there is nothing to map." in read.text
    figures = {a["id"] for tag, a in read.tags if tag == "figure"}
    assert {f"fig-sky-{name.encode().hex()}" for name in ("depth", "flagged", "qso")} <= figures


def test_long_data_says_what_is_left_out(tables, read):
    rows = tables.colour_colour.num_rows
    assert f"The first 100 of {rows:,} rows; all of them stand in metrics/." in read.text


def test_rows_that_do_not_add_up_are_named():
    columns = COLUMNS["cut_flow"]
    row = dict(zip(columns, ("ingest", "kids", "limit", "r <= 23", 10, 3, 6), strict=True))
    page = render_page(ReportTables(cut_flow=pa.Table.from_pylist([row])))
    assert "do not add up at: limit" in page


def test_a_page_without_tables_says_what_is_missing_and_why():
    reader = outline(render_page(ReportTables()))
    assert {a["id"] for tag, a in reader.tags if tag == "section"} == SECTIONS
    remarks = [text for text in reader.text if " is missing: " in text]
    assert len(remarks) >= len(SECTIONS)
    assert not any(tag == "figure" for tag, _ in reader.tags)


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_each_table_may_be_missing_or_empty(tables, name):
    table = getattr(tables, name)
    missing = render_page(ReportTables(**{name: None}))
    assert render_page(ReportTables(**{name: table.slice(0, 0)})) == missing


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_each_table_may_come_alone_with_one_row(tables, name):
    page = render_page(ReportTables(**{name: getattr(tables, name).slice(0, 1)}))
    assert outline(page).open == []


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_numbers_may_all_be_undefined(tables, name):
    table = getattr(tables, name).slice(0, 4)
    for column in table.column_names:
        if pa.types.is_floating(table[column].type) and column not in {"ra", "dec", "threshold"}:
            place = table.column_names.index(column)
            table = table.set_column(place, column, pa.array([float("nan")] * table.num_rows))
    if name in {"colour_colour", "morphology"}:
        table = table.slice(0, 0)
    assert outline(render_page(ReportTables(**{name: table}))).open == []


def test_a_table_without_its_columns_is_refused():
    with pytest.raises(StoreError, match="'sky' with 8 columns, but it lacks order, pixel"):
        ReportTables(sky=pa.table({"ra": [1.0], "dec": [2.0], "count": [3]}))


def test_a_class_outside_of_fengs_three_and_one_that_is_null(tables):
    confusion = tables.confusion.slice(0, 3).to_pylist()
    confusion[1]["predicted_class"], confusion[2]["predicted_class"] = "AGN", None
    page = render_page(ReportTables(confusion=pa.Table.from_pylist(confusion)))
    assert ">AGN<" in page
    assert ">no class<" in page


SCRIPT = """
import hashlib, json, sys
import pyarrow.ipc
from kidsclf.report import ReportTables, render_page, render_sections
from kidsclf.report.blocks import Drawing, Folded, Section, sketches
from kidsclf.report.sections import all_sections
tables = {n: pyarrow.ipc.open_file(f"{sys.argv[1]}/{n}.arrow").read_all() for n in sys.argv[2:]}
page = render_page(ReportTables(summary=json.load(open(f"{sys.argv[1]}/summary.json")), **tables))
print(hashlib.sha256(page.encode()).hexdigest())
"""


def test_the_same_tables_give_the_same_bytes_in_another_process(tables, tmp_path):
    names = ["confusion", "colour_colour", "sky", "gallery", "stages", "quasar_counts"]
    cut = {n: getattr(tables, n).slice(0, 900 if n != "gallery" else 3) for n in names}
    for name, table in cut.items():
        with pa.ipc.new_file(tmp_path / f"{name}.arrow", table.schema) as file:
            file.write_table(table)
    (tmp_path / "summary.json").write_text(json.dumps(tables.summary))
    seen = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), *names]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        answer = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=300
        )
        seen.add(answer.stdout)
    assert len(seen) == 1


def test_a_figure_that_cannot_be_drawn_is_named():
    def draw(layout):
        raise ValueError("no such colour")

    figure = FigureSketch("fig-broken", draw)
    drawing = Drawing(figure, "Broken", "", "")
    folded = Folded("More", (drawing,))
    with pytest.raises(ValueError, match="no such colour") as caught:
        render_sections([Section("broken", "Broken", "", (folded,))], title="")
    assert caught.value.__notes__ == ["while drawing the figure fig-broken of the page"]


def test_every_figure_can_be_sent_to_a_worker(tables):
    todo = [each for section in all_sections(tables) for each in sketches(section.blocks)]
    assert len(todo) > 30
    assert [pickle.loads(pickle.dumps(each)).anchor for each in todo] == [e.anchor for e in todo]


def test_the_tables_are_frozen(tables):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tables.sky = None


def test_calibration_tells_temperature_promise_and_cuts(read):
    text = " ".join("".join(read.text).split())
    assert "For 95% of the sources of each class" in text
    assert "1.37" in text
    for said in ("0.8321", "0.7000 to 0.9000", "96.0% (95.0% to 97.0%)", "completeness 90%"):
        assert said in text
    assert "– to –" not in text


def test_throughput_tells_threads_and_gpus_apart(tables):
    found = of_a_thread(tables.throughput)
    rates = ("Rows/s of a thread", "Rows/s of a GPU", "Rows/s in the median task")
    assert found.headings[-4:] == (*rates, "Hours a million rows")
    assert "Rows/s of a thread and hours a million rows count that" in found.note
    by_name = {(row[0], row[1]): row[-4:] for row in found.rows}
    assert by_name == {
        ("ingest", "–"): ("2,000", "–", "–", "0.139"),
        ("infer", "xgboost"): ("2,500", "–", "5,100", "0.111"),
        ("infer", "mnn"): ("–", "4,000", "5,100", "0.0694"),
        ("match", "–"): ("–", "–", "–", "–"),
    }
    found = of_a_thread(tables.throughput.slice(0, 2))
    assert "Rows/s of a GPU" not in found.headings
    assert "GPU counts" not in found.note
