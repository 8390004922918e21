"""A tile that comes later touches the partitions it lies in, and nothing else."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from work_directories import summary_of

from kidsclf.pipeline.client_files import OF_THE_REPORT
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.margin import stretches_around
from kidsclf.sky.partition import Partition, spatial_index

CONFIG = """
[run]
report = false
[survey]
preset = "columns.toml"
catalogue = ["tile-*.parquet"]
[ingest]
max_rows = 500
chunk_rows = 400
[samples.spectra]
preset = "columns.toml"
tables = ["labels.parquet"]
[train]
sample = "spectra"
networks = ["xgboost"]
[train.trees]
trees = 4
depth = 2
"""
COLUMNS = """
name = "test"
bands = ["g", "r", "i"]
reference_band = "r"
[identifier]
columns = ["id"]
[position]
ra = "ra"
dec = "dec"
[magnitudes]
column = "{band}"
[label]
column = "class"
"""
ARGUMENTS = ("--set", "cluster.dashboard_port=0")


def write_tile(folder, number: int, rows: int, ra0: float) -> None:
    """Write a square degree of sources; its name comes before or after those of others."""
    rng = np.random.default_rng(number)
    kind = rng.choice(3, rows)
    columns = {
        "id": [f"{number}-{k}" for k in range(rows)],
        "ra": ra0 + rng.uniform(0, 1, rows),
        "dec": rng.uniform(-0.5, 0.5, rows),
        "r": rng.uniform(18, 22, rows),
    }
    columns["g"] = columns["r"] + kind * 0.5 + rng.normal(0, 0.1, rows)
    columns["i"] = columns["r"] - kind * 0.3 + rng.normal(0, 0.1, rows)
    columns["class"] = np.array(["STAR", "QSO", "GALAXY"])[kind]
    pq.write_table(pa.table(columns), folder / f"tile-{number:02d}.parquet")


@pytest.fixture
def survey(tmp_path):
    """Three tiles of 900 sources, labels in two of them; a tile that comes later is another."""
    folder = tmp_path / "survey"
    folder.mkdir()
    for number, ra0 in ((1, 30.0), (3, 31.0), (4, 36.0)):
        write_tile(folder, number, 900, ra0)
    parts = [pq.read_table(folder / f"tile-0{k}.parquet").slice(0, 300) for k in (1, 3)]
    pq.write_table(pa.concat_tables(parts), folder / "labels.parquet")
    (folder / "run.toml").write_text(CONFIG)
    (folder / "columns.toml").write_text(COLUMNS)
    return folder


def made_in(work, folders) -> dict[str, tuple[int, bytes]]:
    """Read what tasks left: time of change and bytes by path."""
    paths = (path for folder in folders for path in (work / folder).rglob("*") if path.is_file())
    return {
        str(path.relative_to(work)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in paths
        if "Npix=" in path.name or (path.parent.parent.name == "receipts")
    }


def partition_of(path: str) -> Partition | None:
    """Tell the partition of a file of rows, or of a receipt."""
    if "Npix=" in path:
        order = path.partition("Norder=")[2].partition("/")[0]
        return Partition(int(order), int(path.partition("Npix=")[2].partition(".")[0]))
    order, sign, pixel = (
        path.rpartition("/")[2].removesuffix(".json").rpartition("@")[2].partition("_")
    )
    return Partition(int(order), int(pixel)) if sign and order.isdigit() else None


def touched(path: str, index: np.ndarray) -> bool:
    partition = partition_of(path)
    return partition is None or bool(partition.contains(index).any())


def beside(path: str, changed: SkyIndex) -> bool:
    """Say whether a match may have had to look beyond the border, to where something is new."""
    if path.startswith(("catalog", "receipts/ingest")):
        return False
    partition = partition_of(path)
    return partition is not None and bool(changed.touching(stretches_around(partition, 2.0, 0)))


def test_partitions_without_new_rows_stay_as_they_are(survey, command, tmp_path):
    work, stages = tmp_path / "work", ("--stages", "ingest,match,train,infer,reduce")
    assert command(survey / "run.toml", "--workdir", work, *ARGUMENTS, *stages).code == 0
    folders = ("catalog", "samples", "scores", "receipts")
    before = made_in(work, folders)
    write_tile(survey, 2, 900, 37.5)  # before others by name, and in the last one's partitions
    done = command(survey / "run.toml", "--workdir", work, *ARGUMENTS, *stages)
    assert done.code == 0, done.err
    after = made_in(work, folders)

    new = pq.read_table(survey / "tile-02.parquet")
    index = spatial_index(new["ra"].to_numpy(), new["dec"].to_numpy())
    catalogue = {path for path in after if path.startswith("catalog")}
    changed = SkyIndex.of_partitions(
        [partition_of(path) for path in catalogue if after[path] != before.get(path)]
    )
    old = {path for path in before if not touched(path, index) and not beside(path, changed)}
    kinds = {"catalog", "samples", "scores", "ingest", "match", "infer", "reduce", "products"}
    seen = {path.split("/")[path.startswith("receipts")] for path in old}
    assert kinds <= seen, seen
    assert {path: after.get(path) for path in old} == {path: before[path] for path in old}
    chunks = {path for path in before if "ingest.read" in path and path.endswith(".json")}
    assert {path: after[path] for path in chunks} == {path: before[path] for path in chunks}
    assert "receipts/train/xgboost.json" in before
    assert after["receipts/train/xgboost.json"] == before["receipts/train/xgboost.json"]

    fresh = tmp_path / "fresh"
    assert command(survey / "run.toml", "--workdir", fresh, *ARGUMENTS, *stages).code == 0
    for folder in ("catalog", "samples", "scores", "products", "metrics"):
        for path in sorted((fresh / folder).rglob("*")):
            if path.is_file() and path.name not in OF_THE_REPORT:
                same = work / path.relative_to(fresh)
                assert same.read_bytes() == path.read_bytes(), path
    assert summary_of(work)["rows_in"] == 3600


def test_a_partition_that_overflows_is_divided_and_others_stay(survey, command, tmp_path):
    work, stages = tmp_path / "work", ("--stages", "ingest")
    assert command(survey / "run.toml", "--workdir", work, *ARGUMENTS, *stages).code == 0
    before = made_in(work, ("catalog",))
    write_tile(survey, 9, 2500, 36.0)  # upon a tile that is there
    done = command(survey / "run.toml", "--workdir", work, *ARGUMENTS, *stages)
    assert done.code == 0, done.err
    after = made_in(work, ("catalog",))
    gone = {partition_of(path) for path in before.keys() - after.keys()}
    came = {partition_of(path) for path in after.keys() - before.keys()}
    assert gone
    old = pa.concat_tables([pq.read_table(survey / f"tile-0{k}.parquet") for k in (1, 3, 4)])
    held = spatial_index(old["ra"].to_numpy(), old["dec"].to_numpy())
    for partition in came:  # a part of one that overflowed, or where nothing was before
        shifts = {other: 2 * (partition.order - other.order) for other in gone}
        within = [
            shift > 0 and partition.pixel >> shift == other.pixel for other, shift in shifts.items()
        ]
        assert any(within) or not partition.contains(held).any()
    new = pq.read_table(survey / "tile-09.parquet")
    index = spatial_index(new["ra"].to_numpy(), new["dec"].to_numpy())
    stayed = {path for path in before if not touched(path, index)}
    assert len(stayed) > 2
    assert {path: after[path] for path in stayed} == {path: before[path] for path in stayed}


def test_a_tile_that_is_taken_away_again_leaves_nothing(survey, command, tmp_path):
    stages = ("--stages", "ingest")
    work, first = tmp_path / "work", tmp_path / "first"
    assert command(survey / "run.toml", "--workdir", first, *ARGUMENTS, *stages).code == 0
    write_tile(survey, 2, 900, 31.5)
    assert command(survey / "run.toml", "--workdir", work, *ARGUMENTS, *stages).code == 0
    (survey / "tile-02.parquet").unlink()
    assert command(survey / "run.toml", "--workdir", work, *ARGUMENTS, *stages).code == 0
    for path in sorted((first / "catalog").rglob("*")):
        if path.is_file():
            assert (work / path.relative_to(first)).read_bytes() == path.read_bytes(), path
    facts = json.loads((work / "receipts/ingest/summary.json").read_text())["facts"]
    assert facts == json.loads((first / "receipts/ingest/summary.json").read_text())["facts"] | {
        "task_seconds": facts["task_seconds"]
    }
    assert not (work / "staging/catalogue").exists()


def test_a_run_cut_off_while_it_reads_again_goes_on(survey, command, tmp_path):
    """Rows staged by a run that was stopped are taken, and made anew where they were lost."""
    stages = ("--stages", "ingest")
    work, whole = tmp_path / "work", tmp_path / "whole"
    for place in (work, whole):
        assert command(survey / "run.toml", "--workdir", place, *ARGUMENTS, *stages).code == 0
    victims = sorted((work / "catalog").rglob("Npix=*.parquet"))[:2]
    for victim in victims:
        victim.unlink()
    (work / "staging/catalogue").mkdir(parents=True)
    done = command(survey / "run.toml", "--workdir", work, *ARGUMENTS, *stages)
    assert done.code == 0, done.err
    for victim in victims:
        assert victim.read_bytes() == (whole / victim.relative_to(work)).read_bytes()
    shutil.rmtree(work)
