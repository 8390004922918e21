"""Stamps cut before: names to rows, and cubes of NPY and FITS."""

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from kidsclf.errors import InputError
from kidsclf.surveys.ready_made import NameIndex, open_cube


def objects(names) -> np.ndarray:
    return np.array([*names, None], dtype=object)[:-1]


@given(st.lists(st.text(max_size=4), unique=True), st.lists(st.text(max_size=4)), st.integers(0, 9))
def test_names_find_their_rows(names, asked, cut):
    index = NameIndex([objects(names[:cut]), objects(names[cut:])], "names.csv")
    expected = [names.index(name) if name in names else -1 for name in asked]
    assert index.rows_of(objects(asked)).tolist() == expected


def test_a_name_that_comes_twice_is_refused():
    with pytest.raises(InputError, match=r"names\.csv names one source in its rows 1 and 3; take"):
        NameIndex([objects("ab"), objects("cb")], "names.csv")


STAMPS = np.random.default_rng(1).normal(size=(6, 5, 5)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i2"])
def test_npy(tmp_path, dtype):
    np.save(tmp_path / "a.npy", (9 * STAMPS).astype(dtype))
    cube = open_cube(tmp_path / "a.npy")
    np.testing.assert_array_equal(cube[[4, 1]], (9 * STAMPS).astype(dtype)[[4, 1]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_fits_cube_in_any_hdu(tmp_path, dtype):
    stamps = (9 * STAMPS).astype(dtype)
    units = [fits.PrimaryHDU(), fits.ImageHDU(np.ones((3, 3))), fits.ImageHDU(stamps)]
    fits.HDUList(units).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(open_cube(tmp_path / "a.fits")[[4, 1]], stamps[[4, 1]])


def test_what_is_no_cube_is_named(tmp_path):
    np.save(tmp_path / "flat.npy", np.ones((3, 25)))
    np.save(tmp_path / "words.npy", np.full((3, 5, 5), "x"))
    (tmp_path / "text.npy").write_text("no array")
    fits.PrimaryHDU(np.ones((5, 5))).writeto(tmp_path / "flat.fits")
    fits.PrimaryHDU(STAMPS).writeto(tmp_path / "short.fits")
    content = (tmp_path / "short.fits").read_bytes()
    (tmp_path / "short.fits").write_bytes(content[:2990])
    fits.PrimaryHDU(np.ones((3, 5, 5), np.uint16)).writeto(tmp_path / "scaled.fits")
    for name, said in {
        "flat.npy": r"float64 of shape \(3, 25\), not stamps \(n, ny, nx\)",
        "words.npy": r"not stamps",
        "text.npy": r"cannot read .*text\.npy",
        "flat.fits": r"no uncompressed image of three dimensions",
        "short.fits": r"ends before the 600 bytes of its HDU 0",
        "scaled.fits": r"BSCALE, BZERO or BLANK; write it as plain float32",
        "absent.npy": r"absent\.npy was asked for but is not there",
    }.items():
        with pytest.raises(InputError, match=said):
            open_cube(tmp_path / name)
