"""Input that cannot be read, or kills its worker: named, or left out while the rest goes on."""

import json
import os
import shutil

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from processes import AtStages, finished_files, kill, summary_of, whole

from kidsclf.mock import MockSettings, write_survey

IMAGE_STAGES = ("cutouts", "features")
QUARANTINE = ("--set", "run.on_bad_input=quarantine")


def labels_of(work, count):
    """Give the labels of some partitions, the first, the last and those between."""
    receipts = sorted((work / "receipts/ingest").glob("[0-9]*.json"))
    labels = [json.loads(path.read_text())["task"] for path in receipts]
    return labels[:: max(1, (len(labels) - 1) // (count - 1))][:count]


def partition_rows(work, label):
    order, pixel = label.split("/")
    (path,) = work.glob(f"catalog/dataset/Norder={order}/Dir=*/Npix={pixel}.parquet")
    return pq.read_metadata(path).num_rows


def test_partitions_that_kill_workers_are_named_then_left_out_then_done(
    start, cluster, undisturbed, tmp_path
):
    work = tmp_path / "work"
    a, b, c = labels_of(undisturbed, 3)
    run = start(work, "--cluster", "local", poison=f"match {a}:die")
    assert run.follow() == 5
    assert f"task match {a} killed each of the 4 workers that touched it" in run.said[-1]
    before = finished_files(work)

    poison = f"match {a}:die;infer {b}:die;products {c}:eat"
    run = start(
        *(work, "--cluster", "local", *QUARANTINE, "--set", "run.report=true"),
        *("--set", "cluster.memory_gib_per_worker=1.5"),
        poison=poison,
        deaths=2,  # fewer than the usual four, which were shown above
    )
    assert run.follow() == 7, run.said
    assert before.items() <= finished_files(work).items()
    told = [event["task"] for event in run.events if event["event"] == "quarantine"]
    assert told == [f"match {a}", f"infer xgboost@{b}", f"products {c}"]
    record = json.loads((work / f"quarantine/infer/xgboost@{b.replace('/', '_')}.json").read_text())
    assert record["rows"] == partition_rows(undisturbed, b)
    assert "killed each of the 2 workers" in record["reason"]
    summary = summary_of(work)
    lost = sum(partition_rows(undisturbed, label) for label in (a, b))
    assert summary["rows_in"] == summary["rows_out"] + sum(
        step["rows_cut"]
        for step in summary["cut_flow"]
        if step["stage"] in ("ingest", "quarantine")
    )
    assert summary["rows_out"] == summary_of(undisturbed)["rows_out"] - lost
    products = ds.dataset(work / "products/catalog/dataset", exclude_invalid_files=True)
    assert products.count_rows() == summary["rows_out"] - partition_rows(undisturbed, c)
    assert "are in quarantine" in summary["warnings"][0]
    assert "are in quarantine" in (work / "report/index.html").read_text()

    run = start(work, "--cluster", cluster.address)
    assert run.follow() == 0, run.said
    assert before.items() <= finished_files(work).items()
    assert whole(work, undisturbed)


def test_a_damaged_table_is_left_out_by_chunks(start, survey, cluster, undisturbed, tmp_path):
    shutil.copytree(survey, tmp_path / "survey", copy_function=shutil.copy2)
    config, work = tmp_path / "survey/run.toml", tmp_path / "work"
    table = tmp_path / "survey/catalogue-1.parquet"
    sound, times = table.read_bytes(), table.stat()
    at = pq.read_metadata(table).row_group(0).column(0).data_page_offset
    table.write_bytes(sound[: at + 20] + bytes(200) + sound[at + 220 :])
    run = start(work, "--cluster", cluster.address, config=config)
    assert run.follow() == 3
    assert str(table) in run.said[-1]
    run = start(work, "--cluster", cluster.address, *QUARANTINE, config=config)
    assert run.follow() == 7, run.said
    told = [event["task"] for event in run.events if event["event"] == "quarantine"]
    assert told
    assert {task.split()[0] for task in told} == {"ingest.read"}
    summary = summary_of(work)
    assert 0 < summary["rows_out"] <= summary["rows_in"] <= 800
    table.write_bytes(sound)
    os.utime(table, ns=(times.st_atime_ns, times.st_mtime_ns))
    run = start(work, "--cluster", cluster.address, config=config)
    assert run.follow() == 0, run.said
    assert whole(work, undisturbed)


TILES = """
[survey]
preset = "kids_dr4"
catalogue = ["survey/catalogues/*.fits"]
tiles = ["survey/tiles/*_r_sci.fits*"]
[ingest]
max_rows = 100
[features]
measure = ["gini", "m20"]
[cluster]
dashboard_port = 0
"""


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """A mock survey of 0.02 square degrees on four tiles."""
    folder = tmp_path_factory.mktemp("tiles")
    settings = MockSettings(area_deg2=0.02, seed=2, labelled=60, tile_deg=0.08, compress=True)
    write_survey(settings, folder / "survey")
    (folder / "run.toml").write_text(TILES)
    return folder


def made_of_images(work):
    """Read the stamps and what was measured on them."""
    files = [*(work / "cutouts.zarr").rglob("*"), *(work / "features").rglob("*")]
    return {str(path.relative_to(work)): path.read_bytes() for path in files if path.is_file()}


def test_a_tile_that_vanishes(start, cluster, tiles, tmp_path):
    asked = ("--cluster", cluster.address, "--stages", "ingest,cutouts,features")
    config, work, sound = tiles / "run.toml", tmp_path / "work", tmp_path / "sound"
    assert start(sound, *asked, config=config).follow() == 0
    tile = max((tiles / "survey/tiles").glob("*_r_sci.fits*"))
    away = tile.with_name("away")

    def take_away(event):
        if event["event"] == "stage" and event["stage"] == "cutouts":
            tile.rename(away)

    before = {}
    for settings, code in (((), 3), (QUARANTINE, 7)):
        run = start(work, *asked, *settings, config=config)
        try:
            assert run.follow(take_away) == code, run.said
        finally:
            away.rename(tile)
        said = [event["reason"] for event in run.events if event["event"] == "quarantine"]
        assert str(tile) in (said[0] if said else run.said[-1])
        assert before.items() <= finished_files(work).items()
        before = finished_files(work)
    assert 0 < len(made_of_images(work)) < len(made_of_images(sound))

    # Where there are stamps, killed workers and a killed command cost nothing either.
    run = start(work, *asked, config=config)
    assert run.follow(AtStages(work, lambda _: kill(run.process), 6, "cutouts")) == -9
    run = start(work, *asked, config=config)
    deed = AtStages(work, lambda chance: kill(chance.choice(cluster.workers)), 6, *IMAGE_STAGES)
    assert run.follow(deed) == 0, run.said
    assert "features" in deed.struck
    assert before.items() <= finished_files(work).items()
    assert made_of_images(work) == made_of_images(sound)
    assert not (work / "quarantine").exists()
