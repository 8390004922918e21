"""Staged chunks hand out a partition and its margin, each row once."""

import healpy
import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial import KDTree
from upath import UPath

from kidsclf.errors import StoreError
from kidsclf.sky.partition import Partition, spatial_index
from kidsclf.sky.split import PixelCounts, split_sky
from kidsclf.store.staging import StagedChunk, chunks_of, gather

MARGIN = 20.0
ORDER = 10


@pytest.fixture
def sky():
    """Positions over RA 0 and a corner of three base pixels, crowded enough for many borders."""
    rng = np.random.default_rng(5)
    n = 30_000
    ra, dec = rng.uniform(-1, 1, n) % 360, rng.uniform(-1, 1, n)
    return ra, dec, spatial_index(ra, dec)


def at(folder, name: str) -> StagedChunk:
    return StagedChunk(UPath(folder) / f"{name}.arrow", UPath(folder) / f"{name}.parquet")


def staged(folder, sky, parts: int, margin: float) -> tuple[StagedChunk, ...]:
    index = sky[2]
    table = pa.table({"_healpix_29": index, "k": np.arange(len(index))})
    order = np.random.default_rng(1).permutation(len(index))
    chunks = []
    for number, rows in enumerate(np.array_split(order, parts)):
        chunks.append(at(folder, f"c{number}"))
        chunks[-1].write(table.take(rows), ORDER, margin)
    return tuple(chunks)


@pytest.mark.parametrize("margin", [0.0, MARGIN])
def test_counts_are_those_of_the_rows(tmp_path, sky, margin):
    chunks = staged(tmp_path, sky, 3, margin)
    merged = PixelCounts.merge([chunk.read_counts(ORDER) for chunk in chunks], ORDER)
    direct = PixelCounts.of_indices(sky[2], ORDER)
    own = merged.rows > 0
    np.testing.assert_array_equal(merged.pixels[own], direct.pixels)
    np.testing.assert_array_equal(merged.rows[own], direct.rows)
    assert own.all() == (margin == 0.0)


def test_a_partition_comes_with_its_margin_and_nothing_twice(tmp_path, sky):
    ra, dec, index = sky
    chunks = staged(tmp_path, sky, 3, MARGIN)
    vectors = healpy.ang2vec(ra, dec, lonlat=True)
    chord = 2 * np.sin(np.radians(MARGIN / 3600) / 2)
    split = [p for p, _ in split_sky(PixelCounts.of_indices(index, ORDER), 2000)]
    assert len({partition.order for partition in split}) > 1
    for partition in split:
        found = gather(chunks, partition)["k"].to_numpy()
        assert len(np.unique(found)) == len(found)
        inside = partition.contains(index)
        assert set(np.flatnonzero(inside)) <= set(found)
        outside = np.flatnonzero(~inside)
        gaps, _ = KDTree(vectors[inside]).query(vectors[outside])
        assert set(outside[gaps <= chord]) <= set(found)
        assert len(found) < 1.5 * inside.sum() + 50


def test_rows_without_a_margin_are_those_of_any_range(tmp_path, sky):
    index = np.sort(sky[2])
    (chunk,) = staged(tmp_path, sky, 1, 0.0)
    for first, last in [(0, 1 << 62), (index[5], index[5]), (index[4095], index[4097])]:
        found = chunk.read(int(first), int(last))["_healpix_29"].to_numpy()
        np.testing.assert_array_equal(found, index[(index >= first) & (index < last)])


def test_equal_places_may_lie_across_a_batch(tmp_path):
    index = np.repeat(np.array([7, 9], np.int64) << 40, [4000, 5000])
    chunk = at(tmp_path, "c")
    chunk.write(pa.table({"_healpix_29": index}), ORDER)
    assert chunk.read(9 << 40, (9 << 40) + 1).num_rows == 5000
    assert chunk.read(7 << 40, 9 << 40).num_rows == 4000


def test_a_chunk_without_rows_is_one(tmp_path):
    chunk = at(tmp_path, "c")
    chunk.write(pa.table({"_healpix_29": pa.array([], pa.int64()), "x": [1.0][:0]}), ORDER, MARGIN)
    assert chunk.read(0, 1 << 62).schema.names == ["_healpix_29", "x"]
    assert len(chunk.read_counts(ORDER).pixels) == 0


def test_a_damaged_chunk_is_named(tmp_path, sky):
    (chunk,) = staged(tmp_path, sky, 1, 0.0)
    chunk.rows.write_bytes(chunk.rows.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"c0.*cannot be read"):
        chunk.read(0, 1 << 62)


def test_partitions_know_the_chunks_that_reach_them(tmp_path, sky):
    index = sky[2]
    chunks = staged(tmp_path, sky, 2, MARGIN)
    far = spatial_index([200.0], [-60.0])
    lonely = at(tmp_path, "far")
    lonely.write(pa.table({"_healpix_29": far, "k": [0]}), ORDER, MARGIN)
    every = (*chunks, lonely)
    counts = [chunk.read_counts(ORDER) for chunk in every]
    split = [p for p, _ in split_sky(PixelCounts.merge(counts, ORDER), 3000)]
    parts = chunks_of(split, [each.pixels for each in counts], ORDER)
    for partition, of_it in zip(split, parts, strict=True):
        held = [chunk.read(partition.first_index, partition.last_index) for chunk in every]
        assert [k for k, table in enumerate(held) if table.num_rows] == list(of_it)
    assert (2,) in parts
    assert Partition(0, 4).contains(index).any()
