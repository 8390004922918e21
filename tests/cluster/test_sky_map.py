"""The map of the sky on the dashboard: its states, and the page in a real browser."""

import time

import pytest
from distributed import Client, Event
from hypothesis import given
from hypothesis import strategies as st

from chromium import open_page
from kidsclf.cluster.open import open_cluster, sky_link
from kidsclf.cluster.sky_map import COLOURS
from kidsclf.cluster.sky_states import MOST_CELLS, TOPIC, SkyStates, cells_of
from kidsclf.config import ClusterSettings

HASH = "0" * 32


@given(
    order=st.integers(0, 12),
    pixels=st.sets(st.integers(0, 12 * 4**12 - 1), min_size=1, max_size=200),
    most=st.integers(12, 100),
)
def test_every_task_lies_in_one_cell_and_cells_are_few(order, pixels, most):
    import kidsclf.cluster.sky_states as module

    labels = [f"{order}/{pixel % (12 * 4**order)}" for pixel in pixels]
    before, module.MOST_CELLS = module.MOST_CELLS, most
    try:
        cells = cells_of(labels, [])
    finally:
        module.MOST_CELLS = before
    assert sum(cells["todo"].values()) == cells["tasks"] == len(labels)
    assert len(cells["todo"]) <= most
    states = SkyStates()
    states.log_event(TOPIC, {"stage": "infer", **cells})
    for label in labels:
        key = f"infer:mlp-{label}-{HASH}"
        states.transition(key, "waiting", "processing")
        states.transition(key, "processing", "memory")
    assert {cell.state for cell in states.cells.values()} == {"done"}
    assert states.done == len(labels)


def test_a_cell_takes_the_state_that_matters_most():
    states = SkyStates()
    assert MOST_CELLS > 1000
    cells = cells_of(["1/0", "1/1", "1/2", "1/3", "train"], ["1/4"])
    states.log_event(TOPIC, {"stage": "match", **cells})
    for label in ("1/0", "1/1", "1/2"):
        states.transition(f"match-{label}-{HASH}", "queued", "processing")
    states.transition(f"match-1/1-{HASH}", "processing", "memory")
    states.transition(f"match-1/2-{HASH}", "processing", "erred")
    states.log_event(TOPIC, {"quarantined": "1/2"})
    found = {label: cell.state for label, cell in states.cells.items()}
    assert found == {
        "1/0": "running",
        "1/1": "done",
        "1/2": "quarantined",
        "1/3": "pending",
        "1/4": "done",
    }


def test_a_stage_without_places_leaves_the_map():
    states = SkyStates()
    states.log_event(TOPIC, {"stage": "match", **cells_of([], ["2/5"])})
    states.log_event(TOPIC, {"stage": "train", **cells_of(["mlp", "xgboost"], [])})
    states.transition(f"train-mlp-{HASH}", "queued", "processing")
    states.transition(f"train-mlp-{HASH}", "processing", "memory")
    assert (states.stage, states.tasks, states.done) == ("train", 2, 1)
    assert list(states.cells) == ["2/5"]


def work_until(name: str) -> None:
    """Work on a task until the test lets it end."""
    Event(name).wait(60)


STATES_IN_PAGE = """
(async () => {
  const wanted = %s, count = {};
  for (let k = 0; k < 150; k++) {
    const doc = window.Bokeh && Bokeh.documents[0];
    const models = doc ? [...doc._all_models.values()] : [];
    const columns = models.filter(m => m.get_column).map(m => m.get_column("state"));
    const states = Array.from(columns.find(each => each != null) ?? []);
    for (const s of ["pending", "running", "done", "quarantined"])
      count[s] = states.filter(each => each == s).length;
    if (Object.entries(wanted).every(([s, n]) => count[s] == n)) break;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  return count;
})()
"""


@pytest.mark.browser
def test_the_page_follows_the_stage_in_a_browser(chromium, tmp_path):
    import json

    import matplotlib.image

    settings = ClusterSettings(workers=2, memory_gib_per_worker=1.0, dashboard_port=0)
    labels = [f"5/{pixel}" for pixel in range(4096, 4096 + 60)]
    with (
        open_cluster(
            settings, scratch=tmp_path / "s", logs=tmp_path / "l", environment={}
        ) as client,
        open_page(chromium, tmp_path) as page,
    ):
        page.window(900, 700)
        page.go(sky_link(client.dashboard_link))
        client.wait_for_workers(2)
        client.log_event(TOPIC, {"stage": "infer:mlp", **cells_of(labels[10:], labels[:10])})
        futures = client.map(
            work_until,
            [f"end-{k}" for k in range(50)],
            key=[f"infer:mlp-{label}-{HASH}" for label in labels[10:]],
        )
        wanted = {"pending": 48, "running": 2, "done": 10, "quarantined": 0}
        assert page.evaluate(STATES_IN_PAGE % json.dumps(wanted)) == wanted
        for k in range(20):
            let_end(client, k, futures)
        client.log_event(TOPIC, {"quarantined": labels[-1]})
        wanted = {"pending": 27, "running": 2, "done": 30, "quarantined": 1}
        assert page.evaluate(STATES_IN_PAGE % json.dumps(wanted)) == wanted
        time.sleep(0.5)  # the drawing follows the data
        page.picture(tmp_path / "sky.png")
        image = matplotlib.image.imread(tmp_path / "sky.png")[..., :3]
        for colour in COLOURS.values():
            rgb = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
            assert (abs(image - rgb).max(axis=2) < 0.01).sum() > 300, colour
        for k in range(20, 50):
            Event(f"end-{k}", client=client).set()


def let_end(client: Client, number: int, futures: list) -> None:
    """Let one task end, and wait for that."""
    Event(f"end-{number}", client=client).set()
    futures[number].result(timeout=60)


def test_it_is_beside_the_dashboard():
    assert sky_link("http://127.0.0.1:8787/status") == "http://127.0.0.1:8787/individual-sky"
