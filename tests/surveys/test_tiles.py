"""Tiles: headers, footprints and windows, against astropy and the real field."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from kidsclf.errors import InputError
from kidsclf.surveys import footprint_contains, read_tile_header, read_tile_headers, read_window

SHAPE = (80, 120)


def wcs_at(ra: float, dec: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [SHAPE[1] / 2 + 0.5, SHAPE[0] / 2 + 0.5]
    wcs.wcs.cd = np.diag([-0.2, 0.2]) / 3600
    return wcs


def write_tile(path, *, ra=10.0, dec=-30.0, pixels=None, compressed=False, **keywords):
    header = wcs_at(ra, dec).to_header()
    header.update(keywords)
    data = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) if pixels is None else pixels
    if compressed:
        units = [
            fits.PrimaryHDU(),
            fits.CompImageHDU(data, header, compression_type="GZIP_1", quantize_level=0.0),
        ]
    else:
        units = [fits.PrimaryHDU(data, header)]
    fits.HDUList(units).writeto(path)
    return str(path)


@pytest.fixture(params=["tile_r_sci.fits", "tile_r_sci.fits.fz", "tile_r_sci.fits.gz"])
def tile(request, tmp_path):
    compressed = request.param.endswith(".fz")
    weight = np.full(SHAPE, 4.0, dtype=np.float32)
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[40, 60] = 2
    write_tile(tmp_path / "tile_r_wei.fits", pixels=weight)
    write_tile(tmp_path / "tile_r_msk.fits.fz", pixels=mask, compressed=True)
    return write_tile(tmp_path / request.param, compressed=compressed, MAGZERO=2.5)


def test_header(tile):
    header = read_tile_header(tile)
    assert header.shape == SHAPE
    assert header.band == "r"
    assert header.zero_point == 2.5
    assert header.pixel_scale_arcsec == pytest.approx(0.2)
    assert (header.ra, header.dec) == (pytest.approx(10.0), pytest.approx(-30.0))
    assert header.radius_deg == pytest.approx(np.hypot(*SHAPE) / 2 * 0.2 / 3600, rel=1e-6)
    assert header.weight_path.endswith("tile_r_wei.fits")
    assert header.mask_path.endswith("tile_r_msk.fits.fz")
    assert pickle.loads(pickle.dumps(header)) == header


def test_window(tile):
    header = read_tile_header(tile)
    window = read_window(header, 55, 70, -5, 45)
    pixels = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    assert (window.x0, window.y0) == (55, 0)
    assert window.image.dtype == window.weight.dtype == np.float32
    np.testing.assert_allclose(window.image, pixels[:45, 55:70] * 0.1, rtol=1e-6)
    np.testing.assert_allclose(window.weight, 400.0)  # inverse variance goes with 1 / maggy^2
    assert window.mask[40, 5] == 2
    assert window.mask.sum() == 2


def test_a_window_off_the_tile_is_refused(tile):
    header = read_tile_header(tile)
    with pytest.raises(InputError, match=r"pixels x 120-130, y 0-10 .* has 120 x 80"):
        read_window(header, 120, 130, 0, 10)


@pytest.mark.parametrize("centre", [(10.0, -30.0), (0.0, 0.0), (359.9999, 60.0), (77.0, 89.999)])
def test_footprint_is_the_wcs(tmp_path, centre):
    header = read_tile_header(
        write_tile(tmp_path / "a_r_sci.fits", ra=centre[0], dec=centre[1], MAGZERO=0)
    )
    x = np.array([0.0, 119.0, 60.25, -0.4, -3.0, 130.0])
    y = np.array([0.0, 79.0, 10.5, 40.0, 40.0, 40.0])
    ra, dec = wcs_at(*centre).all_pix2world(x, y, 0)
    found_x, found_y, depth = footprint_contains(header, ra, dec)
    np.testing.assert_allclose(found_x, x, atol=1e-6)
    np.testing.assert_allclose(found_y, y, atol=1e-6)
    np.testing.assert_allclose(depth, [0.5, 0.5, 11.0, 0.1, -2.5, -10.5], atol=1e-6)


def test_the_far_side_of_the_sky_is_outside(tmp_path):
    header = read_tile_header(write_tile(tmp_path / "a_r_sci.fits", ra=0.0, dec=0.0, MAGZERO=0))
    x, y, depth = footprint_contains(header, np.array([180.0, 90.0, 1.0, np.nan]), np.zeros(4))
    assert np.isnan(x).all()
    assert np.isnan(y).all()
    assert (depth == -np.inf).all()


def test_bands_are_told_apart_by_name_or_keyword(tmp_path):
    paths = [
        write_tile(tmp_path / "KiDS_DR4.0_0.0_0.5_r_sci.fits", MAGZERO=0, FILTER="OCAM_r_SDSS"),
        write_tile(tmp_path / "KiDS_DR4.0_0.0_0.5_g_sci.fits", MAGZERO=0),
        write_tile(tmp_path / "KiDS_DR4.0_0.0_0.5_r_wei.fits"),
        write_tile(tmp_path / "one.fits", PHOTZP=0, FILTER="OCAM_g_SDSS"),
        write_tile(tmp_path / "two.fits", PHOTZP=0, FILTER="Ks"),
    ]
    names = {
        band: [header.path.rsplit("/", 1)[1] for header in read_tile_headers(paths, band)]
        for band in ("r", "g", "Ks")
    }
    assert names == {
        "r": ["KiDS_DR4.0_0.0_0.5_r_sci.fits"],
        "g": ["KiDS_DR4.0_0.0_0.5_g_sci.fits", "one.fits"],
        "Ks": ["two.fits"],
    }
    with pytest.raises(InputError, match=r"band z were asked for but 4 tiles are of g, r, unnamed"):
        read_tile_headers(paths, "z")


def test_what_a_tile_needs_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a_r_sci.fits: .*MAGZERO nor PHOTZP"):
        read_tile_header(write_tile(tmp_path / "a_r_sci.fits"))
    with pytest.raises(InputError, match=r"b.fits: .*FILTER"):
        read_tile_header(write_tile(tmp_path / "b.fits", MAGZERO=0))
    no_wcs = tmp_path / "c_r_sci.fits"
    fits.PrimaryHDU(np.ones((5, 5)), fits.Header({"MAGZERO": 0})).writeto(no_wcs)
    with pytest.raises(InputError, match=r"c_r_sci.fits: .*no celestial WCS"):
        read_tile_header(str(no_wcs))
    with pytest.raises(InputError, match=r"d_r_sci.fits was asked for but is not there"):
        read_tile_header(str(tmp_path / "d_r_sci.fits"))


def test_a_tile_cut_short_is_refused(tile):
    content = Path(tile).read_bytes()
    Path(tile).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"cannot read .*tile_r_sci"):
        read_tile_header(tile)


def test_a_companion_of_another_shape_is_refused(tmp_path):
    path = write_tile(tmp_path / "a_r_sci.fits", MAGZERO=0)
    write_tile(tmp_path / "a_r_wei.fits", pixels=np.ones((5, 7), dtype=np.float32))
    with pytest.raises(InputError, match=r"a_r_wei.fits .*holds 7 x 5 pixels.*120 x 80"):
        read_window(read_tile_header(path), 0, 10, 0, 10)
