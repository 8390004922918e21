"""What lies on disk: HATS catalogues, stamps, receipts, FITS; and that none appears by halves."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from kidsclf.errors import StoreError
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.products import FitsColumn, write_fits_table
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


COLUMNS = (
    FitsColumn("name", "6A", "", "identifier"),
    FitsColumn("r", "D", "mag", "magnitude"),
    FitsColumn("flags", "J", "", "bits"),
)


def test_a_fits_table_written_in_parts_is_one_table(tmp_path):
    parts = [
        pa.table({"name": ["a", "bcdefg"], "r": [1.5, float("nan")], "flags": [1, 2]}),
        pa.table({"name": ["x"], "r": [22.0], "flags": [-3]}),
    ]
    path = tmp_path / "t.fits"
    write_fits_table(path, COLUMNS, 3, parts, {"ORIGIN": ("test", "who")})
    table = Table.read(path, hdu=1)
    assert table.colnames == ["name", "r", "flags"]
    assert list(table["name"].astype(str)) == ["a", "bcdefg", "x"]
    np.testing.assert_array_equal(np.asarray(table["r"]), [1.5, np.nan, 22.0])
    assert list(table["flags"]) == [1, 2, -3]
    assert str(table["r"].unit) == "mag"
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert hdus[1].header["ORIGIN"] == "test"
    first = path.read_bytes()
    write_fits_table(path, COLUMNS, 3, parts, {"ORIGIN": ("test", "who")})
    assert path.read_bytes() == first


def test_a_fits_table_with_rows_missing_does_not_appear(tmp_path):
    part = pa.table({"name": ["a"], "r": [1.0], "flags": [0]})
    with pytest.raises(StoreError, match="hold 2 rows"):
        write_fits_table(tmp_path / "t.fits", COLUMNS, 2, [part], {})
    assert not list(tmp_path.iterdir())
