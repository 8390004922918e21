"""Cutouts of a small survey of overlapping tiles, and of stamps cut before, by the command."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import zarr
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from kidsclf.config_file import load_config
from kidsclf.errors import ConfigError
from kidsclf.schema import CutoutFlag
from kidsclf.sky.partition import Partition
from kidsclf.store.cutouts import CutoutStore

SIDE = 400
SCALES = {"r": 0.2, "Ks": 0.34}
CENTRES = {"180.0_0.0": 180.0, "180.0_0.1": 180.01}
ZERO_POINTS = {"r": 0.0, "Ks": 30.0}

CONFIG = """
[run]
report = false
[cluster]
dashboard_port = 0
[survey]
preset = "./columns.toml"
catalogue = "sources.parquet"
{tiles}
[ingest]
max_rows = 150
[cutouts]
bands = ["r", "Ks"]
encoding = "float32"
{cutouts}
[train]
networks = ["xgboost"]
"""

COLUMNS = """
extends = "generic"
bands = ["r"]
reference_band = "r"
[magnitudes]
column = "mag_{band}"
"""


def wcs_of(ra: float, scale: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, 0.0], [SIDE / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    """Two overlapping tiles in two bands of different scales, and 300 sources, some off both."""
    folder = tmp_path_factory.mktemp("cutouts")
    rng = np.random.default_rng(5)
    for field, ra in CENTRES.items():
        for band, scale in SCALES.items():
            header = wcs_of(ra, scale).to_header()
            header["MAGZERO"] = ZERO_POINTS[band]
            pixels = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
            pixels[200, 200] = np.nan
            science = folder / f"KiDS_DR4.0_{field}_{band}_sci.fits"
            if band == "Ks":
                packing = {"compression_type": "GZIP_2", "quantize_level": 0.0}
                unit = fits.CompImageHDU(pixels, header, **packing)
                fits.HDUList([fits.PrimaryHDU(), unit]).writeto(f"{science}.fz")
            else:
                fits.PrimaryHDU(pixels, header).writeto(science)
    rows = 300
    table = {
        "id": [f"s{k}" for k in range(rows)],
        "ra": rng.uniform(180 - 0.014, 180.01 + 0.014, rows),
        "dec": rng.uniform(-0.012, 0.012, rows),
        "mag_r": np.full(rows, 20.0),
    }
    pq.write_table(pa.table(table), folder / "sources.parquet")
    (folder / "columns.toml").write_text(COLUMNS)
    return folder


def cut(survey, command, name: str, cutouts: str, tiles: str = 'tiles = "*_sci.fits*"') -> Path:
    (survey / f"{name}.toml").write_text(CONFIG.format(cutouts=cutouts, tiles=tiles))
    stages = ("--stages", "ingest,cutouts")
    done = command(survey / f"{name}.toml", "--workdir", survey / name, *stages)
    assert done.code == 0, done.err
    return survey / name


def stamps_of(work: Path):
    """All stamps and flags of a run, by source: {name: ({band: stamp}, flag)}."""
    catalogue = ds.dataset(work / "catalog/dataset", exclude_invalid_files=True)
    table = catalogue.to_table(["name", "_healpix_29"])
    names, index = table["name"].to_numpy(), table["_healpix_29"].to_numpy()
    store, found = CutoutStore(work / "cutouts.zarr"), {}
    for path in sorted((work / "cutouts.zarr").glob("norder-*/npix-*")):
        partition = Partition(*(int(part.split("-")[1]) for part in path.parts[-2:]))
        own = names[partition.contains(index)]
        stamps, flags = store.read(partition, own, list(SCALES)), store.flags(partition, own)
        for row, name in enumerate(own):
            found[name] = ({band: stamps[band][row] for band in SCALES}, flags[row])
    return found


@pytest.fixture(scope="module")
def cut_in_arcsec(survey, command) -> Path:
    """A run that cut stamps of 4.2 arcsec."""
    return cut(survey, command, "arcsec", "size_arcsec = 4.2")


def test_stamps_are_cutout2d_s_of_the_deepest_tile(survey, cut_in_arcsec):
    sources = pq.read_table(survey / "sources.parquet").to_pylist()
    found = stamps_of(cut_in_arcsec)
    assert len(found) == len(sources)
    off = 0
    for source in sources:
        stamps, flag = found[source["id"]]
        for band, scale in SCALES.items():
            size = {"r": 21, "Ks": 13}[band]
            best, depth = None, 0.0
            for field, centre in CENTRES.items():
                x, y = wcs_of(centre, scale).all_world2pix(source["ra"], source["dec"], 0)
                inside = min(x + 0.5, SIDE - 0.5 - x, y + 0.5, SIDE - 0.5 - y)
                if inside > depth:
                    best, depth = (field, float(x), float(y)), inside
            if best is None:
                assert np.isnan(stamps[band]).all()
                off += 1
                continue
            field, x, y = best
            path = next(survey.glob(f"KiDS_DR4.0_{field}_{band}_sci.fits*"))
            pixels = fits.getdata(path).astype(np.float32)
            pixels *= np.float32(10 ** (-0.4 * ZERO_POINTS[band]))
            expected = Cutout2D(pixels, (x, y), size, mode="partial", fill_value=0.0).data
            np.testing.assert_array_equal(stamps[band], np.nan_to_num(expected, nan=0.0))
            if depth < size / 2 - 0.5:
                assert flag & CutoutFlag.EDGE
    assert off > 10


def test_headers_are_read_once(survey, cut_in_arcsec, command):
    receipts = sorted((cut_in_arcsec / "receipts/cutouts.tiles").iterdir())
    before = [path.stat().st_mtime_ns for path in receipts]
    cut(survey, command, "arcsec", "size_arcsec = 4.2")
    assert [path.stat().st_mtime_ns for path in receipts] == before
    (survey / "KiDS_DR4.0_180.0_0.0_r_sci.fits").touch()
    cut(survey, command, "arcsec", "size_arcsec = 4.2")
    assert [path.stat().st_mtime_ns for path in receipts] != before


def ready_made(band: str, path: str, names: str) -> list[str]:
    """Settings of stamps that are ten times as bright as their zero point says."""
    return [
        f"[cutouts.ready_made.{band}]",
        f'stamps = "{path}"',
        f'names = "{names}"',
        'name_column = "object"',
        "zero_point = 2.5",
        f"pixel_scale_arcsec = {SCALES[band]}",
    ]


def test_ready_made_stamps_come_to_their_sources(survey, command):
    whole = stamps_of(cut(survey, command, "pixels", "size_px = 21"))
    names = np.random.default_rng(8).permutation(sorted(whole))[20:]  # 20 have no stamp
    given = {band: 10 * np.stack([whole[name][0][band] for name in names]) for band in SCALES}
    zarr.save_array(str(survey / "r.zarr"), given["r"])
    fits.PrimaryHDU(given["Ks"]).writeto(survey / "Ks.fits")
    pq.write_table(pa.table({"object": names}), survey / "names.parquet")
    settings = [
        "size_px = 21",
        *ready_made("r", "r.zarr", "names.parquet"),
        *ready_made("Ks", "Ks.fits", "names.parquet"),
    ]
    found = stamps_of(cut(survey, command, "ready", "\n".join(settings), tiles=""))
    assert found.keys() == whole.keys()
    for name, (stamps, flag) in found.items():
        expected, before = whole[name]
        if name in names:
            assert (flag & CutoutFlag.MISSING_TILE) == (before & CutoutFlag.MISSING_TILE)
            for band, stamp in stamps.items():
                np.testing.assert_allclose(stamp, expected[band], rtol=1e-6)
        else:
            assert flag == CutoutFlag.MISSING_TILE
            assert all(np.isnan(stamp).all() for stamp in stamps.values())


def test_ready_made_stamps_that_do_not_fit_are_refused(survey, command):
    np.save(survey / "small.npy", np.ones((4, 9, 9), np.float32))
    pq.write_table(pa.table({"object": ["a", "b", "c"]}), survey / "three.parquet")
    text = CONFIG.replace('bands = ["r", "Ks"]', 'bands = ["r"]')
    given = "\n".join(ready_made("r", "small.npy", "three.parquet"))
    for size, said in (
        ("size_px = 41", "small.npy have 9 x 9; set cutouts.size_px"),
        ("size_px = 9", "three.parquet holds 3; give the table that belongs"),
    ):
        (survey / "refused.toml").write_text(text.format(tiles="", cutouts=f"{size}\n{given}"))
        work = ("--workdir", survey / "refused")
        done = command(survey / "refused.toml", *work, "--stages", "ingest,cutouts")
        assert done.code == 3
        assert said in " ".join(done.err.split())


def test_stamps_come_from_tiles_or_ready_made(tmp_path):
    given = "\n".join(ready_made("r", "a.zarr", "b.csv"))
    for tiles, said in (
        ('tiles = "*_sci.fits*"', "survey.tiles and from cutouts.ready_made"),
        ("", r"cutouts.bands = .'r', 'Ks'. was asked for, but cutouts.ready_made has r"),
    ):
        (tmp_path / "both.toml").write_text(CONFIG.format(cutouts=given, tiles=tiles))
        with pytest.raises(ConfigError, match=said):
            load_config(tmp_path / "both.toml")
