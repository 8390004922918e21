"""The page judges the source that it shows, one verdict at a time: in a real browser."""

import pyarrow.parquet as pq
import pytest
from explorer_client import running_explorer
from small_sky import drawn_run

from chromium import open_page

pytestmark = pytest.mark.browser

# Questions for a source wait until they are let go, or fail; verdicts are counted.
HOLD = """(() => {
  const real = window.fetch;
  Object.assign(window, { held: [], holding: false, failing: false, sent: 0 });
  window.fetch = async (path, more) => {
    if (more?.method === 'POST') window.sent += 1;
    if (!path.startsWith('/api/source')) return real(path, more);
    if (window.failing) throw new TypeError('cut off');
    if (window.holding) await new Promise(go => window.held.push(go));
    return real(path, more);
  };
})()"""
PRESS = """((key, times, repeat) => {
  for (let k = 0; k < times; k++) document.body.dispatchEvent(
    new KeyboardEvent('keydown', { key, repeat, bubbles: true, cancelable: true }));
})"""
SHOWN = "explorer.shown && explorer.shown.name"
DISABLED = "[...document.querySelectorAll('#judge button')].every(each => each.disabled)"


@pytest.fixture
def page(chromium, warm, tmp_path):
    drawn_run(tmp_path / "work")
    with (
        running_explorer(warm, tmp_path / "work", tmp_path / "log") as server,
        open_page(chromium, tmp_path) as page,
    ):
        page.window(1280, 1000)
        page.go(server.address)
        page.until("window.explorer && document.querySelectorAll('#list li').length === 50")
        yield page


def press(page, key, times=1, *, repeat=False):
    page.evaluate(f"{PRESS}({key!r}, {times}, {str(repeat).lower()})")


def kept(folder) -> dict[str, str]:
    table = pq.read_table(folder / "work/verdicts/verdicts.parquet").to_pylist()
    return {row["name"]: row["verdict"] for row in table}


def test_only_what_is_shown_is_judged_and_once(page, tmp_path):
    names = page.evaluate("explorer.lists.sources.slice(0, 4).map(each => each.name)")
    page.evaluate(HOLD)
    press(page, "j")
    page.until(f"({SHOWN}) === {names[0]!r}")

    page.evaluate("window.holding = true")
    press(page, "j")
    assert page.evaluate(DISABLED)
    press(page, "q")
    press(page, "u")
    assert page.evaluate("sent") == 0
    page.until("held.length")
    page.evaluate("held.pop()()")
    page.until(f"({SHOWN}) === {names[1]!r}")
    assert not page.evaluate(DISABLED)

    press(page, "q", repeat=True)
    assert page.evaluate("sent") == 0
    press(page, "q", times=3)
    page.until("held.length")
    assert page.evaluate("sent") == 1
    assert kept(tmp_path) == {names[1]: "quasar"}
    page.evaluate("holding = false, held.pop()()")
    page.until(f"({SHOWN}) === {names[2]!r}")
    press(page, "g")
    page.until(f"({SHOWN}) === {names[3]!r}")

    press(page, "u", times=3)
    page.until(f"({SHOWN}) === {names[2]!r}")
    assert page.evaluate("[sent, explorer.given.length]") == [3, 1]
    assert kept(tmp_path) == {names[1]: "quasar"}

    page.evaluate("window.failing = true")
    press(page, "j")
    page.until("document.getElementById('source-body').textContent.includes('could not be read')")
    press(page, "x")
    assert page.evaluate("[sent, explorer.shown]") == [3, None]
    assert page.console == []
