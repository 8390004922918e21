"""The explorer in a real browser: pan, zoom, click, filter, go through a list, judge, come back."""

from contextlib import suppress

import matplotlib.image
import numpy as np
import pyarrow.parquet as pq
import pytest
from explorer_client import running_explorer

from chromium import open_page

pytestmark = pytest.mark.browser

SHOWN = """(explorer.sky.place.ariaBusy === 'false' && explorer.sky.view.kind === 'sources'
  && explorer.sky.dots.data.x.length)"""
TOLD = "document.getElementById('list-status').textContent"
LISTED = "document.querySelectorAll('#list li').length"
MIDDLE = """(box => [box.x + box.width / 2, box.y + box.height / 2])(
  document.getElementById('sky').getBoundingClientRect())"""
# Where on the window a source of the map is drawn: the one nearest to the middle.
PLACE = """(() => {
  const box = document.getElementById('sky').getBoundingClientRect();
  const { x, y } = explorer.sky.dots.data;
  const [w, h] = explorer.sky.sides();
  const order = x.map((_, k) => k).sort((a, b) => Math.hypot(x[a], y[a]) - Math.hypot(x[b], y[b]));
  const k = order[0];
  return [box.x + box.width * (x[k] + w) / 2 / w, box.y + box.height * (h - y[k]) / 2 / h,
    explorer.sky.view.sources[explorer.sky.dots.data.place[k]].name];
})()"""
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
DRAWN = """(all => all.length && all.every(e => e.complete && e.naturalWidth))(
  [...document.querySelectorAll('#stamps img')])"""
ONLY_BRIGHT = """(form => {
  form.mag_max.value = '21';
  form.dispatchEvent(new Event('input'));
})(explorer.filters.form)"""
SMALL = """[...document.querySelectorAll('main *')].filter(e => e.getClientRects().length
  && !e.closest('svg') && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())
  && parseFloat(getComputedStyle(e).fontSize) < 11.5).map(e => e.outerHTML)"""
NAMELESS = """[...document.querySelectorAll('button, input, select, img, [role]')].filter(e =>
  e.getClientRects().length && !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.length
  || e.getAttribute('aria-labelledby') || e.getAttribute('role') === 'status'))
  .map(e => e.outerHTML)"""


@pytest.fixture(scope="module")
def server(warm, explored_work):
    with running_explorer(warm, explored_work, explored_work.parent / "browser.log") as running:
        yield running


@pytest.fixture
def page(chromium, server, tmp_path):
    with open_page(chromium, tmp_path) as page:
        page.window(1280, 1000)
        page.go(server.address)
        page.until(f"window.explorer && {SHOWN} && {LISTED}")
        yield page


def title(page) -> str:
    return page.evaluate("document.getElementById('source-title').textContent")


def click_a_source(page) -> None:
    """Click until a source opens: a browser short of time may not have drawn what it has."""
    for _ in range(6):
        page.evaluate(PAINTED)
        x, y, name = page.evaluate(PLACE)
        page.click(x, y)
        opened = f"document.getElementById('source-title').textContent === {name!r}"
        with suppress(AssertionError):
            page.until(opened, seconds=10.0)
            return
    raise AssertionError("no source was opened by six clicks")


def test_a_visit(page, server, explored_work):
    page.until(f"{TOLD}.startsWith('The first')")
    whole = page.evaluate(TOLD)
    before = page.evaluate("[explorer.sky.centre.ra, explorer.sky.centre.dec, explorer.sky.half]")

    x, y = page.evaluate(MIDDLE)
    page.drag((x, y), (x + 60, y + 40))
    page.until(f"explorer.sky.centre.dec > {before[1]} + 1e-5")
    assert (page.evaluate("explorer.sky.centre.ra") - before[0]) % 360 < 180
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-600)
    page.until(f"explorer.sky.half < 0.9 * {before[2]}")
    page.evaluate("document.getElementById('zoom-all').click()")
    page.until(f"Math.abs(explorer.sky.half - {before[2]}) < 1e-9 && {SHOWN}")

    page.evaluate("explorer.sky.zoom(0.2)")
    page.until(f"{SHOWN} && explorer.where.radius < {before[2]}")
    click_a_source(page)
    page.until(DRAWN)
    assert page.evaluate("document.querySelectorAll('#sed svg').length") == 1
    assert page.evaluate("document.querySelectorAll('#source .bars').length") >= 1

    page.evaluate("document.getElementById('zoom-all').click()")
    everything = page.until(f"explorer.sky.half > 0.9 * {before[2]} && {SHOWN}")
    page.evaluate(ONLY_BRIGHT)
    page.until(f"{SHOWN} && explorer.sky.view.sources.every(e => e.r <= 21)")
    assert 0 < page.evaluate("explorer.sky.dots.data.x.length") < everything
    page.until(f"{TOLD}.startsWith('The first') && {TOLD} !== {whole!r}")
    assert page.evaluate("explorer.lists.sources.every(e => e.r <= 21)")
    page.evaluate("explorer.filters.form.reset()")
    page.until(f"({SHOWN}) === {everything}")
    page.until(f"{TOLD} === {whole!r}")

    # The source that was clicked may stand on the list: keys go on from it.
    names = page.evaluate(
        "explorer.lists.sources.slice(explorer.lists.at + 1).slice(0, 3).map(e => e.name)"
    )
    for key, expected in (("j", 0), ("j", 1), ("k", 0)):
        page.key(key)
        page.until(f"document.getElementById('source-title').textContent === {names[expected]!r}")
    page.key("q")
    page.until(f"document.getElementById('source-title').textContent === {names[1]!r}")
    page.key("x")
    page.until(f"document.getElementById('source-title').textContent === {names[2]!r}")
    page.key("u")
    page.until(f"document.getElementById('source-title').textContent === {names[1]!r}")
    page.until("document.getElementById('verdict-counts').textContent.includes('junk 0')")
    table = pq.read_table(explored_work / "verdicts/verdicts.parquet").to_pylist()
    assert [(row["name"], row["verdict"]) for row in table] == [(names[0], "quasar")]

    page.go(server.address)
    page.until(f"window.explorer && {LISTED}")
    given = "[...document.querySelectorAll('#list li')].find(e => e.lastChild.textContent)"
    page.until(f"{given} && {given}.lastChild.textContent === 'quasar'")
    page.evaluate(f"{given}.click()")
    pressed = "document.querySelector('#judge [aria-pressed=true]')"
    assert page.until(f"{pressed} && {pressed}.dataset.verdict") == "quasar"
    assert title(page) == names[0]

    assert page.console == []
    home = f"http://127.0.0.1:{server.port}/"
    assert {each for each in page.requests if not each.startswith((home, "data:"))} == set()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("phone", [False, True])
def test_at_a_desk_and_on_a_phone_in_light_and_dark(page, tmp_path, phone, dark):
    width, height = (390, 844) if phone else (1280, 1000)
    page.window(width, height, dark=dark, phone=phone)
    page.until(f"innerWidth === {width} && {SHOWN}")
    page.key("j")
    page.until(DRAWN)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(SMALL) == []
    assert page.evaluate(NAMELESS) == []
    page.picture(tmp_path / "page.png")
    pixels = np.round(255 * matplotlib.image.imread(tmp_path / "page.png")).astype(int)[..., :3]
    paper = (20, 24, 28) if dark else (255, 255, 255)
    assert (pixels == paper).all(axis=2).mean() > 0.3
    assert page.console == []
