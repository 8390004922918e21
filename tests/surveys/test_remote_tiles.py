"""Tiles in an object store: the same pixels, and no more fetched than the strips asked for."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from kidsclf.errors import InputError
from kidsclf.store.publish import upload
from kidsclf.surveys import open_tile, pair_tiles, read_tile_header
from s3_server import line_to

pytestmark = pytest.mark.s3

SHAPE = (3000, 1000)
HEADER_BYTES = 100_000
"""A block of headers, and what HTTP and XML take."""


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def tiles(s3_server, pixels, tmp_path_factory):
    """A bucket with one tile, plain with weight and mask, packed, and gzipped."""
    folder, bucket = tmp_path_factory.mktemp("tiles"), s3_server.new_bucket()
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10.0, -30.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [500, 1500], [-0.2 / 3600, 0.2 / 3600]
    header = wcs.to_header()
    header["MAGZERO"] = 0.0
    packed = fits.CompImageHDU(pixels, header, compression_type="GZIP_2", quantize_level=0.0)
    for name, unit in {
        "a_r_sci.fits": fits.PrimaryHDU(pixels, header),
        "a_r_wei.fits": fits.PrimaryHDU(np.ones(SHAPE, np.float32)),
        "a_r_msk.fits": fits.PrimaryHDU(np.ones(SHAPE, np.uint8)),
        "b_r_sci.fits.fz": packed,
        "c_r_sci.fits.gz": fits.PrimaryHDU(pixels, header),
    }.items():
        unit.writeto(folder / name)
        upload(folder / name, bucket / name)
    return bucket


def behind(line, path):
    return type(path)(str(path), endpoint_url=line.address, anon=False)


@pytest.mark.parametrize("name", ["a_r_sci.fits", "b_r_sci.fits.fz"])
def test_only_the_strip_is_fetched(s3_server, tiles, pixels, name):
    with line_to(s3_server) as line:
        (files,) = pair_tiles([behind(line, tiles) / name])
        header = read_tile_header(files)
        assert header.shape == SHAPE
        line.asked.clear()
        before = line.received
        with open_tile(header) as tile:
            strip = tile.read(2000, 2100)
            tile.finish()
        fetched = line.received - before
    np.testing.assert_array_equal(strip.image, pixels[2000:2100])
    if name.startswith("a"):
        window = 100 * SHAPE[1] * (4 + 4 + 1)  # image, weight, mask
        assert fetched < window + 6 * HEADER_BYTES
        assert strip.weight.min() == strip.mask.min() == 1
    else:
        # the table of where each row begins, and the rows with as much as is read ahead
        assert fetched < 3000 * 40 + 100 * SHAPE[1] * 4 + 3 * 1024**2
    assert fetched < 0.4 * np.prod(SHAPE) * 4


def test_a_gzipped_tile_is_gone_through_once(s3_server, tiles, pixels):
    with line_to(s3_server) as line:
        (files,) = pair_tiles([behind(line, tiles) / "c_r_sci.fits.gz"])
        header = read_tile_header(files)
        before = line.received
        with open_tile(header) as tile:
            for first in (10, 1500, 2990):
                strip = tile.read(first, first + 10)
                np.testing.assert_array_equal(strip.image, pixels[first : first + 10])
            tile.finish()
        assert line.count("GET") < 20
        assert line.received - before < 1.1 * (tiles / "c_r_sci.fits.gz").stat().st_size


def test_a_tile_that_vanished_is_named(tiles):
    (files,) = pair_tiles([tiles / "none_r_sci.fits"])
    with pytest.raises(InputError, match=r"s3://.*none_r_sci.fits was asked for but is not there"):
        read_tile_header(files)
