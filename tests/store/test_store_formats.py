"""What lies on disk: HATS catalogues, stamps, receipts, FITS; and that none appears by halves."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kidsclf.errors import StoreError
from kidsclf.schema import CutoutFlag
from kidsclf.sky.partition import Partition, spatial_index
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.cutouts import CutoutStore, decode_stamps, encode_stamps, sky_noise
from kidsclf.store.products import FitsColumn, write_fits_table
from kidsclf.store.publish import published_file, published_folder, remove_unfinished
from kidsclf.store.receipts import Receipt, is_finished, measure, read_receipt, write_receipt
from kidsclf.store.staging import StagedChunk, gather, touching

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


def test_stamps_keep_within_an_eighth_of_the_noise(tmp_path):
    rng = np.random.default_rng(2)
    stamps = rng.normal(0, 2e-12, (300, 41, 41)).astype(np.float32)
    stamps[:20, 18:23, 18:23] += 5e-9
    stamps[20] = np.nan
    stamps[21] = 0.0
    stamps[22, 20, 20] = 1e-6
    names = np.array([f"n{k}" for k in range(300)], dtype=object)
    store = CutoutStore(tmp_path / "c.zarr")
    flags = np.zeros(300, np.uint8)
    store.write(PARTITION, names, {"r": stamps}, flags, encoding="int16", attributes={})
    back = store.read(PARTITION, names, ["r"])["r"]
    told = store.flags(PARTITION, names)
    assert (np.flatnonzero(told & CutoutFlag.COARSE) == [22]).all()
    measured = np.setdiff1d(np.arange(300), [20, 21, 22])
    error = np.abs(back - stamps)[measured].max(axis=(1, 2))
    # 1 % more than an eighth: float32 rounds bright pixels too
    assert (error <= 0.126 * sky_noise(stamps)[measured]).all()
    assert np.isnan(back[20]).all()
    assert (back[21] == 0).all()
    assert abs(back[22, 20, 20] / 1e-6 - 1) < 1e-4
    some = np.array([7, 299, 20, 3])
    np.testing.assert_array_equal(store.read(PARTITION, names, ["r"], some)["r"], back[some])
    assert (
        zarr.open_group(str(tmp_path / "c.zarr"), mode="r")["norder-4/npix-1000/r"].shape[0] == 300
    )


def test_lossless_stamps_are_lossless(tmp_path):
    stamps = np.random.default_rng(4).normal(size=(70, 9, 9)).astype(np.float32)
    stamps[3, 4, 4] = np.nan
    names = np.arange(70).astype(str).astype(object)
    store = CutoutStore(tmp_path)
    store.write(
        PARTITION, names, {"r": stamps}, np.zeros(70, np.uint8), encoding="float32", attributes={}
    )
    np.testing.assert_array_equal(store.read(PARTITION, names, ["r"])["r"], stamps)


@given(
    hnp.arrays(np.float32, (3, 7, 7), elements=st.floats(-(2.0**-20), 2.0**-20, width=32)),
)
@settings(max_examples=100, deadline=None)
def test_encoding_never_overflows(stamps):
    encoded = encode_stamps(stamps)
    back = decode_stamps(encoded.codes, encoded.step)
    assert (np.abs(back - stamps) <= 0.5001 * encoded.step[:, None, None]).all()


def test_stamps_of_other_sources_are_refused(tmp_path):
    names = np.array(["a", "b"], dtype=object)
    store = CutoutStore(tmp_path)
    stamps = {"r": np.zeros((2, 5, 5), np.float32)}
    store.write(PARTITION, names, stamps, np.zeros(2, np.uint8), encoding="int16", attributes={})
    with pytest.raises(StoreError, match="belong to other sources"):
        store.read(PARTITION, names[::-1], ["r"])
    with pytest.raises(StoreError, match=r"add it to cutouts\.bands"):
        store.read(PARTITION, names, ["g"])


def test_nothing_appears_by_halves(tmp_path):
    def stop_half_way(published, name: str) -> None:
        with published(tmp_path / name) as path:
            (path / "x" if path.is_dir() else path).write_text("half")
            raise ValueError("stop")

    for published in (published_file, published_folder):
        with pytest.raises(ValueError, match="stop"):
            stop_half_way(published, published.__name__)
    assert not list(tmp_path.iterdir())


def test_a_folder_replaces_the_one_before(tmp_path):
    for text in ("old", "new"):
        with published_folder(tmp_path / "f") as path:
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


def test_staged_chunks_give_each_partition_its_rows(tmp_path):
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 20, 40_000), rng.uniform(-10, 10, 40_000)
    index = spatial_index(ra, dec)
    table = pa.table({"_healpix_29": index, "k": np.arange(40_000)})
    chunks = []
    for number, part in enumerate(np.array_split(np.arange(40_000), 3)):
        chunk = StagedChunk.at(tmp_path, f"c{number}")
        chunk.write(table.take(part), 8)
        chunks.append(chunk)
    partition = Partition(3, int(index[0] >> 52))
    wanted = np.flatnonzero(partition.contains(index))
    found = gather(tuple(chunks), partition)
    assert sorted(found["k"].to_pylist()) == wanted.tolist()
    empty = Partition(3, int(spatial_index([200.0], [-60.0])[0] >> 52))
    counts = chunks[0].read_counts(8)
    assert touching(counts, [partition])
    assert touching(counts.coarsened(2), [Partition(5, partition.pixel * 16)])
    assert not touching(counts, [empty])
    assert touching(counts, [empty, partition])
    assert gather(tuple(chunks), empty).num_rows == 0


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
