"""What a run hands on: the catalogue in several formats, what it is made of, and by pieces."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io import fits, votable
from astropy.table import Table
from mocpy import MOC

from kidsclf.config_file import load_config
from kidsclf.errors import ConfigError
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.product_files import write_catalogue
from kidsclf.pipeline.products import check_columns
from kidsclf.pipeline.tasks import Mapped
from kidsclf.places import place
from kidsclf.schema import ScoreFlag
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import read_receipt
from kidsclf.surveys.map_files import load_column_map


class Kept:
    """Does no task: every one is finished, and its receipt is read."""

    def __init__(self, work: WorkDirectory) -> None:
        self.work = work

    def map(self, tasks):
        receipts = [read_receipt(self.work.receipts, task.stage, task.name) for task in tasks]
        return Mapped(tuple(receipts), 0, 0.0)


def context_of(work: Path, *overrides: str) -> Context:
    config = load_config(work / "run.toml", overrides)
    folder = WorkDirectory(place(work, config.store))
    maps = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    return Context(config, folder, load_column_map(config.survey.preset), maps, Kept(folder))


@pytest.fixture(scope="module")
def copied_run(finished_run, tmp_path_factory) -> Path:
    work = tmp_path_factory.mktemp("copy") / "work"
    shutil.copytree(finished_run, work)
    return work


def everything(work: Path) -> pa.Table:
    """Read the HATS catalogue with nothing but pyarrow, in the order of the sky."""
    data = ds.dataset(work / "products/catalog/dataset", exclude_invalid_files=True)
    return data.to_table().sort_by([("_healpix_29", "ascending"), ("name", "ascending")])


def test_all_formats_hold_the_same_values(copied_run):
    write_catalogue(context_of(copied_run, 'products.formats=["fits", "parquet", "votable"]'))
    products, rows = copied_run / "products", everything(copied_run)
    assert rows.num_rows > 2000
    assert pq.read_table(products / "catalog.parquet").to_pandas().equals(rows.to_pandas())
    named = {"Name": "name", "RA": "ra", "DEC": "dec"}
    in_fits = Table.read(products / "catalog.fits", hdu=1)
    in_votable = votable.parse_single_table(products / "catalog.vot", verify="exception")
    for table in (in_fits, in_votable.to_table()):
        assert table.colnames[:6] == ["Name", "RA", "DEC", "r", "class", "p_max"]
        assert [named.get(each, each) for each in table.colnames] == rows.column_names[1:]
        for name in table.colnames:
            given = rows[named.get(name, name)].to_numpy(zero_copy_only=False)
            found = np.asarray(table[name])
            found = found.astype(str) if found.dtype.kind in "SUO" else found
            np.testing.assert_array_equal(
                found, given.astype(str) if found.dtype.kind == "U" else given
            )


def test_lsdb_gives_the_same_values_and_words(copied_run):
    import lsdb

    rows = everything(copied_run)
    found = lsdb.open_catalog(str(copied_run / "products/catalog")).compute()
    assert found["name"].tolist() == rows["name"].to_pylist()
    np.testing.assert_array_equal(found["p_qso"].to_numpy(), rows["p_qso"].to_numpy())
    common = pq.read_schema(copied_run / "products/catalog/dataset/_common_metadata")
    assert common.field("r").metadata[b"ucd"] == b"phot.mag;em.opt.R"


def test_the_fits_header_says_where_the_table_is_from(finished_run):
    with fits.open(finished_run / "products/catalog.fits", checksum=True) as hdus:
        hdus.verify("exception")
        for hdu in hdus:
            assert hdu.header["NETWORK"] == "xgboost"
            assert "Feng" in hdu.header["NETPAPER"]
            assert hdu.header["NTRAIN"] > 1000
            assert hdu.header["SETCOVER"] == 0.95
            assert hdu.header["TEMPERAT"] > 0
            told = [text for key, text in hdu.header.items() if re.fullmatch(r"CUT\d+", key)]
        assert hdus[1].header["TUNIT4"] == "mag"
    wanted = pq.read_table(finished_run / "metrics" / "wanted.parquet").to_pylist()
    reached = [row for row in wanted if np.isfinite(row["threshold"])]
    assert len(told) == len(reached) > 5
    for text, row in zip(told, reached, strict=True):
        assert text.startswith(f"p_{row['class'].lower()}_calibrated >= {row['threshold']:.6g} (")
        assert text.endswith(f": {row['wanted']} {row['value']:g}")
    metadata = pq.read_schema(finished_run / "products" / "catalog.parquet").metadata
    assert any(told[0].encode() in value for value in metadata.values())


@pytest.mark.skipif(
    shutil.which("fitsverify") is None, reason="Debian package fitsverify is absent"
)
def test_fitsverify_finds_no_fault_in_table_and_coverage(finished_run):
    for name in ("catalog.fits", "coverage.moc.fits"):
        done = subprocess.run(
            ["fitsverify", "-q", str(finished_run / "products" / name)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.startswith("verification OK"), done.stdout


def test_the_coverage_holds_all_sources(finished_run):
    rows = everything(finished_run)
    moc = MOC.from_fits(finished_run / "products/coverage.moc.fits")
    inside = moc.contains_lonlat(
        rows["ra"].to_numpy() * units.deg, rows["dec"].to_numpy() * units.deg
    )
    assert inside.all()
    assert not moc.contains_lonlat([120.0] * units.deg, [-45.0] * units.deg).any()


def test_every_column_is_described(finished_run):
    described = json.loads((finished_run / "products/columns.json").read_text())["columns"]
    assert [each["name"] for each in described] == everything(finished_run).column_names
    assert all(each["meaning"] and "survey's own" not in each["meaning"] for each in described)
    assert {each["unit"] for each in described} == {"", "deg", "mag"}


def test_the_readme_tells_selection_networks_thresholds_and_versions(copied_run):
    text = (copied_run / "products/README.txt").read_text()
    for each in everything(copied_run).column_names:
        assert f"\n{each} " in text
    assert all(f"{flag.value:>5}  {flag.name}" in text for flag in ScoreFlag)
    for said in (
        "duplicates",
        "Chen & Guestrin 2016",
        "purity 98%",
        "p_qso_calibrated >= ",
        "kidsclf 0",
        "catalog.fits",
    ):
        assert said in text
    assert max(map(len, text.splitlines())) < 160
    assert "Chen & Guestrin" in (copied_run / "products/CITATION.txt").read_text()


@pytest.mark.parametrize("by", ["class", "area"])
def test_pieces_together_are_the_whole(copied_run, by):
    done = context_of(
        copied_run,
        f"products.split_by={by}",
        "products.area_order=5",
        'products.formats=["parquet"]',
    )
    write_catalogue(done)
    paths = sorted((copied_run / "products").glob("catalog*.parquet"))
    assert len(paths) > 3
    pieces = [pq.read_table(path) for path in paths]
    whole = pa.concat_tables(pieces).sort_by([("_healpix_29", "ascending"), ("name", "ascending")])
    assert whole.to_pandas().equals(everything(copied_run).to_pandas())
    for path, piece in zip(paths, pieces, strict=True):
        if by == "area":
            pixel = int(path.stem.rpartition("npix")[2])
            assert set((piece["_healpix_29"].to_numpy() >> 48).tolist()) == {pixel}
        elif path.stem == "catalog-qso":
            assert set(piece["class"].to_pylist()) == {"QSO"}
    assert not (copied_run / "products/catalog.fits").exists(), "a file that nobody asks for"


def test_kept_columns_may_not_take_a_name_of_the_catalogue(finished_run):
    context = context_of(finished_run)
    for name in ("entropy", "P_Max", "p_qso_calibrated", "RA"):
        ingest = context.config.ingest.model_copy(update={"keep_columns": (name,)})
        config = context.config.model_copy(update={"ingest": ingest})
        with pytest.raises(ConfigError, match=f"column '{name}', but the catalogue has"):
            check_columns(config, context.survey)
