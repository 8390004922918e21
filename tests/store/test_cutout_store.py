"""Stamps on disk: what they lose, whose they are, and that other readers open them."""

import os
import shutil
import tracemalloc

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kidsclf.config import StoreSettings
from kidsclf.errors import StoreError
from kidsclf.places import place
from kidsclf.schema import CutoutFlag
from kidsclf.sky.partition import Partition
from kidsclf.store.cutouts import CutoutStore, write_array
from kidsclf.store.shards import is_plain
from kidsclf.store.stamp_encoding import (
    Int16Buffer,
    _pairs,
    decode_stamps,
    encode_stamps,
    sky_noise,
)
from kidsclf.store.stamp_kernels import medians
from kidsclf.store.stamp_reader import _whole_rows

PARTITION = Partition(4, 1000)


def write(store, names, stamps, encoding="int16", flags=None, attributes=None):
    """Write bands of stamps, half of the rows after the other half."""
    flags = np.zeros(len(names), np.uint8) if flags is None else flags
    with store.writing(PARTITION, names, encoding=encoding, attributes=attributes or {}) as group:
        for band, values in stamps.items():
            buffer = group.buffer(values.shape[1])
            for rows in (np.arange(1, len(names), 2), np.arange(0, len(names), 2)):
                buffer.put(rows, values[rows])
            group.add(band, buffer, flags)


def names_of(rows: int) -> np.ndarray:
    return np.array([f"n{k}" for k in range(rows)], dtype=object)


def draw(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    return rng.normal(size=(rows, size, size)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([21, 32, 41, 64]),
    st.floats(-15, 3),
    st.floats(0, 3.3),
    st.floats(-1, 1),
)
def test_no_pixel_moves_by_more_than_an_eighth_of_the_noise(
    seed, size, log_noise, log_peak, log_sky
):
    rng = np.random.default_rng(seed)
    at = np.mgrid[:size, :size] - size / 2 + rng.uniform(-1, 1, (2, 1, 1))
    source = 10**log_peak * np.exp(-(at**2).sum(axis=0) / 8)
    sky = rng.normal(size=(8, size, size)) + 10**log_sky
    stamps = (10**log_noise * (sky + source)).astype(np.float32)
    encoded = encode_stamps(stamps)
    moved = np.abs(decode_stamps(encoded.codes, encoded.step) - stamps).max(axis=(1, 2))
    assert not encoded.coarse.any()
    assert (moved <= 10**log_noise / 8).all()
    assert (moved <= sky_noise(stamps) / 8).all()


def test_stamps_of_every_kind(tmp_path):
    rng = np.random.default_rng(2)
    stamps = rng.normal(0, 2e-12, (300, 41, 41)).astype(np.float32)
    stamps[:20, 18:23, 18:23] += 5e-9
    stamps[20] = np.nan
    stamps[21] = 0.0
    stamps[22, 20, 20] = 1e-6
    stamps[23, :30] = 0.0  # most of it off the tile
    store = CutoutStore(tmp_path / "c.zarr")
    flags = np.zeros(300, np.uint8)
    flags[20] = CutoutFlag.MISSING_TILE
    names = names_of(300)
    write(store, names, {"r": stamps}, flags=flags)
    back = store.read(PARTITION, names, ["r"])["r"]
    told = store.flags(PARTITION, names)
    assert np.flatnonzero(told & CutoutFlag.COARSE).tolist() == [22]
    assert np.flatnonzero(told & CutoutFlag.MISSING_TILE).tolist() == [20]
    measured = np.setdiff1d(np.arange(300), [20, 21, 22])
    assert (np.abs(back - stamps)[measured] <= 2e-12 / 8).all()
    assert np.isnan(back[20]).all()
    assert (back[21] == 0).all()
    assert (back[23, :30] == 0).all()
    assert abs(back[22, 20, 20] / 1e-6 - 1) < 1e-4
    some = np.array([7, 299, 20, 3])
    np.testing.assert_array_equal(store.read(PARTITION, names, ["r"], some)["r"], back[some])


def test_noise_is_that_of_the_sky():
    rng = np.random.default_rng(5)
    stamps = rng.normal(7.0, 3.0, (500, 41, 41)).astype(np.float32)
    stamps[:, 10:31, 10:31] += 1000.0  # the source is no sky
    stamps[:100, :, 20:] = 0.0  # off the tile
    stamps[100:200, :20] = np.nan
    stamps[499] = np.nan
    noise = sky_noise(stamps)
    assert np.isnan(noise[499])
    np.testing.assert_allclose(np.median(noise[:200]), 3.0, rtol=0.03)
    np.testing.assert_allclose(np.median(noise[200:499]), 3.0, rtol=0.02)
    assert noise[200:499].std() < 0.08 * 3.0


@pytest.mark.parametrize("size", range(1, 15))
def test_noise_is_read_off_disjoint_pairs_of_the_ring(size):
    first, second = _pairs(size)
    assert (first >= 0).all()
    assert (second < size**2).all()
    pixels = np.concatenate([first, second])
    assert len(np.unique(pixels)) == len(pixels)
    rim = np.minimum(pixels % size, pixels // size)
    rim = np.minimum(rim, size - 1 - np.maximum(pixels % size, pixels // size))
    assert (rim < max(1, size // 10)).all()
    assert len(first) >= (2 * (size - 1) - 2 if size > 2 else size // 2)


def test_a_galaxy_over_the_ring_is_not_taken_for_noise():
    """A profile of 12 pixels' half-light radius, up to 30 times the noise in the ring."""
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:41, :41] - 20.0
    profile = np.exp(-1.678 * np.hypot(x, y) / 12.0)
    peak = 10 ** rng.uniform(1.0, 2.5, (300, 1, 1))
    stamps = (rng.normal(0.0, 1.0, (300, 41, 41)) + peak * profile).astype(np.float32)
    assert np.median(stamps[:, 0].std(axis=1)) > 1.3  # of pixels of the ring themselves
    noise = sky_noise(stamps)
    assert np.median(noise) < 1.1
    encoded = encode_stamps(stamps)
    moved = np.abs(decode_stamps(encoded.codes, encoded.step) - stamps).max(axis=(1, 2))
    assert (moved <= 1 / 8).mean() > 0.85


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7, 40, 41])
def test_medians_are_those_of_the_definition(width):
    rng = np.random.default_rng(width)
    values = rng.normal(5.0, 1.0, (200, width)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[0], values[1:, 0] = np.nan, 5.0
    found, counted = medians(np.sort(values, axis=1))
    np.testing.assert_allclose(found[1:], np.nanmedian(values[1:], axis=1), rtol=1e-6)
    np.testing.assert_array_equal(counted, np.count_nonzero(~np.isnan(values), axis=1))
    assert np.isnan(found[0])


@given(
    hnp.arrays(np.float32, (3, 7, 7), elements=st.floats(-(2.0**-20), 2.0**-20, width=32)),
)
@settings(max_examples=100, deadline=None)
def test_encoding_never_overflows(stamps):
    encoded = encode_stamps(stamps)
    back = decode_stamps(encoded.codes, encoded.step)
    # Quotients near 32,767 are known to a thousandth, so that much more than half a step.
    assert (np.abs(back - stamps) <= 0.502 * encoded.step[:, None, None]).all()


def test_lossless_stamps_are_lossless(tmp_path):
    stamps = np.random.default_rng(4).normal(size=(70, 9, 9)).astype(np.float32)
    stamps[3, 4, 4] = np.nan
    store = CutoutStore(tmp_path)
    write(store, names_of(70), {"r": stamps}, encoding="float32")
    np.testing.assert_array_equal(store.read(PARTITION, names_of(70), ["r"])["r"], stamps)


def test_bands_of_different_sizes(tmp_path):
    rng = np.random.default_rng(6)
    stamps = {band: draw(rng, 50, size) for band, size in {"g": 9, "r": 5}.items()}
    store = CutoutStore(tmp_path)
    write(store, names_of(50), stamps, attributes={"pixel_scale_arcsec": [0.2, 0.34]})
    found = store.read(PARTITION, names_of(50), ["r", "g"])
    assert {band: values.shape for band, values in found.items()} == {
        "r": (50, 5, 5),
        "g": (50, 9, 9),
    }
    group = store.open(PARTITION)
    assert group.attrs["bands"] == ["g", "r"]
    assert group.attrs["pixel_scale_arcsec"] == [0.2, 0.34]


def test_no_sources(tmp_path):
    store = CutoutStore(tmp_path)
    write(store, names_of(0), {"r": np.empty((0, 9, 9), np.float32)})
    assert store.read(PARTITION, names_of(0), ["r"])["r"].shape == (0, 9, 9)
    assert store.flags(PARTITION, names_of(0)).shape == (0,)


def test_stamps_of_other_sources_are_refused(tmp_path):
    names = np.array(["a", "b"], dtype=object)
    store = CutoutStore(tmp_path)
    write(store, names, {"r": np.zeros((2, 5, 5), np.float32)})
    with pytest.raises(StoreError, match="belong to other sources"):
        store.read(PARTITION, names[::-1], ["r"])
    with pytest.raises(StoreError, match=r"add it to cutouts\.bands"):
        store.read(PARTITION, names, ["g"])


@pytest.mark.parametrize("name", ["zarr.json", "r/zarr.json", "flags/zarr.json"])
def test_damaged_metadata_are_told_as_that(tmp_path, name):
    names, rng = names_of(3), np.random.default_rng(9)
    store = CutoutStore(tmp_path)
    write(store, names, {"r": draw(rng, 3, 5)})
    file = store.path(PARTITION) / name
    sound = file.read_bytes()
    refused = 0
    for byte in range(0, len(sound), 9):
        for bit in (1, 128):
            spoilt = bytearray(sound)
            spoilt[byte] ^= bit
            file.write_bytes(spoilt)
            try:
                store.read(PARTITION, names, ["r"])
                store.flags(PARTITION, names)
            except StoreError:
                refused += 1
    assert refused > len(sound) / 9


def test_a_group_that_was_not_finished_is_not_there(tmp_path):
    store = CutoutStore(tmp_path)
    bands = {"r": np.zeros((3, 5, 5), np.float32), "g": np.zeros((2, 5, 5), np.float32)}
    with pytest.raises(IndexError):  # the second band lacks a row
        write(store, names_of(3), bands)
    assert not store.path(PARTITION).exists()


def test_files_have_a_bounded_size_and_plain_zarr_reads_them(tmp_path):
    rows = 20_000
    stamps = np.random.default_rng(7).normal(size=(rows, 41, 41)).astype(np.float32)
    store = CutoutStore(tmp_path)
    write(store, names_of(rows), {"r": stamps})
    files = sorted((store.path(PARTITION) / "r/c").rglob("*"), key=os.path.getsize)
    assert len([file for file in files if file.is_file()]) == 2
    array = zarr.open_group(str(tmp_path), mode="r")["norder-4/npix-1000/r"]
    assert np.prod(array.chunks) * 2 <= 4 * 1024**2
    assert np.prod(array.shards) * 2 <= 64 * 1024**2
    step = zarr.open_group(str(store.path(PARTITION)), mode="r")["r_step"][:100]
    np.testing.assert_array_equal(
        array[:100] * step[:, None, None],
        store.read(PARTITION, names_of(rows), ["r"], np.arange(100))["r"],
    )


def test_a_buffer_holds_two_bytes_a_pixel():
    rows, size = 4096, 41
    stamps = np.random.default_rng(8).normal(size=(256, size, size)).astype(np.float32)
    tracemalloc.start()
    try:
        buffer = Int16Buffer(rows, size)
        for start in range(0, rows, 256):
            buffer.put(np.arange(start, start + 256), stamps)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * rows * size**2 * 2


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """Two shards of several chunks: the limits of both are low, as large stamps have it."""
    rng = np.random.default_rng(12)
    stamps = rng.normal(0.0, 1.0, (40, 700, 90)).astype(np.float32)
    root = tmp_path_factory.mktemp("sharded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kidsclf.store.cutouts._CHUNK_BYTES", 4 * stamps[0].nbytes)
        patch.setattr("kidsclf.store.cutouts._SHARD_BYTES", 16 * stamps[0].nbytes)
        write_array(zarr.open_group(str(root), mode="w"), "r", stamps)
    array = zarr.open_array(str(root / "r"))
    assert (array.chunks[0], array.shards[0]) == (4, 16)
    return root / "r", stamps


@pytest.mark.parametrize(
    "rows", [(0, 40), (0, 4), (3, 5), (15, 17), (16, 32), (37, 40), (39, 99), (7, 7), (40, 40)]
)
def test_any_stretch_of_rows_comes_out_of_the_shards(sharded, rows):
    folder, stamps = sharded
    array = zarr.open_array(str(folder))
    assert is_plain(array)
    found = _whole_rows(place(str(folder), StoreSettings()), array, slice(*rows))
    np.testing.assert_array_equal(found, stamps[slice(*rows)])


@pytest.mark.parametrize("damage", ["cut", "index", "length", "no shard", "empty"])
def test_a_damaged_shard_is_told(sharded, damage, tmp_path):
    folder = tmp_path / "r"
    shutil.copytree(sharded[0], folder)
    shard = folder / "c/1/0/0"
    bytes_ = bytearray(shard.read_bytes())
    if damage == "no shard":
        shard.unlink()
    elif damage == "cut":
        shard.write_bytes(bytes_[:-1000])
    elif damage == "empty":
        shard.write_bytes(b"")
    else:
        # Of the last entry of the index; of the first chunk's header.
        bytes_[{"index": -12, "length": 4}[damage]] ^= 0x10
        shard.write_bytes(bytes_)
    array = zarr.open_array(str(folder))
    with pytest.raises((OSError, ValueError, RuntimeError)):
        _whole_rows(place(str(folder), StoreSettings()), array, slice(0, 40))
