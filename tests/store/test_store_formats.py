"""What lies on disk: HATS catalogues, stamps, receipts, FITS; and that none appears by halves."""

from contextlib import suppress
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from kidsclf.errors import StoreError
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.check import partition_faults
from kidsclf.store.checksums import checksum
from kidsclf.store.publish import published_file, published_folder, remove_unfinished
from kidsclf.store.receipts import Receipt, is_finished, measure, read_receipt, write_receipt

PARTITION = Partition(4, 1000)


def rows_inside(partition: Partition, n: int, seed: int = 1) -> pa.Table:
    rng = np.random.default_rng(seed)
    index = rng.integers(partition.first_index, partition.last_index, n)
    table = pa.table(
        {
            "_healpix_29": pa.array(index, pa.int64()),
            "name": [f"s{k:05d}" for k in range(n)],
            "ra": rng.uniform(0, 360, n),
            "dec": rng.uniform(-90, 90, n),
        }
    )
    return sort_rows(table)


def test_a_partition_comes_back_as_written(tmp_path):
    store, table = HatsCatalogue(tmp_path / "c"), rows_inside(PARTITION, 50)
    path = store.write(PARTITION, table)
    assert path == tmp_path / "c/dataset/Norder=4/Dir=0/Npix=1000.parquet"
    assert store.read(PARTITION).equals(table)
    assert store.read(PARTITION, ["ra"]).column_names == ["ra"]


def test_a_high_pixel_lies_in_its_thousands(tmp_path):
    path = HatsCatalogue(tmp_path).path(Partition(9, 123456))
    assert path == tmp_path / "dataset/Norder=9/Dir=120000/Npix=123456.parquet"


@pytest.mark.parametrize("fault", ["stranger", "unsorted"])
def test_a_wrong_partition_is_not_written(tmp_path, fault):
    table = rows_inside(PARTITION, 20)
    if fault == "stranger":
        index = table["_healpix_29"].to_numpy().copy()
        index[-1] = PARTITION.last_index
        table = table.set_column(0, "_healpix_29", pa.array(index))
    else:
        table = table.take(np.arange(20)[::-1].copy())
    store = HatsCatalogue(tmp_path)
    with pytest.raises(StoreError, match="outside it" if fault == "stranger" else "not sorted"):
        store.write(PARTITION, table)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("fault", ["rows", "missing", "truncated"])
def test_finishing_finds_damaged_partitions(tmp_path, fault):
    store = HatsCatalogue(tmp_path)
    path = store.write(PARTITION, rows_inside(PARTITION, 40))
    rows = 40
    if fault == "rows":
        rows = 41
    elif fault == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match=PARTITION.label):
        store.finish("x", [(PARTITION, rows)])


def test_a_flipped_bit_anywhere_is_a_fault_and_no_crash(tmp_path):
    partition = Partition(6, 1234)
    store = HatsCatalogue(tmp_path / "catalog")
    path = store.write(partition, rows_inside(partition, 40))
    sound = path.read_bytes()
    name = path.relative_to(tmp_path).as_posix()
    receipt = Receipt(
        *("ingest", partition.label, "made", 40, 0.0),
        {name: len(sound)},
        {},
        {name: checksum(path)},
    )
    assert partition_faults(tmp_path, path, partition, 40, receipt) == ()
    for place in range(0, len(sound), 2):
        spoilt = bytearray(sound)
        spoilt[place] ^= 128
        path.write_bytes(spoilt)
        assert len(partition_faults(tmp_path, path, partition, 40, receipt)) == 1
        with suppress(StoreError):
            store.read(partition)


def test_finishing_removes_strangers_and_says_what_there_is(tmp_path):
    store = HatsCatalogue(tmp_path)
    other = Partition(4, 1001)
    stale = store.write(Partition(5, 3), rows_inside(Partition(5, 3), 5))
    for partition in (PARTITION, other):
        store.write(partition, rows_inside(partition, 30, partition.pixel))
    store.finish("x", [(PARTITION, 30), (other, 30)])
    assert not stale.exists()
    assert store.partitions() == (PARTITION, other)
    assert fits.getdata(tmp_path / "point_map.fits", 1) is not None
    assert "hats_nrows=60" in (tmp_path / "hats.properties").read_text()


def test_what_a_killed_worker_left_does_not_get_into_the_metadata(tmp_path):
    store = HatsCatalogue(tmp_path)
    path = store.write(PARTITION, rows_inside(PARTITION, 30))
    left = path.with_name(f".unfinished-0123-{path.name}")
    left.write_bytes(path.read_bytes())
    store.finish("x", [(PARTITION, 30)])
    assert not left.exists()
    assert pq.read_metadata(tmp_path / "dataset/_metadata").num_rows == 30


def test_nothing_appears_by_halves(tmp_path):
    def stop_half_way(published, name: str) -> None:
        with published(tmp_path / name) as path:
            (path / "x" if path.is_dir() else path).write_text("half")
            raise ValueError("stop")

    for published in (published_file, partial(published_folder, last="x")):
        with pytest.raises(ValueError, match="stop"):
            stop_half_way(published, "f")
    assert not list(tmp_path.iterdir())


def test_a_folder_replaces_the_one_before(tmp_path):
    for text in ("old", "new"):
        with published_folder(tmp_path / "f", last="new") as path:
            (path / text).write_text(text)
    assert [item.name for item in (tmp_path / "f").iterdir()] == ["new"]
    assert [item.name for item in tmp_path.iterdir()] == ["f"]


def test_what_killed_tasks_left_is_removed(tmp_path):
    (tmp_path / "d/.unfinished-1-x").mkdir(parents=True)
    (tmp_path / "d/.unfinished-1-x/y").write_text("")
    (tmp_path / "d/.unfinished-2-z").write_text("")
    (tmp_path / "d/kept").write_text("")
    assert remove_unfinished(tmp_path) == 2
    assert [item.name for item in (tmp_path / "d").iterdir()] == ["kept"]


def test_a_task_is_finished_only_with_today_s_fingerprint_and_whole_outputs(tmp_path):
    (tmp_path / "out").write_text("123")
    receipts = tmp_path / "receipts"
    receipt = Receipt("infer", "6/12", "f", 3, 0.1, {"out": measure(tmp_path / "out")}, {"k": 1})
    write_receipt(receipts, receipt)
    assert read_receipt(receipts, "infer", "6/12") == receipt
    assert is_finished(receipts, tmp_path, "infer", "6/12", "f") == receipt
    assert is_finished(receipts, tmp_path, "infer", "6/12", "g") is None
    (tmp_path / "out").write_text("1")
    assert is_finished(receipts, tmp_path, "infer", "6/12", "f") is None
    (receipts / "infer/6_12.json").write_text('{"stage":')
    assert read_receipt(receipts, "infer", "6/12") is None
