"""Two catalogues of classes side by side: pairs, the matrix, what changed, in bounded memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table

from kidsclf.config import StoreSettings
from kidsclf.errors import ConfigError
from kidsclf.pipeline import compare as comparing
from kidsclf.pipeline.compare import compare
from kidsclf.pipeline.compared_rows import parse_columns, plan_catalogue
from kidsclf.pipeline.comparison import CUBE, NOT_THERE, UNCLASSIFIED, Comparison, told
from kidsclf.run import main

ROWS = 3000
RADIUS = 2.0
CLASSES = np.array(["STAR", "QSO", "GALAXY", ""])


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A.fits and B.parquet: the same sky round RA 0 and at the pole, with other names of columns.

    B lacks some sources of A, has some of its own, and is shifted by up to 0.8 arcsec.
    """
    folder, rng = tmp_path_factory.mktemp("two"), np.random.default_rng(3)
    polar = rng.random(ROWS) < 0.5
    ra = np.where(polar, rng.uniform(0, 360, ROWS), rng.uniform(-0.5, 0.5, ROWS) % 360)
    dec = np.where(polar, 90 - 0.5 * np.sqrt(rng.random(ROWS)), rng.uniform(-0.5, 0.5, ROWS))
    codes = rng.integers(0, 4, ROWS)
    table = Table({"ID": [f"a{k}" for k in range(ROWS)], "RAJ2000": ra, "DEJ2000": dec})
    table["class"], table["p_max"] = CLASSES[codes], rng.uniform(0.3, 1, ROWS).astype(np.float32)
    table["r"] = rng.uniform(16, 24, ROWS)
    table.write(folder / "A.fits")
    kept = rng.permutation(ROWS)[: ROWS - 300]
    there = SkyCoord(ra[kept], dec[kept], unit="deg").directional_offset_by(
        rng.uniform(0, 360, len(kept)) * units.deg, rng.uniform(0, 0.8, len(kept)) * units.arcsec
    )
    alone = SkyCoord(rng.uniform(100, 101, 50), rng.uniform(-1, 1, 50), unit="deg")
    changed = np.where(rng.random(len(kept)) < 0.2, rng.integers(0, 4, len(kept)), codes[kept])
    other = pa.table(
        {
            "ra": np.append(there.ra.deg, alone.ra.deg),
            "dec": np.append(there.dec.deg, alone.dec.deg),
            "TYPE": [*np.char.lower(CLASSES[changed]), *["star"] * 50],
            "source": [f"a{k}" for k in kept] + [f"b{k}" for k in range(50)],
        }
    )
    pq.write_table(other, folder / "B.parquet")
    return folder


def planned(folder: Path):
    settings = StoreSettings()
    named = parse_columns("class=type,name=source")
    return (
        plan_catalogue(str(folder / "A.fits"), {}, settings),
        plan_catalogue(str(folder / "B.parquet"), named, settings),
    )


def expected(folder: Path) -> pd.DataFrame:
    """Match with astropy, both ways, in memory."""
    a, b = Table.read(folder / "A.fits"), pq.read_table(folder / "B.parquet").to_pandas()
    one = SkyCoord(a["RAJ2000"], a["DEJ2000"], unit="deg")
    other = SkyCoord(b["ra"].to_numpy(), b["dec"].to_numpy(), unit="deg")
    place, apart, _ = one.match_to_catalog_sky(other)
    back, _, _ = other.match_to_catalog_sky(one)
    mutual = (back[place] == np.arange(len(a))) & (apart.arcsec <= RADIUS)
    classes = np.char.replace(np.asarray(a["class"]).astype(str), " ", "")
    return pd.DataFrame(
        {
            "name_a": np.asarray(a["ID"]).astype(str)[mutual],
            "name_b": b["source"].to_numpy()[place[mutual]],
            "class_a": np.where(classes == "", UNCLASSIFIED, classes)[mutual],
            "class_b": b["TYPE"].str.upper().replace("", UNCLASSIFIED).to_numpy()[place[mutual]],
            "magnitude": np.asarray(a["r"]).astype(float)[mutual],
        }
    )


@pytest.mark.parametrize("most_rows", [200_000, 150])
def test_pairs_are_those_of_astropy_however_the_sky_is_cut(two, tmp_path, monkeypatch, most_rows):
    monkeypatch.setattr(comparing, "_MOST_ROWS", most_rows)
    found = compare(*planned(two), RADIUS, tmp_path)
    pairs = expected(two)
    differ = pairs[pairs["class_a"] != pairs["class_b"]]
    assert (found.rows_a, found.rows_b) == (ROWS, ROWS - 250)
    assert (found.matched, found.changed) == (len(pairs), len(differ))
    assert 0.8 < found.agreement < 0.9
    changed = pq.read_table(tmp_path / "changed.parquet").to_pandas()
    keys = ["name_a", "name_b", "class_a", "class_b", "magnitude"]
    assert changed[keys].sort_values("name_a").to_numpy().tolist() == (
        differ[keys].sort_values("name_a").to_numpy().tolist()
    )
    assert (changed["separation_arcsec"] < 1).all()
    cube = pq.read_table(tmp_path / "agreement.parquet").to_pandas()
    matrix = cube.groupby(["class_a", "class_b"])["count"].sum()
    assert (
        matrix["STAR", "QSO"] == ((pairs["class_a"] == "STAR") & (pairs["class_b"] == "QSO")).sum()
    )
    assert cube.loc[cube["class_a"] == NOT_THERE, "count"].sum() == found.rows_b - found.matched
    assert cube.loc[cube["class_b"] == NOT_THERE, "count"].sum() == found.rows_a - found.matched
    bright = cube[(cube["magnitude_low"] == 17) & (cube["class_b"] != NOT_THERE)]
    assert bright["count"].sum() == ((pairs["magnitude"] // 1) == 17).sum()


def test_a_run_agrees_with_itself_and_its_own_files(finished_run, tmp_path, capsys):
    products = finished_run / "products"
    for out, other in (
        ("of the run", finished_run),
        ("of its catalogue", products / "catalog"),
        ("out", products / "catalog.fits"),
    ):
        given = ["compare", str(finished_run), str(other), "--output", str(tmp_path / out)]
        assert main(given) == 0
        said = capsys.readouterr().out
        assert "0 of those in both have another class: 100.0000% agree" in said
        assert ", 0 only in A, 0 only in B" in said
    assert "agreement by magnitude from" in said
    assert max(map(len, said.splitlines()[:-2])) <= 80
    assert pq.read_metadata(tmp_path / "out/changed.parquet").num_rows == 0
    assert main(given) == 2
    assert "that is there already" in capsys.readouterr().err
    assert main([*given[:-1], str(finished_run / "diff")]) == 2
    assert "into the work directory" in capsys.readouterr().err
    assert not (finished_run / "diff").exists()


def test_classes_that_only_one_side_has_are_told():
    def cube(*cells):
        rows = [(*classes, 17.0, 0.9, 5) for classes in cells]
        return pd.DataFrame(rows, columns=CUBE.names)

    same = cube(("STAR", "QSO"), ("QSO", "STAR"), ("QSO", NOT_THERE), (UNCLASSIFIED, "STAR"))
    assert not [line for line in told(Comparison(20, 15, 15, 10, same)) if "cannot agree" in line]
    apart = cube(("STAR", "0"), ("QSO", "1"), ("QSO", "QSO"), (NOT_THERE, "2"))
    (line,) = (line for line in told(Comparison(15, 20, 15, 10, apart)) if "cannot agree" in line)
    assert line == (
        "the classes are not the same, so these cannot agree: A alone has STAR; B alone has 0, 1, 2"
    )


def test_what_cannot_be_compared_is_refused(two, tmp_path, capsys):
    a, b = str(two / "A.fits"), str(two / "B.parquet")
    for options, code, said in (
        ([a, b], 2, "the column class or label of"),
        ([a, b, "--columns-b", "colour=TYPE"], 2, "not of the form ROLE=COLUMN"),
        ([a, b, "--columns-b", "class=KIND"], 2, "the column kind of"),
        ([a, a, "--columns-a", "class=p_max"], 2, "as its class, but it holds numbers such as 0."),
        ([a, a, "--radius", "5arcmin"], 2, "matched within 300 arcsec"),
        ([a, str(tmp_path / "none.fits")], 3, "none is there"),
    ):
        assert main(["compare", *options, "--output", str(tmp_path / "out")]) == code
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError):
        parse_columns("class")
