"""Stamps on disk: what they lose, whose they are, and that other readers open them."""

import os
import tracemalloc

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kidsclf.errors import StoreError
from kidsclf.schema import CutoutFlag
from kidsclf.sky.partition import Partition
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.stamp_encoding import Int16Buffer, decode_stamps, encode_stamps, sky_noise

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


@given(
    hnp.arrays(np.float32, (3, 7, 7), elements=st.floats(-(2.0**-20), 2.0**-20, width=32)),
)
@settings(max_examples=100, deadline=None)
def test_encoding_never_overflows(stamps):
    encoded = encode_stamps(stamps)
    back = decode_stamps(encoded.codes, encoded.step)
    assert (np.abs(back - stamps) <= 0.5001 * encoded.step[:, None, None]).all()


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
