"""What the command refuses: in one sentence that helps, and without harm to what is there."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from work_directories import COMMAND, science_of

import kidsclf.cluster.open
from kidsclf import opening, run
from kidsclf.pipeline.plan import STAGES
from kidsclf.pipeline.status import status_of
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.quarantine import Quarantined, read_quarantine, write_quarantined
from kidsclf.surveys.map_files import load_column_map

NOWHERE = "tcp://127.0.0.1:1"


@dataclass(frozen=True)
class Refusal:
    """How a command ended, and its sentence."""

    code: int
    sentence: str


Refused = Callable[..., Refusal]


@pytest.fixture
def refused(capsys) -> Refused:
    """Run the command in this process and take the one sentence with which it ends."""

    def ask(*arguments: object) -> Refusal:
        try:
            code = run.main([str(each) for each in arguments])
        except SystemExit as stop:  # argparse
            code = int(stop.code or 0)
        err = capsys.readouterr().err
        assert "Traceback" not in err
        said = [line for line in err.splitlines() if line.startswith("kidsclf: ")]
        assert len(said) == 1, err
        assert err.rstrip().endswith(said[0]), "something was said after the sentence"
        sentence = said[0].removeprefix("kidsclf: ")
        assert not re.search(r"[.!?] [A-Z]", sentence), "more than one sentence"
        return Refusal(code, sentence)

    return ask


@pytest.fixture
def no_cluster(monkeypatch) -> None:
    """Fail where a cluster is opened: these refusals come before."""

    def opened(*_: object, **__: object) -> None:
        pytest.fail("a cluster was opened")

    monkeypatch.setattr(opening, "open_cluster", opened)


def kids_table(rows: int = 400, seed: int = 5) -> Table:
    """Make a table such as KiDS DR4's, with the columns and units that its map reads."""
    rng = np.random.default_rng(seed)
    columns = load_column_map("kids_dr4")
    table = Table({"ID": [f"KiDSDR4 J{k:09d}" for k in range(rows)]})
    table["RAJ2000"] = rng.uniform(180, 181, rows)
    table["DECJ2000"] = rng.uniform(-1, 1, rows)
    magnitudes = columns.magnitudes
    assert magnitudes is not None
    for band in columns.bands:
        table[magnitudes.of(band).column] = rng.uniform(18, 22, rows).astype(np.float32)
        table[str(magnitudes.of(band).error)] = np.full(rows, 0.02, np.float32)
    for cut in columns.cut_columns():
        table[cut] = np.zeros(rows, np.int32)
    if columns.half_light_radius:
        table[columns.half_light_radius.column] = np.full(rows, 3.0, np.float32)
    table["RAJ2000"].unit = table["DECJ2000"].unit = "deg"
    for name in table.colnames:
        if name.startswith(("MAG_GAAP", "MAGERR_GAAP")):
            table[name].unit = "mag"
    return table


def shorten(path: Path, share: float) -> None:
    """Cut the end of a file off."""
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


def config_of(folder: Path, **sections: str) -> Path:
    """Write the configuration of a KiDS-like run over ``catalogue.fits``."""
    text = f"""
[survey]
preset = "kids_dr4"
catalogue = "catalogue.fits"
{sections.get("survey", "")}
[cutouts]
{sections.get("cutouts", "")}
[samples.sdss]
preset = "sdss_specobj"
tables = "labels.fits"
[train]
networks = ["xgboost"]
trees = {{ trees = 3, depth = 2 }}
{sections.get("train", "")}
"""
    path = folder / "kids.toml"
    path.write_text(text)
    return path


# What can be seen in the settings and the names of files -----------------------------------------


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (["survey.catalogue=none.fits"], 3, ["none.fits", "correct the path"]),
        (["survey.catalogue=*.nothing"], 3, ["*.nothing", "pattern"]),
        (["survey.catalogue=[]"], 2, ["survey.catalogue"]),
        (["survey.tiles=tiles/*.fits"], 3, ["tiles/*.fits", "pattern"]),
        (["samples.sdss.tables=labels.fits"], 3, ["labels.fits"]),
        (
            ["ingest.max_row=5"],
            2,
            ["the command line asks for ingest.max_row,", "did you mean ingest.max_rows?"],
        ),
        (["train.epochs=5"], 2, ["train.epochs", "did you mean train.neural.epochs?"]),
        (["max_rows=5"], 2, ["max_rows", "ingest.max_rows"]),
        (["surveys.preset=x"], 2, ["surveys", "did you mean survey?"]),
        (["samples.sdss.tabels=x"], 2, ["tabels", "samples.sdss.tables"]),
        (["cluster.nonsense=1"], 2, ["cluster.nonsense", "workers"]),
        (["ingest.max_rows=many"], 2, ["ingest.max_rows", "many", "integer"]),
        (
            ["ingest.max_rows=0"],
            2,
            ["the command line sets ingest.max_rows = 0", "greater than 0"],
        ),
        (["samples.more.radius_arcsec=1"], 2, ["the command line lacks samples.more.preset"]),
        (["train.trees=7"], 2, ["train.trees", "train.trees.depth"]),
        (["cutouts.encoding=int8"], 2, ["cutouts.encoding", "int8", "int16"]),
        (["train.networks=['../../x']"], 2, ["train.networks", "../../x"]),
        (["survey.preset=sdss_fotometry"], 2, ["sdss_fotometry", "sdss_photometry"]),
        (["survey.preset=mine.toml"], 2, ["mine.toml"]),
        (["train.networks=['xgbost']"], 2, ["xgbost", "xgboost"]),
        (["train.networks=['mnn']"], 2, ["mnn", "survey.tiles"]),
        (["train.sample=boss"], 2, ["train.sample", "boss", "[samples.boss]"]),
        (["survey.preset=generic"], 2, ["survey.preset", "magnitudes"]),
        (
            ["samples.sdss.preset=generic", "samples.sdss.tables=labels.fits"],
            2,
            ["'sdss'", "'generic' names no label"],
        ),
        (["train.pretrained=models"], 2, ["train.pretrained", "card.json", "finished run"]),
        (["train.folds=1"], 2, ["train.folds"]),
        (["train.classes=['E+A', 'QSO']"], 2, ["train.classes", "'+'", "prediction set"]),
        (["infer.coverage=1.0"], 2, ["infer.coverage", "less than 1"]),
        (["reduce.product_network=mlp"], 2, ["reduce.product_network", "mlp"]),
        (["ingest.chunk_rows=100000000"], 6, ["ingest.chunk_rows", "GiB"]),
        (["cluster.memory_gib_per_worker=0.5"], 6, ["cluster.memory_gib_per_worker", "0.5 GiB"]),
        (["ingest.max_rows"], 2, ["--set", "section.key=value"]),
        (["run.seed.deep=1"], 2, ["run.seed"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_setting_is_refused_before_anything_starts(
    settings, code, words, small_survey, refused, no_cluster, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "work"
    changes = [part for each in settings for part in ("--set", each)]
    answer = refused(small_survey / "run.toml", "--workdir", work, *changes)
    assert answer.code == code
    for word in words:
        assert word in answer.sentence
    assert not work.exists()


def test_a_backend_that_is_not_installed_is_refused_before_anything_starts(
    finished_run, refused, no_cluster, monkeypatch, tmp_path
):
    """Also in a finished run, whose networks stay as they are, and by a plan."""
    monkeypatch.setitem(sys.modules, "torch", None)
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    before = {path: path.read_bytes() for path in work.rglob("*.json")}
    networks = ("--set", 'train.networks=["mlp"]', "--set", "infer.backend=torch")
    for more in ((), ("--dry-run",), ("--stages", "infer")):
        answer = refused("--workdir", work, *networks, *more)
        assert answer.code == 2
        assert "infer.backend = 'torch' was asked for, but" in answer.sentence
    assert {path: path.read_bytes() for path in work.rglob("*.json")} == before
    assert (work / "run.toml").read_bytes() == (finished_run / "run.toml").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.toml"], 2, ["none.toml", "No such file", "TOML"]),
        (["stauts", "work"], 2, ["'stauts' is neither", "did you mean status?", "a TOML file"]),
        (["frobnicate"], 2, ["'frobnicate' is neither", "commands are status, "]),
        (["broken.toml"], 2, ["broken.toml", "line 1"]),
        (["--workdir", "empty"], 2, ["empty/run.toml", "configs/demo.toml"]),
        (["good.toml", "--stages", "ingets"], 2, ["ingets", "ingest, cutouts, features, match"]),
        (["good.toml", "--cluster", "nonsense"], 2, ["nonsense", "local, cuda, slurm", "tcp://"]),
        (
            ["good.toml", "--workers", "0"],
            2,
            ["the command line sets cluster.workers = 0", "greater than 0"],
        ),
        (["wrong.toml", "--workers", "1"], 2, ["wrong.toml sets run.seed = -1"]),
        (["wrong.toml", "--set", "run.seed=2"], 2, ["wrong.toml lacks survey.preset"]),
        (["good.toml", "--workdir", "good.toml/work"], 2, ["good.toml/work", "choose another"]),
        (["good.toml", "--workdir", "mine", "--fresh"], 2, ["--fresh", "mine", "run.toml"]),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_a_command_line_is_refused_before_anything_starts(
    arguments, code, words, small_survey, refused, no_cluster, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text("[survey\n")
    good = (small_survey / "run.toml").read_text()
    Path("good.toml").write_text(good.replace("catalogue-", f"{small_survey}/catalogue-"))
    Path("wrong.toml").write_text("[run]\nseed = -1\n[survey]\ncatalogue = 'x.fits'\n")
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("precious")
    answer = refused(*arguments)
    assert answer.code == code
    for word in words:
        assert word in answer.sentence
    assert Path("mine/thesis.tex").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("broken.toml", "good.toml", "mine", "wrong.toml")
    ]


def test_pretrained_networks_of_other_bands_are_refused(
    small_survey, finished_run, refused, no_cluster, tmp_path
):
    (tmp_path / "four.toml").write_text(
        'extends = "sdss_photometry"\nbands = ["g", "r", "i", "z"]\n'
    )
    answer = refused(
        *(small_survey / "run.toml", "--workdir", tmp_path / "work"),
        *("--set", f"train.pretrained={finished_run}/models"),
        *("--set", f"survey.preset={tmp_path}/four.toml"),
    )
    assert answer.code == 2
    assert "train.pretrained" in answer.sentence
    assert "bands are ['u', 'g', 'r', 'i', 'z'], not ['g', 'r', 'i', 'z']" in answer.sentence


def test_help_version_and_dry_run_write_nothing(small_survey, capsys, no_cluster, tmp_path):
    for option in ("--help", "--version"):
        with pytest.raises(SystemExit) as stop:
            run.main([option])
        assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "Exit codes" in said
    assert re.search(r"kidsclf \d+\.\d+", said)
    work = tmp_path / "work"
    assert (
        run.main(
            [
                str(small_survey / "run.toml"),
                "--workdir",
                str(work),
                "--dry-run",
                "--set",
                "run.report=true",
            ]
        )
        == 0
    )
    plan = capsys.readouterr().out
    assert "nothing is written" in plan
    assert all(stage in plan for stage in ("ingest", "match", "train", "infer", "reduce", "report"))
    assert list(tmp_path.iterdir()) == []


# Clusters that cannot be had ---------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Wait for an answer for a second only."""
    monkeypatch.setattr(kidsclf.cluster.open, "_CONNECT_SECONDS", 1.0)


def test_an_address_where_nobody_answers(small_survey, refused, impatient, tmp_path):
    work = tmp_path / "work"
    answer = refused(small_survey / "run.toml", "--workdir", work, "--cluster", NOWHERE)
    assert answer.code == 5
    assert NOWHERE in answer.sentence
    assert "no scheduler answers" in answer.sentence
    assert not work.exists()


def test_a_fresh_start_that_fails_keeps_the_old_run(
    small_survey, finished_run, refused, impatient, tmp_path
):
    work = tmp_path / "work"
    shutil.copytree(finished_run, work)
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    answer = refused(small_survey / "run.toml", "--workdir", work, "--cluster", NOWHERE, "--fresh")
    assert answer.code == 5
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before


def test_cuda_without_a_gpu(small_survey, refused, tmp_path):
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA GPU, so cuda is not refused")
    answer = refused(small_survey / "run.toml", "--workdir", tmp_path / "work", "--cluster", "cuda")
    assert answer.code == 5
    assert "GPU" in answer.sentence or "dask-cuda" in answer.sentence
    assert "--cluster local" in answer.sentence
    assert not (tmp_path / "work").exists()


# Damaged and unfit input -------------------------------------------------------------------------


def truncated_parquet(folder: Path) -> None:
    shorten(folder / "catalogue-1.parquet", 0.6)


def broken_page(folder: Path) -> None:
    path = folder / "catalogue-1.parquet"
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)  # the footer stands, so the damage shows only when rows are read
    path.write_bytes(content)


def missing_column(folder: Path) -> None:
    path = folder / "catalogue-1.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["g"]), path)


def text_for_numbers(folder: Path) -> None:
    path = folder / "catalogue-1.parquet"
    table = pq.read_table(path)
    words = pa.array(["bright"] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("g"), "g", words), path)


def empty_table(folder: Path) -> None:
    path = folder / "catalogue-1.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def directory_of_that_name(folder: Path) -> None:
    (folder / "catalogue-1.parquet").unlink()
    (folder / "catalogue-1.parquet").write_text("not a table")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncated_parquet, ["catalogue-1.parquet", "anew"]),
        (broken_page, ["catalogue-1.parquet", "rows", "anew", "ingest.read catalogue_1-"]),
        (missing_column, ["catalogue-1.parquet", "column g", "sdss_photometry"]),
        (text_for_numbers, ["catalogue-1.parquet", "column g", "numbers"]),
        (empty_table, ["catalogue-1.parquet", "empty"]),
        (directory_of_that_name, ["catalogue-1.parquet", "anew"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_spoilt_catalogue_leaves_the_finished_run_whole(
    spoil, words, small_survey, finished_run, refused, workers, tmp_path
):
    folder, work = tmp_path / "survey", tmp_path / "work"
    shutil.copytree(small_survey, folder)
    shutil.copytree(finished_run, work)
    before, settings = science_of(work), (work / "run.toml").read_text()
    receipts = {path: path.read_bytes() for path in (work / "receipts").rglob("*.json")}
    spoil(folder)
    asked = (folder / "run.toml", "--workdir", work, "--cluster", workers)
    answer = refused(*asked)
    assert answer.code == 3
    for word in words:
        assert word in answer.sentence
    assert science_of(work) == before
    assert not list(work.rglob(".unfinished-*"))
    assert (work / "receipts/ingest/files.json").exists()
    if spoil in (truncated_parquet, empty_table, directory_of_that_name):  # no task has begun
        assert (work / "run.toml").read_text() == settings
        assert not (work / "failure.json").exists()
        assert {path: path.read_bytes() for path in receipts} == receipts
    shutil.copy2(small_survey / "catalogue-1.parquet", folder)  # with its time of change
    assert run.main([str(each) for each in asked]) == 0
    assert science_of(work) == before


def test_a_refusal_of_the_same_run_with_other_workers_is_told_and_forgets_nothing(
    small_survey, finished_run, refused, workers, tmp_path
):
    folder, work = tmp_path / "survey", WorkDirectory(tmp_path / "work")
    shutil.copytree(small_survey, folder)
    shutil.copytree(finished_run, work.root)
    settings = (work.root / "run.toml").read_text()
    (work.root / "run.toml").write_text(settings.replace(str(small_survey), str(folder)))
    left_out = Quarantined("match", "0/1", "", 7, "it could not be read")
    write_quarantined(work.quarantine, left_out)
    receipts = {path: path.read_bytes() for path in work.receipts.rglob("*.json")}
    truncated_parquet(folder)
    asked = (folder / "run.toml", "--workdir", work.root, "--cluster", workers)
    answer = refused(*asked, "--set", "run.report=true")  # as the finished run was made
    assert answer.code == 3
    failure = status_of(work).failure
    assert failure is not None
    assert (failure.exit_code, failure.reason) == (3, answer.sentence)
    assert {path: path.read_bytes() for path in work.receipts.rglob("*.json")} == receipts
    assert read_quarantine(work.quarantine) == (left_out,)


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (["ingest.magnitude_limit=1"], 3, ["none is left", "magnitude", "loosen [ingest]"]),
        (["ingest.require_bands=['Y']"], 3, ["ingest.require_bands", "Y"]),
        (["ingest.keep_columns=['seeing']"], 3, ["seeing", "keep_columns"]),
        (["ingest.max_rows=1", "ingest.max_order=2"], 6, ["ingest.max_rows = 1", "max_order"]),
        (["train.classes=['NOVA','COMET']"], 3, ["sdss", "none"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_survey_that_cannot_be_used_as_asked(
    settings, code, words, small_survey, refused, workers, tmp_path
):
    work = tmp_path / "work"
    changes = [part for each in settings for part in ("--set", each)]
    answer = refused(small_survey / "run.toml", "--workdir", work, "--cluster", workers, *changes)
    assert answer.code == code
    for word in words:
        assert word in answer.sentence
    assert not list(work.rglob(".unfinished-*"))
    for folder in ("products", "scores", "models", "report", "scratch"):
        assert not (work / folder).exists()


def test_a_stage_before_those_it_needs(small_survey, refused, workers, tmp_path):
    journey = [stage.name for stage in STAGES]
    for stage in ("match", "train", "infer", "reduce"):
        answer = refused(
            *(small_survey / "run.toml", "--workdir", tmp_path / "work"),
            *("--cluster", workers, "--stages", stage),
        )
        assert answer.code == 4
        needed = re.search(r"the stage '(\w+)' must have finished first", answer.sentence)
        assert needed
        assert journey.index(needed[1]) < journey.index(stage)
        assert f"add {needed[1]} to --stages" in answer.sentence


# Surveys as files of KiDS ------------------------------------------------------------------------


@pytest.fixture
def kids(tmp_path) -> Path:
    """A KiDS-like catalogue, labels of its sources, and no images."""
    folder = tmp_path / "kids"
    folder.mkdir()
    table = kids_table()
    table.write(folder / "catalogue.fits")
    labels_of(table).write(folder / "labels.fits")
    return folder


def labels_of(table: Table, shift_deg: float = 0.0) -> Table:
    """Make a table such as SDSS's specObj at the positions of some sources."""
    labels = Table({"PLUG_RA": table["RAJ2000"] + shift_deg, "PLUG_DEC": table["DECJ2000"]})
    rows = len(table)
    labels["SPECOBJID"] = [f"{k:022d}" for k in range(rows)]
    labels["CLASS"] = [("STAR", "QSO", "GALAXY")[k % 3] for k in range(rows)]
    labels["Z"] = np.linspace(0, 2, rows, dtype=np.float32)
    labels["ZWARNING"] = np.zeros(rows, np.int32)
    labels["SN_MEDIAN_ALL"] = np.full(rows, 20.0, np.float32)
    labels["SPECPRIMARY"] = np.ones(rows, np.uint8)
    return labels


def truncated_fits(folder: Path) -> None:
    shorten(folder / "catalogue.fits", 0.7)


def truncated_fits_header(folder: Path) -> None:
    with (folder / "catalogue.fits").open("r+b") as file:
        file.truncate(4000)


def wrong_unit(folder: Path) -> None:
    with fits.open(folder / "catalogue.fits", mode="update") as file:
        names = file[1].columns.names
        file[1].header[f"TUNIT{names.index('MAG_GAAP_r') + 1}"] = "Jy"


def no_rows(folder: Path) -> None:
    kids_table()[:0].write(folder / "catalogue.fits", overwrite=True)


def labels_elsewhere(folder: Path) -> None:
    labels_of(kids_table(), shift_deg=40.0).write(folder / "labels.fits", overwrite=True)


def labels_truncated(folder: Path) -> None:
    shorten(folder / "labels.fits", 0.6)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (truncated_fits, ["catalogue.fits", "anew"]),
        (truncated_fits_header, ["catalogue.fits", "anew"]),
        (wrong_unit, ["catalogue.fits", "MAG_GAAP_r", "mag", "Jy", "convert"]),
        (no_rows, ["catalogue.fits", "empty"]),
        (labels_elsewhere, ["sdss", "none fell on a source", "1.0 arcsec", "coordinates"]),
        (labels_truncated, ["labels.fits", "anew"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_spoilt_files_of_kids_are_named(spoil, words, kids, refused, workers, tmp_path):
    spoil(kids)
    work = tmp_path / "work"
    answer = refused(config_of(kids), "--workdir", work, "--cluster", workers)
    assert answer.code == 3
    for word in words:
        assert word in answer.sentence
    assert not list(work.rglob(".unfinished-*"))
    assert not (work / "products").exists()


def write_tile(path: Path, band: str = "r") -> None:
    """Write an image tile that covers the middle of the KiDS-like catalogue."""
    rng = np.random.default_rng(1)
    header = fits.Header()
    header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=180.5, CRVAL2=0.0)
    header.update(CRPIX1=150.5, CRPIX2=150.5, CD1_1=-2e-4, CD1_2=0.0, CD2_1=0.0, CD2_2=2e-4)
    header.update(MAGZERO=0.0, FILTER=f"OCAM_{band}_SDSS")
    fits.writeto(path, rng.normal(0, 1e-12, (300, 300)).astype(np.float32), header)


@pytest.mark.parametrize(
    ("share", "bands", "words"),
    [
        (0.5, '["r"]', ["tile-0.fits", "anew"]),
        (1.0, '["u"]', ["band u", "cutouts.bands"]),
    ],
    ids=["truncated", "band"],
)
def test_spoilt_tiles_are_named(share, bands, words, kids, refused, workers, tmp_path):
    write_tile(kids / "tile-0.fits")
    shorten(kids / "tile-0.fits", share)
    config = config_of(kids, survey='tiles = "tile-*.fits"', cutouts=f"bands = {bands}")
    work = tmp_path / "work"
    answer = refused(config, "--workdir", work, "--cluster", workers)
    assert answer.code == 3
    for word in words:
        assert word in answer.sentence
    assert not list(work.rglob(".unfinished-*"))
    assert not list(work.glob("cutouts.zarr/**/zarr.json"))


def test_a_tile_cut_short_is_left_out_where_asked_then_done(kids, workers, tmp_path):
    write_tile(kids / "tile-0.fits")
    sound = (kids / "tile-0.fits").read_bytes()
    shorten(kids / "tile-0.fits", 0.5)
    config = config_of(kids, survey='tiles = "tile-*.fits"', cutouts='bands = ["r"]')
    work = WorkDirectory(tmp_path / "work")
    asked = (str(config), "--workdir", str(work.root), "--cluster", workers)
    asked = (*asked, "--stages", "ingest,cutouts", "--set", "ingest.max_rows=200")
    assert run.main([*asked, "--set", "run.on_bad_input=quarantine"]) == 7
    left_out = read_quarantine(work.quarantine)
    assert left_out
    assert {each.stage for each in left_out} == {"cutouts"}
    for each in left_out:
        assert "tile-0.fits: it ends before the 360000 bytes of its HDU 0 do" in each.reason
    (kids / "tile-0.fits").write_bytes(sound)
    assert run.main([*asked, "--set", "run.on_bad_input=quarantine"]) == 0
    assert read_quarantine(work.quarantine) == ()
    assert status_of(work).stages[1].state == "done"


# As a process of its own -------------------------------------------------------------------------


def test_nothing_but_progress_and_the_sentence_is_said(small_survey, command, tmp_path):
    folder = tmp_path / "survey"
    shutil.copytree(small_survey, folder)
    broken_page(folder)
    done = command(
        *(folder / "run.toml", "--workdir", tmp_path / "work", "--workers", 1),
        *("--set", "cluster.dashboard_port=0"),
    )
    assert done.code == 3
    *progress, sentence = done.err.splitlines()
    assert sentence.startswith("kidsclf: cannot read ")
    assert "catalogue-1.parquet" in sentence
    assert [line.split()[0] for line in progress] == ["ingest.read"]
    assert not (tmp_path / "work/scratch").exists()


def peak_memory_mb(folder: Path, workers: str, work: Path) -> float:
    """Run the command and watch the peak of its own resident memory (VmHWM), MB."""
    process = subprocess.Popen(
        [*COMMAND, folder / "run.toml", "--workdir", work, "--cluster", workers],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak, status = 0.0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        peak = max(peak, int(found[1]) / 1000 if found else 0.0)
        time.sleep(0.05)
    assert process.returncode == 0, process.communicate()[1]
    process.communicate()
    return peak


def test_the_memory_of_the_client_does_not_grow_with_the_survey(
    small_survey, draw_sources, workers, tmp_path_factory
):
    peaks = {}
    for rows in (400_000, 1_200_000):  # allocators keep some tens of MB once they had them
        folder = tmp_path_factory.mktemp(f"survey-{rows}")
        pq.write_table(draw_sources(np.random.default_rng(2), rows), folder / "catalogue-0.parquet")
        text = (small_survey / "run.toml").read_text().replace("trees = 8", "trees = 3")
        text = text.replace("max_rows = 400", "max_rows = 50_000")
        (folder / "run.toml").write_text(text.replace("chunk_rows = 700", "chunk_rows = 50_000"))
        peaks[rows] = peak_memory_mb(folder, workers, folder / "work")
    print(f"peak of the client: {peaks[400_000]:.0f}, then {peaks[1_200_000]:.0f} MB")
    # The scored catalogue alone would take 800,000 x 200 bytes = 160 MB more.
    assert peaks[1_200_000] - peaks[400_000] < 70
