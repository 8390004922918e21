"""The catalogue's formats, judged by programs of others: they agree on every value."""

import json
import re
import shutil
import subprocess
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io import fits, votable
from astropy.table import Table
from mocpy import MOC

from kidsclf.errors import StoreError
from kidsclf.sky.partition import spatial_index
from kidsclf.sky.split import PixelCounts
from kidsclf.store.column_words import words_of
from kidsclf.store.coverage import coverage_order, write_coverage
from kidsclf.store.fits_product import OnesComplement, checksum_text
from kidsclf.store.products import describe, open_product, read_columns, write_columns
from kidsclf.store.records import Shape

CARDS = {
    "ORIGIN": ("kidsclf", "program"),
    "TITLE": (
        "a run's <title> & more, far too long for a card of eighty letters: 'so' it goes on",
        "",
    ),
    "NTRAIN": (1234, "sources"),
    "SURVEY": ("a text that leaves no room for what is said about it", "a comment of many letters"),
}
CLASSES = ("STAR", "QSO")


def draw(rows: int) -> pa.Table:
    """Sources with every type of column, with missing values and odd texts."""
    rng = np.random.default_rng(5)
    ra, dec = rng.uniform(0, 360, rows), np.degrees(np.arcsin(rng.uniform(-1, 1, rows)))
    gaps = rng.random(rows) < 0.2
    columns = {
        "_healpix_29": spatial_index(ra, dec),
        "name": [f"KiDS {k}" for k in range(rows)],
        "ra": ra,
        "dec": dec,
        "r": rng.uniform(15, 24, rows).astype(np.float32),
        "class": np.array(["", "STAR", "QSO"], object)[rng.integers(0, 3, rows)],
        "p_max": np.where(gaps, np.nan, rng.random(rows)).astype(np.float32),
        "flags": rng.integers(0, 255, rows).astype(np.int32),
        "id": rng.integers(-(2**62), 2**62, rows),
        "mask": pa.array(rng.integers(0, 256, rows).astype(np.uint8)),
        "count": pa.array(rng.integers(0, 65536, rows).astype(np.uint16), mask=gaps),
        "byte": pa.array(rng.integers(0, 256, rows).astype(np.uint8), mask=gaps),
        "good": pa.array(rng.random(rows) < 0.5),
        "note": pa.array([None if gap else "é" * (k % 4) for k, gap in enumerate(gaps)]),
    }
    table = pa.table(columns)
    fields = []
    for field in table.schema:
        words = words_of(field.name, classes=CLASSES, band="r")
        said = {"unit": words.unit, "ucd": words.ucd, "description": words.meaning}
        fields.append(field.with_metadata({key: text for key, text in said.items() if text}))
    return table.cast(pa.schema(fields))


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return draw(700)


def write(rows: pa.Table, form: str, path: Path, cuts=(0, 3, 3, 250, 700)) -> Path:
    columns = describe(rows.schema, Shape.of(rows))
    with open_product(form, path, rows.schema, columns, CARDS) as append:
        for first, end in pairwise(cuts):
            append(rows.slice(first, end - first))
    return path


@pytest.fixture(scope="module")
def files(rows, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("products")
    return {
        form: write(rows, form, folder / f"t.{form}") for form in ("fits", "votable", "parquet")
    }


def ascii_only(values) -> list[str]:
    return [(value or "").encode("ascii", "replace").decode() for value in values]


def assert_same(table: Table, rows: pa.Table) -> None:
    """Hold a table that astropy has read against the rows, value by value."""
    names = {"name": "Name", "ra": "RA", "dec": "DEC"}
    assert table.colnames == [names.get(name, name) for name in rows.column_names[1:]]
    for name in rows.column_names[1:]:
        found, given = table[names.get(name, name)], rows[name]
        if pa.types.is_string(given.type):
            texts = np.ma.filled(found, "").astype(str)
            assert [each.rstrip() for each in texts] == ascii_only(given.to_pylist()), name
            continue
        missing = given.is_null().to_numpy()
        np.testing.assert_array_equal(np.ma.getmaskarray(found)[missing], True, name)
        there = np.asarray(found)[~missing]
        np.testing.assert_array_equal(there, given.drop_null().to_numpy(), name)


def test_astropy_reads_what_was_written(rows, files):
    assert_same(Table.read(files["fits"], hdu=1), rows)
    whole = votable.parse_single_table(files["votable"], verify="exception")
    assert_same(whole.to_table(), rows)


def test_parquet_keeps_rows_types_and_words(rows, files):
    found = pq.read_table(files["parquet"])
    assert found.schema.types == rows.schema.types
    assert found.to_pandas().equals(rows.to_pandas())
    schema = pq.read_schema(files["parquet"])
    assert schema.field("ra").metadata[b"unit"] == b"deg"
    assert schema.field("r").metadata[b"ucd"] == b"phot.mag;em.opt.R"
    assert json.loads(schema.metadata[b"kidsclf"])["NTRAIN"] == 1234


def test_units_and_ucds_stand_in_every_format(files):
    with fits.open(files["fits"], checksum=True) as hdus:
        hdus.verify("exception")
        header = hdus[1].header
        assert [header[f"TUNIT{k}"] for k in (2, 3, 4)] == ["deg", "deg", "mag"]
        assert header["TUCD2"] == "pos.eq.ra;meta.main"
        assert header["TCOMM4"] == "r magnitude, AB"
        assert header["TITLE"] == CARDS["TITLE"][0]
    field = votable.parse_single_table(files["votable"]).get_field_by_id_or_name("RA")
    assert (str(field.unit), field.ucd, field.description) == (
        *("deg", "pos.eq.ra;meta.main", "right ascension, ICRS"),
    )


@pytest.mark.parametrize("form", ["fits", "votable", "parquet", "csv"])
def test_bytes_do_not_depend_on_the_parts(rows, tmp_path, form):
    one = write(rows, form, tmp_path / "one", cuts=(0, 700)).read_bytes()
    assert write(rows, form, tmp_path / "parts").read_bytes() == one


@pytest.mark.parametrize("form", ["fits", "votable", "parquet", "csv"])
def test_a_table_without_rows_is_a_table(rows, tmp_path, form):
    path = write(rows, form, tmp_path / f"none.{form}", cuts=(0,))
    read = {
        "fits": lambda: Table.read(path, hdu=1),
        "votable": lambda: votable.parse_single_table(path).to_table(),
        "parquet": lambda: pq.read_table(path),
        "csv": lambda: pa.csv.read_csv(path),
    }[form]()
    assert len(read) == 0
    assert len(read.columns) >= len(rows.schema) - 1


def test_checksums_are_those_of_the_standard():
    total = OnesComplement()
    total.add(b"abc")  # parts of any length
    total.add(b"d\xff\xff\xff\xff\x00\x00\x00")
    total.add(b"\x02")
    assert total.value == (0x61626364 + 2) % 0xFFFFFFFF
    for value in (0, 1, 0xFFFFFFFF, *(zlib.crc32(bytes([k])) for k in range(200))):
        text = checksum_text(value)
        assert re.fullmatch("[0-9A-Za-z]{16}", text)
        signs = np.frombuffer((text[1:] + text[:1]).encode(), ">u4").astype(np.int64)
        together = int(signs.sum()) - 4 * 0x30303030
        assert (value + together) % 0xFFFFFFFF == 0


def test_a_text_wider_than_said_is_refused(rows, tmp_path):
    columns = describe(rows.schema, Shape({"name": 3, "class": 4, "note": 3}, frozenset({"count"})))
    with (
        pytest.raises(StoreError, match="column name was to be written in the format 3A"),
        open_product("fits", tmp_path / "t.fits", rows.schema, columns, CARDS) as append,
    ):
        append(rows)
    assert not list(tmp_path.iterdir())


def test_columns_are_described_for_programs(rows, tmp_path):
    columns = describe(rows.schema, Shape.of(rows))
    write_columns(tmp_path / "columns.json", columns)
    assert read_columns(tmp_path / "columns.json") == columns
    (tmp_path / "columns.json").write_text('{"columns": [{"nothing": 1}]}')
    with pytest.raises(StoreError, match="holds something else"):
        read_columns(tmp_path / "columns.json")


@pytest.mark.skipif(
    shutil.which("fitsverify") is None, reason="Debian package fitsverify is absent"
)
def test_fitsverify_finds_no_fault(files):
    done = subprocess.run(
        ["fitsverify", str(files["fits"])], capture_output=True, text=True, timeout=60, check=False
    )
    assert "found 0 warning(s) and 0 error(s)" in done.stdout, done.stdout
    assert done.returncode == 0


def stilts(*arguments: object) -> str:
    done = subprocess.run(
        ["stilts", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.stilts
@pytest.mark.skipif(shutil.which("stilts") is None, reason="the Debian package stilts is absent")
def test_stilts_reads_the_same_values_from_fits_and_votable(files, tmp_path):
    assert stilts("votlint", f"votable={files['votable']}") == ""
    for form in ("fits", "votable"):
        stilts(
            *("tpipe", f"in={files[form]}", f"ifmt={form}", f"out={tmp_path / form}.csv"),
            *("ofmt=csv", "cmd=addcol row $0"),
        )
    found = (tmp_path / "fits.csv").read_text()
    assert found == (tmp_path / "votable.csv").read_text()
    assert found.count("\n") == 701


def test_the_coverage_is_where_sources_are(rows, tmp_path):
    near = np.flatnonzero(np.abs(rows["dec"].to_numpy()) < 30)
    counts = PixelCounts.of_indices(rows["_healpix_29"].to_numpy()[near], 11)
    order = coverage_order(counts, 8.0)
    fraction = write_coverage(tmp_path / "c.moc.fits", counts, order)
    moc = MOC.from_fits(tmp_path / "c.moc.fits")
    assert moc.max_order == order
    assert 0.4 < fraction == moc.sky_fraction < 0.8
    ra, dec = rows["ra"].to_numpy()[near], rows["dec"].to_numpy()[near]
    assert moc.contains_lonlat(ra * units.deg, dec * units.deg).all()
    pixels = np.unique(rows["_healpix_29"].to_numpy()[near] >> (2 * (29 - order)))
    assert moc.to_order(order).flatten().tolist() == pixels.tolist()


def test_a_file_that_cannot_be_written_is_told(rows, tmp_path, monkeypatch):
    """Bytes are written in another thread: what happens there must not be lost."""

    def full(_self, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OnesComplement, "add", full)
    with pytest.raises(OSError, match="No space left"):
        write(rows, "fits", tmp_path / "t.fits", cuts=(0, 700))
    assert list(tmp_path.iterdir()) == []
