"""Results of other settings or inputs are never taken for today's."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from work_directories import summary_of

ARGUMENTS = ("--set", "cluster.dashboard_port=0")


@pytest.fixture
def copied_run(finished_run, tmp_path):
    """A finished run of one's own."""
    shutil.copytree(finished_run, tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("change", "stages", "stale"),
    [
        ("train.trees.trees=9", "reduce,report", "infer"),
        ("train.trees.trees=9", "infer,reduce", "train"),
        ("ingest.max_rows=200", "infer", "ingest"),
        ("samples.sdss.radius_arcsec=2.0", "train", "match"),
    ],
)
def test_a_stage_is_not_built_on_stale_ones(
    change, stages, stale, small_survey, command, copied_run, workers
):
    before = (copied_run / "products/catalog.fits").read_bytes()
    done = command(
        *(small_survey / "run.toml", "--workdir", copied_run, "--cluster", workers),
        *("--set", change, "--stages", stages),
    )
    assert done.code == 4
    if stale == "infer":  # the networks are looked at first
        assert "'train' was last done" in done.err or "'infer' was last done" in done.err
    else:
        assert f"'{stale}' was last done with other settings" in done.err
    assert "Traceback" not in done.err
    assert (copied_run / "products/catalog.fits").read_bytes() == before


def test_another_file_of_the_same_name_is_another_input(small_survey, command, tmp_path, workers):
    for folder in ("one", "other"):
        shutil.copytree(small_survey, tmp_path / folder)
    table = pq.read_table(tmp_path / "other/catalogue-0.parquet")
    shifted = pa.array(table["r"].to_numpy() - 0.25)
    table = table.set_column(table.column_names.index("r"), "r", shifted)
    pq.write_table(table, tmp_path / "other/catalogue-0.parquet")
    work = tmp_path / "work"
    medians = []
    for folder in ("one", "other"):
        done = command(*(tmp_path / folder / "run.toml", "--workdir", work, "--cluster", workers))
        assert done.code == 0, done.err
        medians.append(np.median(Table.read(work / "products/catalog.fits", hdu=1)["r"]))
    assert medians[1] < medians[0]


def test_one_identifier_at_two_places_is_two_sources(command, tmp_path, workers):
    """And one at the same place twice is one source, whatever the partitioning."""
    rng = np.random.default_rng(6)
    n = 1200
    kind = rng.choice(3, n)
    ra, dec = rng.uniform(100, 101, n), rng.uniform(-0.5, 0.5, n)
    names = np.array([f"s{k}" for k in range(n)])
    names[1] = names[0]  # far apart
    columns = {"id": names, "ra": ra, "dec": dec, "err_r": rng.uniform(0.01, 0.02, n)}
    for k, band in enumerate("ugr"):
        columns[band] = 20 + kind * (k - 1) * 0.4 + rng.normal(0, 0.1, n)
    columns["class"] = np.array(["STAR", "QSO", "GALAXY"])[kind]
    doubled = {name: values[50:100].copy() for name, values in columns.items()}
    doubled["ra"] = doubled["ra"] + 0.3 / 3600
    doubled["err_r"] = doubled["err_r"] + 1.0
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    pq.write_table(pa.table(doubled), tmp_path / "b.parquet")
    (tmp_path / "columns.toml").write_text("""
name = "test"
bands = ["u", "g", "r"]
reference_band = "r"
[identifier]
columns = ["id"]
[position]
ra = "ra"
dec = "dec"
[magnitudes]
column = "{band}"
[magnitudes.bands.r]
column = "r"
error = "err_r"
[label]
column = "class"
[[cuts]]
name = "south"
columns = "dec"
op = "<"
value = 0.45
""")
    (tmp_path / "run.toml").write_text("""
[survey]
preset = "columns.toml"
catalogue = ["*.parquet"]
[samples.own]
preset = "columns.toml"
[train]
sample = "own"
networks = ["xgboost"]
[train.trees]
trees = 3
""")
    kept = int((dec < 0.45).sum())
    found = []
    for rows in (2000, 40):
        work = tmp_path / f"work-{rows}"
        done = command(
            *(tmp_path / "run.toml", "--workdir", work, "--cluster", workers),
            *("--set", f"ingest.max_rows={rows}", "--set", "ingest.max_order=14"),
        )
        assert done.code == 0, done.err
        assert summary_of(work)["rows_out"] == kept
        found.append((work / "products/catalog.fits").read_bytes())
    assert found[0] == found[1]


def test_what_the_run_no_longer_has_is_removed(small_survey, command, copied_run, workers):
    (copied_run / "scores/old_network/dataset").mkdir(parents=True)
    (copied_run / "samples/old_sample").mkdir(parents=True)
    done = command(
        *(small_survey / "run.toml", "--workdir", copied_run, "--cluster", workers),
        *("--set", "ingest.max_rows=350"),
    )
    assert done.code == 0, done.err
    assert [path.name for path in (copied_run / "scores").iterdir()] == ["xgboost"]
    assert [path.name for path in (copied_run / "samples").iterdir()] == ["sdss"]


@pytest.mark.parametrize(
    ("setting", "answer"),
    [
        ('train.classes=["STAR"]', "at least two classes"),
        ('train.classes=["STAR", "star", "QSO"]', "each once"),
        ('ingest.keep_columns=["class"]', "a meaning of its own"),
        ('train.networks=["mlp"]', "set both to the same number"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    setting, answer, small_survey, command, tmp_path, workers
):
    work = tmp_path / "work"
    done = command(
        *(small_survey / "run.toml", "--workdir", work, "--cluster", workers, "--set", setting)
    )
    assert done.code == 2
    assert answer in done.err
    assert not work.exists()


def test_a_second_run_on_a_held_work_directory_is_refused(small_survey, command, tmp_path):
    from kidsclf.store.lock import locked

    work = tmp_path / "work"
    work.mkdir()
    with locked(work):
        done = command(small_survey / "run.toml", "--workdir", work, *ARGUMENTS)
    assert done.code == 4
    assert "another run holds it" in done.err


def test_a_fresh_start_removes_nothing_of_the_user_s(small_survey, command, copied_run, workers):
    (copied_run / "mine.csv").write_text("1,2\n")
    (copied_run / "notes").mkdir()
    done = command(
        *(small_survey / "run.toml", "--workdir", copied_run, "--cluster", workers, "--fresh")
    )
    assert done.code == 0, done.err
    assert (copied_run / "mine.csv").read_text() == "1,2\n"
    assert (copied_run / "notes").is_dir()


def test_inputs_are_neither_overwritten_nor_removed(small_survey, command, tmp_path, workers):
    for path in small_survey.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    before = (tmp_path / "run.toml").read_bytes()
    done = command(tmp_path / "run.toml", "--workdir", tmp_path, "--cluster", workers)
    assert done.code == 2
    assert "give it another name" in done.err
    assert (tmp_path / "run.toml").read_bytes() == before
    (tmp_path / "run.toml").rename(tmp_path / "mine.toml")
    (tmp_path / "catalog").mkdir()
    shutil.move(tmp_path / "catalogue-0.parquet", tmp_path / "catalog")
    done = command(
        *(tmp_path / "mine.toml", "--workdir", tmp_path, "--cluster", workers),
        *("--set", f"survey.catalogue={tmp_path}/catalog/catalogue-0.parquet"),
    )
    assert done.code == 0, done.err
    done = command(
        *(tmp_path / "mine.toml", "--workdir", tmp_path, "--cluster", workers, "--fresh"),
        *("--set", f"survey.catalogue={tmp_path}/catalog/catalogue-0.parquet"),
    )
    assert done.code == 2
    assert "which this run reads" in done.err
    assert (tmp_path / "catalog/catalogue-0.parquet").exists()
