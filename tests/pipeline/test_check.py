"""Every fault planted in a work directory is found and named, and a sound one has none."""

import json
import random
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from kidsclf.errors import StoreError
from kidsclf.pipeline.check import check_work_directory
from kidsclf.pipeline.client_files import OF_THE_REPORT
from kidsclf.store.layout import WorkDirectory


@pytest.fixture
def work(image_run, tmp_path):
    """A finished run with images of one's own."""
    shutil.copytree(image_run, tmp_path / "work")
    return tmp_path / "work"


def faults_of(work) -> list[tuple[str, str]]:
    found = list(check_work_directory(WorkDirectory(UPath(work)), 2))
    return [(fault.path, fault.what) for finding in found for fault in finding.faults]


def partition_files(work, folder: str):
    return sorted((work / folder / "dataset").rglob("Npix=*.parquet"))


def rewrite(path, change) -> None:
    """Write a partition anew, as an unlucky program would, and make its receipt fit."""
    table = change(pq.read_table(path, partitioning=None))
    pq.write_table(table, path)


def test_a_sound_run_has_no_faults(image_run):
    found = list(check_work_directory(WorkDirectory(UPath(image_run)), 2))
    assert [finding.part for finding in found] == [
        *("catalog", "cutouts.zarr", "features", "samples/sdss", "samples/gaia"),
        *("samples/gama", "models"),
        *("scores/mnn", "scores/mlp", "scores/xgboost", "products/catalog", "metadata and tables"),
    ]
    assert [finding.faults for finding in found] == [()] * len(found)
    rows = json.loads((image_run / "metrics/summary.json").read_text())["rows_out"]
    assert f"{rows:,} rows" in found[0].read


def truncate(work):
    path = partition_files(work, "catalog")[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path, "cannot be read"


def misplace(work):
    path, other = partition_files(work, "catalog")[:2]
    rewrite(
        path,
        lambda table: pa.concat_tables(
            [table.slice(1), pq.read_table(other, partitioning=None).slice(0, 1)]
        ),
    )
    return path, "1 lie outside it"


def unsort(work):
    path = partition_files(work, "catalog")[0]
    rewrite(path, lambda table: table.take(np.arange(table.num_rows)[::-1].copy()))
    return path, "they are not sorted"


def lose_rows(work):
    path = partition_files(work, "catalog")[0]
    rewrite(path, lambda table: table.slice(0, table.num_rows - 3))
    return path, "rows of its own in order, but it holds"


def lose_a_file(work):
    path = partition_files(work, "scores/mlp")[1]
    path.unlink()
    return path, "is missing"


def mix_stamps_up(work):
    one, other = sorted((work / "cutouts.zarr").glob("norder-*/npix-*"))[:2]
    one.rename(work / "aside")
    other.rename(one)
    (work / "aside").rename(other)
    return one, "belong to other sources"


def spoil_a_stamp(work):
    group = min((work / "cutouts.zarr").glob("norder-*/npix-*"))
    flip(max((p for p in group.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size), 5)
    return group, "its checksum differs"


def leave_a_group(work):
    group = min((work / "cutouts.zarr").glob("norder-*/npix-*"))
    shutil.copytree(group, group.with_name("npix-7"))
    return group.with_name("npix-7"), "belongs to no partition"


def mix_scores_up(work):
    path = partition_files(work, "scores/xgboost")[0]
    rewrite(path, lambda t: t.set_column(1, "name", pc_upper(t["name"])))
    return path, "holds other sources, or in another order, than the catalogue"


def pc_upper(names):
    return pa.array([f"{name}x" for name in names.to_pylist()])


def label_a_stranger(work):
    path = partition_files(work, "samples/sdss")[0]
    rewrite(path, lambda t: t.set_column(1, "name", pc_upper(t["name"])))
    return path, "holds sources that the catalogue does not"


def shift_products(work):
    path = partition_files(work, "products/catalog")[0]
    rewrite(path, lambda table: table.take(np.roll(np.arange(table.num_rows), 1)))
    return path, "holds other sources, or in another order"


def tell_wrong_rows(work):
    path = work / "catalog/hats.properties"
    path.write_text(path.read_text().replace("hats_nrows=", "hats_nrows=1"))
    return path, "tells of other partitions or rows"


def tell_wrong_partitions(work):
    path = work / "scores/mnn/partition_info.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    return path, "tells of other partitions or rows"


def leave_a_partition(work):
    path = partition_files(work, "catalog")[0]
    stray = path.with_name("Npix=3.parquet")
    shutil.copy(path, stray)
    return stray, "belongs to no partition"


def lose_a_receipt(work):
    path = min((work / "receipts/ingest").glob("*_*.json"))
    path.unlink()
    return path, "is missing"


def spoil_a_network(work):
    path = work / "models/mlp"
    flip(path / "model.keras", 9)
    return path, "its checksum differs"


def spoil_the_fits_table(work):
    flip(work / "products/catalog.fits", 3)
    return work / "products/catalog.fits", "its checksum differs"


def flip(path, seed: int) -> None:
    """Flip one bit somewhere."""
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(len(content))] ^= 1 << (seed % 8)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "plant",
    [
        *(truncate, misplace, unsort, lose_rows, lose_a_file, mix_stamps_up, spoil_a_stamp),
        *(leave_a_group, mix_scores_up, label_a_stranger, shift_products, tell_wrong_rows),
        *(tell_wrong_partitions, leave_a_partition, lose_a_receipt, spoil_a_network),
        spoil_the_fits_table,
    ],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_fault_is_named(plant, work):
    path, what = plant(work)
    found = [said for where, said in faults_of(work) if work / where == path]
    assert len(found) >= 1, faults_of(work)
    assert what in found[0]


def test_a_flipped_bit_is_found_wherever_it_is(work):
    """One bit in one file of each folder that tasks or the client wrote."""
    chance = random.Random(11)
    folders = ("catalog", "samples", "scores", "products", "metrics", "models", "cutouts.zarr")
    for folder in folders:
        files = sorted(path for path in (work / folder).rglob("*") if path.is_file())
        files = [path for path in files if path.name not in (*OF_THE_REPORT, ".zgroup")]
        # the groups above the partitions are opened by nobody and hold nothing
        files = [p for p in files if p.name != "zarr.json" or "npix-" in str(p.parent)]
        for path in chance.sample(files, 6):
            sound = path.read_bytes()
            flip(path, chance.randrange(1000))
            named = [where for where, _ in faults_of(work)]
            assert any(str(path).startswith(str(work / where)) for where in named), path
            path.write_bytes(sound)
    assert faults_of(work) == []


def test_what_is_no_work_directory_is_refused(tmp_path, image_run):
    shutil.copy(image_run / "run.toml", tmp_path)
    with pytest.raises(StoreError, match="no finished catalogue"):
        list(check_work_directory(WorkDirectory(UPath(tmp_path)), 1))


def test_a_run_of_some_stages_is_sound(work):
    for folder in ("scores", "metrics", "products", "report"):
        shutil.rmtree(work / folder)
    for stage in ("infer", "reduce", "products"):
        shutil.rmtree(work / "receipts" / stage)
    assert faults_of(work) == []
