"""The page in headless Chromium: at a desk, on a phone and on paper, light and dark."""

import base64
import html
import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import matplotlib.image
import numpy as np
import pytest

from chromium import FLAGS, open_page
from kidsclf.report import ReportTables, render_page

pytestmark = pytest.mark.browser

LIGHT, DARK = "--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"

# Chromium has no window narrower than 500 pixels: a phone is a frame, and the frame is measured.
PHONE = """<!doctype html><body style="margin:0">
<iframe src="page.html" style="width:390px;height:3000px;border:0"></iframe>
<p id="found"></p>
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  const shown = name => [...page.querySelectorAll(name)].some(e => e.getClientRects().length);
  const small = [...page.querySelectorAll("body *")].filter(e => e.getClientRects().length
    && e.textContent.trim() && !e.closest("svg") && parseFloat(page.defaultView
    .getComputedStyle(e).fontSize) < 12);
  document.getElementById("found").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth, narrow: shown(".narrow"), wide: shown(".wide"),
    small: small.length, sections: page.querySelectorAll("section").length });
};
</script>"""


class Recorder(SimpleHTTPRequestHandler):
    """Serves a folder and remembers what was asked for."""

    def log_message(self, *words):
        self.server.asked.append(self.path)


@pytest.fixture(scope="module")
def site(page, tmp_path_factory):
    """Serve the page on loopback: the address, the folder, and the paths asked for."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "empty.html").write_text(render_page(ReportTables()), encoding="utf-8")
    (folder / "phone.html").write_text(PHONE, encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Recorder, directory=str(folder)))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder, server.asked
    server.shutdown()
    thread.join()
    server.server_close()


def browse(chromium, folder, *arguments):
    """Run the browser with a profile of its own; returns its output and its console messages."""
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return answer.stdout, [line for line in answer.stderr.splitlines() if "CONSOLE" in line]


def requests_of_the_page(log, address):
    """List what the page itself had the browser fetch; the browser's own errands are not its."""
    record = json.loads(log.read_text())
    start = record["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    started = [e["params"] for e in record["events"] if e["type"] == start and "params" in e]
    host = address.rpartition(":")[0]
    return {p["url"] for p in started if p.get("network_isolation_key", "").startswith(host)}


@pytest.mark.parametrize("name", ["page.html", "empty.html"])
def test_no_messages_and_no_request_beyond_the_page(chromium, site, tmp_path, name):
    address, _, asked = site
    asked.clear()
    log = tmp_path / "net.json"
    url = f"{address}/{name}"
    dom, console = browse(chromium, tmp_path, f"--log-net-log={log}", "--dump-dom", url)
    assert "Settings and versions" in dom
    assert console == []
    assert asked == [f"/{name}"]
    assert requests_of_the_page(log, address) == {url}


def test_a_message_and_a_request_would_be_seen(chromium, site, tmp_path):
    """Without this, the silence above could mean that nobody listens."""
    address, folder, _ = site
    away = "http://elsewhere.invalid/a.png"
    (folder / "loud.html").write_text(f"<img src='{away}'><script>console.error(1)</script>")
    log = tmp_path / "net.json"
    url = f"{address}/loud.html"
    _, console = browse(chromium, tmp_path, f"--log-net-log={log}", "--dump-dom", url)
    assert console
    assert away in requests_of_the_page(log, address)


# Uses the page as a reader does, and writes down what came of it.
USED = """<!doctype html><body>
<iframe src="page.html" style="width:1200px;height:900px"></iframe><p id="found"></p>
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument, view = page.defaultView;
  const found = {};
  const table = [...page.querySelectorAll("table")].find(t =>
    t.caption.textContent.startsWith("Stages, "));
  const column = k => [...table.tBodies[0].rows].map(row => row.cells[k].textContent);
  const press = k => table.tHead.rows[0].cells[k].querySelector("button").click();
  press(4); found.up = column(4); press(4); found.down = column(4);
  found.sorted = table.tHead.rows[0].cells[4].getAttribute("aria-sort");
  press(0); found.names = column(0);
  const form = page.querySelector("form.filter");
  const cards = () => [...page.querySelectorAll("#gallery .cards li")]
    .filter(e => e.getClientRects().length).length;
  found.all = cards();
  form.elements.class.value = "QSO"; form.elements.kind.value = "novel";
  form.dispatchEvent(new view.Event("change"));
  found.some = cards(); found.told = form.querySelector("output").textContent;
  let name, kept;
  view.HTMLAnchorElement.prototype.click = function () { name = this.download; };
  view.URL.createObjectURL = blob => { kept = blob; return "#"; };
  page.querySelector("#fig-counts button[data-svg]").click();
  found.file = name;
  const unnamed = page.querySelectorAll("button:empty, a:empty, select:not(label select)").length;
  found.unnamed = unnamed;
  kept.text().then(text => {
    const svg = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    found.svg = [svg.tagName, text.includes("var("), text.includes("#d55e00"),
      svg.getAttribute("width").endsWith("pt")];
    document.getElementById("found").textContent = JSON.stringify(found);
  });
};
</script>"""


def test_tables_sort_the_gallery_filters_and_figures_are_files(chromium, site, tmp_path):
    address, folder, _ = site
    (folder / "used.html").write_text(USED, encoding="utf-8")
    dom, console = browse(
        chromium, tmp_path, "--virtual-time-budget=8000", "--dump-dom", f"{address}/used.html"
    )
    assert console == []
    found = json.loads(html.unescape(dom.split('id="found">')[1].split("</p>")[0]))
    times = ["5.2 s", "8.1 s", "41.2 s", "58.3 s", "1 min 36 s", "5 min 12 s"]
    assert found["up"] == times
    assert found["down"] == times[::-1]
    assert found["sorted"] == "descending"
    assert found["names"] == ["cutouts", "infer", "ingest", "match", "reduce", "train"]
    assert found["all"] == 3 * 4 * 6
    assert (found["some"], found["told"]) == (6, "6 sources shown")
    assert (found["file"], found["svg"]) == ("fig-counts.svg", ["svg", False, True, True])
    assert found["unnamed"] == 0


def test_a_phone_shows_the_narrow_drawings_and_does_not_scroll_sideways(chromium, site, tmp_path):
    address, _, _ = site
    dom, _ = browse(
        chromium, tmp_path, "--virtual-time-budget=8000", "--dump-dom", f"{address}/phone.html"
    )
    found = json.loads(dom.split('id="found">')[1].split("</p>")[0])
    assert found == {"width": 390, "narrow": True, "wide": False, "small": 0, "sections": 17}


# What stands on paper, and what is wider than it.
ON_PAPER = """(() => {
  const shown = e => e.getClientRects().length > 0 && e.checkVisibility();
  const all = name => [...document.querySelectorAll(name)];
  return {
    sections: all("main section > h2").filter(shown).length,
    figures: all("figure .wide svg").every(shown),
    folded: all("details.folded > :last-child").every(shown),
    beside: all("nav, .filter, .files, figure details, .narrow").filter(shown).length,
    paper: getComputedStyle(document.body).backgroundColor,
    cut: all("main *").filter(e => !e.closest("svg") && shown(e)
      && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent),
  };
})()"""


def test_paper_has_every_section_whole_and_nothing_to_press(chromium, site, tmp_path):
    address, _, _ = site
    with open_page(chromium, tmp_path) as page:
        page.window(703, 1000, dark=True)  # A4 between its margins, in CSS pixels
        page.go(f"{address}/page.html")
        dark = {"name": "prefers-color-scheme", "value": "dark"}
        page.call("Emulation.setEmulatedMedia", media="print", features=[dark])
        found = page.evaluate(ON_PAPER)
        printed = page.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
    whole = {"sections": 17, "figures": True, "folded": True, "beside": 0, "cut": []}
    assert found == whole | {"paper": "rgb(255, 255, 255)"}
    pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
    assert 10 < len(pages) < 100


def test_the_first_paint_waits_for_no_script(page, chromium, site, tmp_path):
    assert page.count("<script") == 1
    assert page.index("<script") > page.rindex("</footer>")
    address, _, _ = site
    with open_page(chromium, tmp_path) as opened:
        opened.go(f"{address}/page.html")
        paints = opened.until("performance.getEntriesByType('paint').map(e => e.name)")
    assert "first-contentful-paint" in paints


@pytest.mark.parametrize(
    ("scheme", "expected"), [(LIGHT, (255, 255, 255)), (DARK, (20, 24, 28))], ids=["light", "dark"]
)
@pytest.mark.parametrize("width", [1280, 500])
def test_pictures_in_light_and_dark(chromium, site, tmp_path, scheme, expected, width):
    address, _, _ = site
    picture = tmp_path / "page.png"
    browse(
        chromium,
        tmp_path,
        scheme,
        f"--window-size={width},2000",
        f"--screenshot={picture}",
        f"{address}/page.html",
    )
    pixels = np.round(255 * matplotlib.image.imread(picture)).astype(int)[..., :3]
    assert pixels.shape[:2] == (2000, width)
    paper = (pixels == expected).all(axis=2)
    assert 0.5 < paper.mean() < 0.99
    assert paper[:, :4].all()
    assert paper[:, -4:].all()
