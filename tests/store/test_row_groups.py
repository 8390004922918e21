"""Rows near a place are read without the row groups elsewhere."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from kidsclf.errors import InputError, StoreError
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.row_groups import row_groups_touching, rows_within

PARTITION = Partition(3, 77)


@pytest.fixture
def index() -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.sort(rng.integers(PARTITION.first_index, PARTITION.last_index, 1000))


def stretches_of(index, *bounds) -> np.ndarray:
    return np.array([[index[a], index[b]] for a, b in bounds])


def write(path, index, column=SPATIAL_INDEX, **options) -> UPath:
    table = pa.table({"row": np.arange(len(index)), column: index})
    pq.write_table(table, path, row_group_size=100, **options)
    return UPath(path)


def test_rows_are_those_of_the_stretches(tmp_path, index):
    path = write(tmp_path / "t.parquet", index)
    stretches = stretches_of(index, (120, 130), (250, 310), (995, 999))
    found = [
        first + np.flatnonzero(near) for first, near in rows_within(path, SPATIAL_INDEX, stretches)
    ]
    expected = [*range(120, 130), *range(250, 310), *range(995, 999)]
    assert np.concatenate(found).tolist() == expected
    for _, near in rows_within(path, SPATIAL_INDEX, stretches):
        assert near[0]
        assert near[-1]
    assert rows_within(path, SPATIAL_INDEX, np.empty((0, 2), np.int64)) == ()


def test_all_rows_may_be_meant_where_a_file_says_nothing_of_its_order(tmp_path, index):
    stretches = stretches_of(index, (120, 130))
    other = write(tmp_path / "other.parquet", index, column="another")
    ((first, near),) = rows_within(other, SPATIAL_INDEX, stretches)
    assert (first, near.sum()) == (0, 1000)
    silent = write(tmp_path / "silent.parquet", index, write_statistics=False)
    assert len(row_groups_touching(pq.read_metadata(silent), SPATIAL_INDEX, stretches)) == 10
    ((first, near),) = rows_within(silent, SPATIAL_INDEX, stretches)
    assert (first, len(near), near.sum()) == (120, 10, 10)


def test_columns_of_several_values_may_stand_before_the_index(tmp_path, index):
    pair = pa.StructArray.from_arrays([pa.array(-index), pa.array(-index)], ["time", "flux"])
    table = pa.table({"curve": pair, "other": -index, SPATIAL_INDEX: index})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=100)
    stretches = stretches_of(index, (120, 130))
    assert row_groups_touching(
        pq.read_metadata(tmp_path / "t.parquet"), SPATIAL_INDEX, stretches
    ).tolist() == [1]
    ((first, near),) = rows_within(UPath(tmp_path / "t.parquet"), SPATIAL_INDEX, stretches)
    assert (first, len(near), near.sum()) == (120, 10, 10)


def test_row_groups_elsewhere_are_not_read(tmp_path, index):
    path = write(tmp_path / "t.parquet", index)
    spoil(path, group=0)
    stretches = stretches_of(index, (120, 130))
    ((first, near),) = rows_within(path, SPATIAL_INDEX, stretches)
    assert (first, len(near)) == (120, 10)
    with pytest.raises(InputError, match="anew"):
        rows_within(path, SPATIAL_INDEX, stretches_of(index, (20, 30)))


def test_a_partition_is_read_in_part(tmp_path, index):
    index = np.repeat(index, 60)
    store = HatsCatalogue(UPath(tmp_path))
    table = pa.table({"name": [f"{k:06d}" for k in range(len(index))], SPATIAL_INDEX: index})
    path = store.write(PARTITION, table)
    assert pq.read_metadata(path).num_row_groups > 2
    stretches = stretches_of(index, (59_000, 59_100))
    expected = table.filter(pa.array((index >= index[59_000]) & (index < index[59_100])))
    assert store.read(PARTITION, ["name", SPATIAL_INDEX], stretches).equals(expected)
    nothing = store.read(PARTITION, [SPATIAL_INDEX], np.empty((0, 2), np.int64))
    assert (nothing.num_rows, nothing.column_names) == (0, [SPATIAL_INDEX])
    spoil(path, group=0)
    assert store.read(PARTITION, ["name", SPATIAL_INDEX], stretches).equals(expected)
    with pytest.raises(StoreError):
        store.read(PARTITION, [SPATIAL_INDEX])


def spoil(path, group: int) -> None:
    """Overwrite what a row group holds; the footer, which tells of it, stays."""
    columns = pq.read_metadata(path).row_group(group)
    content = bytearray(path.read_bytes())
    for number in range(columns.num_columns):
        column = columns.column(number)
        offsets = [column.data_page_offset, column.dictionary_page_offset]
        start = min(offset for offset in offsets if offset is not None)
        content[start : start + column.total_compressed_size] = b"\xff" * (
            column.total_compressed_size
        )
    path.write_bytes(bytes(content))
