"""Questions to a catalogue: the right sources, from the partitions concerned only."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import votable
from astropy.table import Table
from upath import UPath

from kidsclf.errors import ConfigError, StoreError
from kidsclf.pipeline import query, query_partition
from kidsclf.pipeline.query import answer, cone_of, radius_deg
from kidsclf.pipeline.query_partition import Question
from kidsclf.run import main
from kidsclf.schema import ScoreFlag
from kidsclf.sky.cone import Cone
from kidsclf.sky.margin import within
from kidsclf.sky.partition import spatial_index
from kidsclf.store.layout import WorkDirectory
from s3_server import upload_folder

EVERYWHERE = [(0.0, 0.0), (359.99, -1.9), (10.0, 89.9), (180.0, 90.0), (45.0, 41.8), (120.0, -90.0)]


@pytest.fixture(scope="module")
def whole(finished_run) -> pa.Table:
    data = ds.dataset(finished_run / "products/catalog/dataset", exclude_invalid_files=True)
    return data.to_table().sort_by([("_healpix_29", "ascending"), ("name", "ascending")])


def asked(work: Path, output: Path, form: str = "parquet", **question) -> query.Answer:
    return answer(WorkDirectory(UPath(work)), Question(**question), form, UPath(output))


@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize("radius", [1e-4, 0.02, 0.8, 30.0, 180.0])
def test_stretches_of_a_cone_hold_all_of_it(place, radius):
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 4000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4000)))
    centre = SkyCoord(*place, unit="deg")
    near = centre.directional_offset_by(
        rng.uniform(0, 360, 4000) * centre.ra.unit,
        rng.uniform(0, 1.2, 4000) * radius * centre.ra.unit,
    )
    ra, dec = np.append(ra, near.ra.deg), np.append(dec, near.dec.deg)
    cone = Cone(*place, radius)
    inside = SkyCoord(ra, dec, unit="deg").separation(centre).deg
    held, told = within(spatial_index(ra, dec), cone.stretches()), cone.holds(ra, dec)
    clear = np.abs(inside - radius) > 1e-9
    np.testing.assert_array_equal(told[clear], (inside <= radius)[clear])
    assert held[told].all()
    assert not held[inside > 1.5 * radius].any() or radius > 100
    assert len(cone.stretches()) < 500


@pytest.mark.parametrize(
    ("ra", "dec", "radius"), [(0.0, 0.3, 0.7), (200.0, 90.0, 1.0), (359.9, 0, 3)]
)
def test_a_cone_gives_what_astropy_finds_over_zero_and_the_pole(
    finished_run, whole, tmp_path, ra, dec, radius
):
    found = asked(finished_run, tmp_path / "a.parquet", cone=Cone(ra, dec, radius))
    table = pq.read_table(tmp_path / "a.parquet")
    places = SkyCoord(whole["ra"].to_numpy(), whole["dec"].to_numpy(), unit="deg")
    inside = places.separation(SkyCoord(ra, dec, unit="deg")).deg <= radius
    assert (
        table["name"].to_pylist() == whole["name"].to_numpy(zero_copy_only=False)[inside].tolist()
    )
    assert found.rows == inside.sum() > 20
    assert found.opened < found.partitions


@pytest.mark.parametrize("cone", [Cone(0.0, 0.0, 0.3), None])
def test_class_probability_and_columns_are_as_asked(finished_run, whole, tmp_path, cone):
    rows = whole.to_pandas()
    rows = rows[rows["class"] == "QSO"]
    least = float(rows["p_max"].median())
    asked(
        *(finished_run, tmp_path / "a.parquet"), cone=cone, class_name="qso", p_min=least,
        columns=("p_max", "name", "entropy"),
    )  # fmt: skip
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.column_names == ["p_max", "name", "entropy"]
    chosen = rows[rows["p_max"] >= np.float32(least)]
    if cone:
        chosen = chosen[cone.holds(chosen["ra"].to_numpy(), chosen["dec"].to_numpy())]
    assert table["name"].to_pylist() == chosen["name"].tolist()
    np.testing.assert_array_equal(table["entropy"].to_numpy(), chosen["entropy"].to_numpy())
    assert 0 < len(chosen) < len(rows)


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        (["--flags", "extrapolated"], (1, 0)),
        (["--flags", "EXTRAPOLATED", "--without-flags", "missing_band, TRAINED_ON"], (1, 96)),
        (["--without-flags", "any"], (0, sum(ScoreFlag))),
    ],
)
def test_flags_are_as_asked(finished_run, whole, tmp_path, options, bits):
    output = tmp_path / "a.parquet"
    asked_for = ["query", str(finished_run), *options, "--columns", "name,flags"]
    assert main([*asked_for, "--output", str(output)]) == 0
    flags, (set_bits, unset_bits) = whole["flags"].to_numpy(), bits
    chosen = ((flags & set_bits) == set_bits) & ((flags & unset_bits) == 0)
    assert pq.read_table(output)["flags"].to_pylist() == flags[chosen].tolist()
    assert 0 < chosen.sum() < len(flags)


def test_only_partitions_concerned_are_opened(finished_run, tmp_path, monkeypatch):
    """All others may even be unreadable; and files that are opened are counted."""
    work = tmp_path / "work"
    shutil.copytree(finished_run / "products", work / "products")
    opened = []

    def counting(path):
        opened.append(path.name)
        return open_parquet(path)

    open_parquet = query.open_parquet
    for module in (query, query_partition):
        monkeypatch.setattr(module, "open_parquet", counting)
    cone = Cone(0.0, 90.0, 0.2)
    found = asked(work, tmp_path / "a.csv", "csv", cone=cone)
    concerned = set(opened[1:])  # the first gives the columns
    assert len(opened) == 1 + found.opened
    assert 0 < found.opened < found.partitions / 2
    for path in (work / "products/catalog/dataset").rglob("Npix=*.parquet"):
        if path.name not in {*concerned, opened[0]}:
            path.write_bytes(b"no Parquet")
    assert asked(work, tmp_path / "b.csv", "csv", cone=cone) == found
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    with pytest.raises(StoreError, match=r"partition \d+/\d+ of the catalogue was expected"):
        asked(work, tmp_path / "c.csv", "csv")
    assert not (tmp_path / "c.csv").exists()


def test_every_format_holds_the_same_answer(finished_run, tmp_path, capsys):
    options = ["--cone", "-0.2", "0.1", "30arcmin", "--pmin", "0.5"]
    read = {
        "fits": lambda path: Table.read(path, hdu=1),
        "vot": lambda path: votable.parse_single_table(path, verify="exception").to_table(),
        "parquet": lambda path: Table.from_pandas(pq.read_table(path).to_pandas()),
        "csv": lambda path: Table.from_pandas(pa.csv.read_csv(path).to_pandas()),
    }
    found = {}
    for ending, reader in read.items():
        path = tmp_path / f"a.{ending}"
        assert main(["query", str(finished_run), *options, "--output", str(path)]) == 0
        found[ending] = reader(path)
    assert len(found["fits"]) > 5
    for name in ("p_max", "r", "p_qso", "flags"):
        for ending in ("vot", "parquet", "csv"):
            given = np.asarray(found[ending][name]).astype(np.float32)
            np.testing.assert_array_equal(given, np.asarray(found["fits"][name]), name)
    assert list(found["fits"]["Name"].astype(str)) == list(found["parquet"]["name"].astype(str))
    assert "sources from" in capsys.readouterr().out


@pytest.mark.s3
def test_a_catalogue_in_an_object_store_gives_the_same_answer(
    finished_run, s3_server, tmp_path, monkeypatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.address)
    bucket = s3_server.new_bucket()
    upload_folder(finished_run / "products", bucket / "run" / "products")
    options = ["--cone", "0", "90", "0.5", "--pmin", "0.5", "--format", "fits", "--output"]
    assert main(["query", str(finished_run), *options, str(tmp_path / "here.fits")]) == 0
    assert main(["query", str(bucket / "run"), *options, str(bucket / "there.fits")]) == 0
    assert (bucket / "there.fits").read_bytes() == (tmp_path / "here.fits").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cone", "0", "91", "1"], "no place on the sky"),
        (["--cone", "x", "0", "1"], "no place on the sky"),
        (["--cone", "0", "0", "3pc"], "no angle above 0"),
        (["--columns", "name,colour"], "--columns asks for colour"),
        (["--class", "NOVA"], "the classes are STAR, QSO, GALAXY"),
        (["--class", "STAR_CALIBRATED"], "the classes are STAR, QSO, GALAXY"),
        (["--flags", "BLURRED"], "'BLURRED' is no flag; name some of EXTRAPOLATED, CUTOUT_EDGE"),
        (["--flags", "any"], "'any' is no flag"),
        (["--without-flags", "any,rubbish"], "'any' is no flag"),
        (["--flags", "TRAINED_ON", "--without-flags", "any"], "has it and lacks it"),
        (["--pmin", "1.5"], "lies between 0 and 1"),
        (["--pmin", "nan"], "lies between 0 and 1"),
        (["--output", "answer.txt"], "its ending is none of"),
    ],
)
def test_bad_questions_are_refused(finished_run, tmp_path, monkeypatch, capsys, options, said):
    monkeypatch.chdir(tmp_path)
    assert main(["query", str(finished_run), "--output", "a.csv", *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over_or_into_a_run(finished_run, tmp_path, capsys):
    before = (finished_run / "run.toml").read_bytes()
    (tmp_path / "a file").touch()
    for output, said in (
        (finished_run / "run.toml", "that is there already"),
        (finished_run / "products/near.csv", "into the work directory"),
        (tmp_path, "that is there already"),
        (tmp_path / "a file/near.csv", "is no folder"),
    ):
        given = ["query", str(finished_run), "--format", "csv", "--output", str(output)]
        assert main(given) == 2
        assert said in capsys.readouterr().err
    assert (finished_run / "run.toml").read_bytes() == before


def test_a_folder_without_catalogue_is_refused(tmp_path, capsys):
    assert main(["query", str(tmp_path), "--output", str(tmp_path / "a.csv")]) == 4
    assert "a catalogue was to be asked, but there is none" in capsys.readouterr().err


def test_units_of_angles():
    assert cone_of("370", "-90", "0.1") == Cone(10.0, -90.0, 0.1)
    assert radius_deg("2arcmin") == pytest.approx(1 / 30)
    with pytest.raises(ConfigError, match="no angle"):
        radius_deg("-1")
