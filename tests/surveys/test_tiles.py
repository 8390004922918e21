"""Tiles: headers, names, footprints and strips of pixels, against astropy and the real field."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from kidsclf.config import StoreSettings
from kidsclf.errors import InputError
from kidsclf.ingest import cut_stamps
from kidsclf.surveys import (
    TileFiles,
    TileHeader,
    footprint_contains,
    open_tile,
    pair_tiles,
    read_tile_header,
)
from kidsclf.surveys.tile_names import ALL_BITS, NINE_BAND_BITS

SHAPE = (80, 120)
PIXELS = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


def wcs_at(ra: float, dec: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [SHAPE[1] / 2 + 0.5, SHAPE[0] / 2 + 0.5]
    wcs.wcs.cd = np.diag([-0.2, 0.2]) / 3600
    return wcs


LOSSLESS = {"compression_type": "GZIP_1", "quantize_level": 0.0}


def write_tile(path, *, ra=10.0, dec=-30.0, pixels=PIXELS, compression=None, name="", **keywords):
    """Write an image, compressed by those options of CompImageHDU if there are any."""
    header = wcs_at(ra, dec).to_header()
    header.update(keywords)
    if compression is None:
        units = [fits.PrimaryHDU(pixels, header)]
    else:
        unit = fits.CompImageHDU(pixels, header, name=name, **compression)
        units = [fits.PrimaryHDU(), unit]
    fits.HDUList(units).writeto(path)
    return path


def header_of(path, **asked) -> TileHeader:
    """Read the header of a tile with what lies beside it."""
    return read_tile_header(*pair_tiles([path]), **asked)


def strip_of(path, first, stop, **asked):
    with open_tile(header_of(path, **asked)) as tile:
        return tile.read(first, stop)


@pytest.fixture(params=["tile_r_sci.fits", "tile_r_sci.fits.fz", "tile_r_sci.fits.gz"])
def tile(request, tmp_path):
    compression = LOSSLESS if request.param.endswith(".fz") else None
    weight = np.full(SHAPE, 4.0, dtype=np.float32)
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[40, 60] = 2
    write_tile(tmp_path / "tile_r_wei.fits", pixels=weight)
    write_tile(tmp_path / "tile_r_msk.fits.fz", pixels=mask, compression=LOSSLESS)
    return write_tile(tmp_path / request.param, compression=compression, MAGZERO=2.5)


def test_header(tile):
    header = header_of(tile)
    assert header.shape == SHAPE
    assert header.band == "r"
    assert header.zero_point == 2.5
    assert header.maggies == pytest.approx(0.1)
    assert header.pixel_scale_arcsec == pytest.approx(0.2)
    assert (header.ra, header.dec) == (pytest.approx(10.0), pytest.approx(-30.0))
    assert header.radius_deg == pytest.approx(np.hypot(*SHAPE) / 2 * 0.2 / 3600, rel=1e-6)
    assert [path.name for path in header.files] == [
        tile.name,
        "tile_r_wei.fits",
        "tile_r_msk.fits.fz",
    ]
    assert header.mask_bits == ALL_BITS
    record = json.loads(json.dumps(header.to_record()))
    again = TileHeader.from_record(record, StoreSettings())
    assert again.to_record() == header.to_record()
    assert again.shape == header.shape
    assert all(path.is_file() for path in again.files)


def test_strips(tile):
    with open_tile(header_of(tile)) as pixels:
        for first, stop in ((3, 17), (16, 60), (79, 80)):
            strip = pixels.read(first, stop)
            assert strip.y0 == first
            np.testing.assert_array_equal(strip.image, PIXELS[first:stop])
            np.testing.assert_array_equal(strip.weight, np.full((stop - first, 120), 4.0))
            assert strip.mask.sum() == (2 if first <= 40 < stop else 0)


COMPRESSIONS = {
    "gzip": {"compression_type": "GZIP_2", "quantize_level": 0.0},
    "rice dithered": {"compression_type": "RICE_1", "quantize_method": 1, "dither_seed": 7},
    "rice dithered, zeros kept": {
        "compression_type": "RICE_1",
        "quantize_method": 2,
        "dither_seed": 7,
    },
    "hcompress": {"compression_type": "HCOMPRESS_1", "quantize_level": 8.0},
    "squares": {"compression_type": "RICE_1", "tile_shape": (32, 50)},
}


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32])
def test_compressed_pixels_are_astropy_s(tmp_path, compression, dtype):
    pixels = np.random.default_rng(3).normal(100, 9, SHAPE).astype(dtype)
    if dtype != np.float32:  # whole numbers are not quantised
        compression = {k: v for k, v in compression.items() if not k.startswith(("q", "d"))}
    path = write_tile(
        tmp_path / "a_r_sci.fits", pixels=pixels, compression=compression, MAGZERO=0.0
    )
    whole = fits.getdata(path, 1)
    np.testing.assert_array_equal(strip_of(path, 30, 71).image, whole[30:71])
    x, y = np.array([60.2, 1.0, 118.7]), np.array([50.5, 2.0, 40.0])
    stamps, _ = cut_stamps(strip_of(path, 0, 80).image, x, y, 41)
    for stamp, at in zip(stamps, zip(x, y, strict=True), strict=True):
        cut = Cutout2D(whole.astype(np.float32), at, 41, mode="partial", fill_value=0.0)
        np.testing.assert_array_equal(stamp, cut.data)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f8"])
def test_numbers_of_every_kind(tmp_path, dtype, suffix):
    pixels = np.random.default_rng(4).integers(0, 250, SHAPE).astype(dtype)
    path = write_tile(tmp_path / f"a_r_sci.fits{suffix}", pixels=pixels, MAGZERO=0.0)
    np.testing.assert_array_equal(strip_of(path, 5, 9).image, pixels[5:9])


def test_scaled_and_blank_pixels(tmp_path):
    raw = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    header = wcs_at(10, -30).to_header()
    header.update({"MAGZERO": 0.0, "BSCALE": 0.5, "BZERO": 3.0, "BLANK": 7})
    unit = fits.PrimaryHDU(raw, header, do_not_scale_image_data=True)
    unit.header.update({"BSCALE": 0.5, "BZERO": 3.0, "BLANK": 7})
    unit.writeto(tmp_path / "a_r_sci.fits")
    found = strip_of(tmp_path / "a_r_sci.fits", 0, 2).image
    expected = raw[:2] * 0.5 + 3.0
    expected[0, 7] = np.nan
    np.testing.assert_array_equal(found, expected)


def test_the_image_may_be_in_any_hdu(tmp_path):
    header = wcs_at(10, -30).to_header()
    header["MAGZERO"] = 0.0
    spectrum, other, science = np.ones(5), np.ones((7, 9)), PIXELS
    units = [
        fits.PrimaryHDU(spectrum),
        fits.ImageHDU(other, header, name="SKY"),
        fits.ImageHDU(science, header, name="SCI"),
    ]
    path = tmp_path / "a_r_sci.fits"
    fits.HDUList(units).writeto(path)
    found = {hdu: (header_of(path, hdu=hdu).hdu) for hdu in (None, 1, 2, "SKY", "SCI")}
    assert found == {None: 1, 1: 1, 2: 2, "SKY": 1, "SCI": 2}
    np.testing.assert_array_equal(strip_of(path, 0, 80, hdu="SCI").image, PIXELS)
    for hdu in (0, 3, "WHT"):
        with pytest.raises(InputError, match=rf"no two-dimensional image in HDU '?{hdu}"):
            header_of(path, hdu=hdu)


@pytest.mark.parametrize("centre", [(10.0, -30.0), (0.0, 0.0), (359.9999, 60.0), (77.0, 89.999)])
def test_footprint_is_the_wcs(tmp_path, centre):
    header = header_of(
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
    header = header_of(write_tile(tmp_path / "a_r_sci.fits", ra=0.0, dec=0.0, MAGZERO=0))
    x, y, depth = footprint_contains(header, np.array([180.0, 90.0, 1.0, np.nan]), np.zeros(4))
    assert np.isnan(x).all()
    assert np.isnan(y).all()
    assert (depth == -np.inf).all()


def test_sources_beyond_a_distorted_tile_are_outside(tmp_path):
    """A polynomial has no inverse far from the image it was fitted on."""
    path = write_tile(tmp_path / "a_r_sci.fits", MAGZERO=0)
    with fits.open(path, mode="update") as file:
        header = file[0].header
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
        for key in ("A_3_0", "B_0_3", "A_1_2", "B_2_1"):
            header[key] = -2e-5
        header["A_ORDER"] = header["B_ORDER"] = 3
        wcs = WCS(header)
    inside = np.array([[0.0, 60.0, 119.0], [79.0, 10.0, 0.0]])
    ra, dec = wcs.all_pix2world(*inside, 0)
    around = np.linspace(0.0, 2 * np.pi, 50)
    header = header_of(path)
    far_ra = header.ra + 1.4 * header.radius_deg * np.cos(around) / np.cos(np.radians(header.dec))
    far_dec = header.dec + 1.4 * header.radius_deg * np.sin(around)
    x, y, depth = footprint_contains(header, np.append(ra, far_ra), np.append(dec, far_dec))
    np.testing.assert_allclose([x[:3], y[:3]], inside, atol=1e-3)
    assert not (depth[3:] >= 0).any()
    assert np.isnan(x[3:]).any()


KIDS = "KiDS_DR4.0_180.0_-0.5"


def pairs_in(folder, names):
    for name in names:
        (folder / name).touch()
    return pair_tiles([folder / name for name in names])


def name_of(path):
    return None if path is None else path.name


def test_kids_names_say_what_belongs_together(tmp_path):
    names = [
        *(f"{KIDS}_{band}_{kind}.fits" for band in "ug" for kind in ("sci", "wei", "msk")),
        *(f"{KIDS}_r_{kind}.fits.gz" for kind in ("sci", "wei")),
        *(f"{KIDS}_r_det_{kind}.fits" for kind in ("sci", "wei")),
        f"{KIDS}_i_sci.fits.fz",
        f"{KIDS}_ugriZYJHKs_msk.fits",
        "KiDS_DR5.0_180.0_-0.5_i2_sci.fits",
        "KiDS_DR5.0_180.0_-0.5_i2_wei.fits",
        "KiDS_DR5.0_180.0_-0.5_ugri1i2ZYJHKs_msk.fits",
        "other.fits",
    ]
    found = {
        each.path.name: (each.band, name_of(each.weight), name_of(each.mask))
        for each in pairs_in(tmp_path, names)
    }
    nine, ten = names[11], names[14]
    assert found == {
        f"{KIDS}_u_sci.fits": ("u", f"{KIDS}_u_wei.fits", f"{KIDS}_u_msk.fits"),
        f"{KIDS}_g_sci.fits": ("g", f"{KIDS}_g_wei.fits", f"{KIDS}_g_msk.fits"),
        f"{KIDS}_r_sci.fits.gz": ("r", f"{KIDS}_r_wei.fits.gz", nine),
        f"{KIDS}_r_det_sci.fits": ("r_det", f"{KIDS}_r_det_wei.fits", nine),
        f"{KIDS}_i_sci.fits.fz": ("i", None, nine),
        "KiDS_DR5.0_180.0_-0.5_i2_sci.fits": ("i2", "KiDS_DR5.0_180.0_-0.5_i2_wei.fits", ten),
        "other.fits": (None, None, None),
    }


def test_companions_are_found_though_only_images_were_named(tmp_path):
    pairs_in(tmp_path, [f"{KIDS}_r_wei.fits", f"{KIDS}_r_msk.fits"])
    (found,) = pairs_in(tmp_path, [f"{KIDS}_r_sci.fits"])
    assert (name_of(found.weight), name_of(found.mask)) == (
        f"{KIDS}_r_wei.fits",
        f"{KIDS}_r_msk.fits",
    )


def test_bits_of_a_nine_band_mask_are_those_of_kids_lensing(tmp_path):
    science = write_tile(tmp_path / f"{KIDS}_r_sci.fits", MAGZERO=0.0)
    write_tile(tmp_path / f"{KIDS}_ugriZYJHKs_msk.fits", pixels=np.zeros(SHAPE, np.int16))
    bits = header_of(science).mask_bits
    assert bits == NINE_BAND_BITS == sum(1 << bit for bit in (*range(2, 12), 13, 14))
    assert header_of(science, mask_bits=3).mask_bits == 3
    assert header_of(science, mask_bits=0).mask_bits == 0


def test_bands_are_told_apart_by_name_or_keyword(tmp_path):
    paths = [
        write_tile(tmp_path / f"{KIDS}_r_sci.fits", MAGZERO=0, FILTER="OCAM_i_SDSS"),
        write_tile(tmp_path / "one.fits", PHOTZP=0, FILTER="OCAM_g_SDSS"),
        write_tile(tmp_path / "two.fits", PHOTZP=0, FILTER="Ks"),
    ]
    assert [header_of(path).band for path in paths] == ["r", "g", "Ks"]


def test_what_a_tile_needs_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a_r_sci.fits: .*MAGZERO nor PHOTZP"):
        header_of(write_tile(tmp_path / "a_r_sci.fits"))
    with pytest.raises(InputError, match=r"b.fits: .*FILTER"):
        header_of(write_tile(tmp_path / "b.fits", MAGZERO=0))
    no_wcs = tmp_path / "c_r_sci.fits"
    fits.PrimaryHDU(np.ones((5, 5)), fits.Header({"MAGZERO": 0})).writeto(no_wcs)
    with pytest.raises(InputError, match=r"c_r_sci.fits: .*no celestial WCS"):
        header_of(no_wcs)
    absent = TileFiles(tmp_path / "d_r_sci.fits", "r", None, None)
    with pytest.raises(InputError, match=r"d_r_sci.fits was asked for but is not there"):
        read_tile_header(absent)


def test_a_tile_cut_short_is_named(tile):
    content = tile.read_bytes()
    tile.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"cannot read .*tile_r_sci"):
        strip_of(tile, 0, 80)
    if tile.suffix != ".gz":  # of those only reading shows it
        assert re.match(r"it ends before the \d+ bytes of its HDU", header_of(tile).flaw)


def test_damage_within_a_gzipped_tile_is_found_though_it_unpacks(tmp_path):
    noise = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    path = write_tile(tmp_path / "a_r_sci.fits", pixels=noise, MAGZERO=0)
    content = bytearray(gzip.compress(path.read_bytes(), compresslevel=0))
    content[len(content) // 2] ^= 1
    packed = tmp_path / "b_r_sci.fits.gz"
    packed.write_bytes(content)
    with open_tile(header_of(packed)) as tile:
        assert (tile.read(0, 80).image != noise).sum() == 1
        with pytest.raises(InputError, match=r"cannot read .*b_r_sci.fits.gz: CRC check failed"):
            tile.finish()


def test_a_companion_of_another_shape_is_refused(tmp_path):
    path = write_tile(tmp_path / "a_r_sci.fits", MAGZERO=0)
    write_tile(tmp_path / "a_r_wei.fits", pixels=np.ones((5, 7), dtype=np.float32))
    with pytest.raises(InputError, match=r"a_r_wei.fits: it holds 7 x 5 pixels.*120 x 80"):
        strip_of(path, 0, 10)


def test_a_companion_that_vanished_is_named(tmp_path):
    path = write_tile(tmp_path / "a_r_sci.fits", MAGZERO=0)
    weight = write_tile(tmp_path / "a_r_wei.fits")
    header = header_of(path)
    weight.unlink()
    with (
        pytest.raises(InputError, match=r"a_r_wei.fits was asked for but is not there"),
        open_tile(header),
    ):
        pass


def test_the_real_field_is_astropy_s(survey_data: Path):
    """Nine real KiDS and VIKING images, each in HDU 1, packed, with zero points 0 and 30."""
    folder = survey_data / "kids_field" / "tiles"
    for files in pair_tiles(sorted(folder.glob("*_sci.fits.fz"))):
        header = read_tile_header(files)
        assert (header.hdu, header.shape) == (1, (2600, 1300))
        assert header.zero_point == (0.0 if header.band in "ugri" else 30.0)
        assert files.mask.name == "KiDS_field_msk.fits.fz"
        assert (files.weight is not None) == (header.band == "r")
        with open_tile(header) as tile, fits.open(files.path) as units:
            strip = tile.read(1000, 1100)
            np.testing.assert_array_equal(strip.image, units[1].section[1000:1100])
