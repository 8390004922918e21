"""The command ``experiment`` on a finished run: what it writes, resumes and refuses."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kidsclf.config_file import load_config
from kidsclf.pipeline.check import check_work_directory
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.experiment_origin import is_of_this_run
from kidsclf.pipeline.status import status_of
from kidsclf.run import main
from kidsclf.schema import ScoreFlag
from kidsclf.store.layout import WorkDirectory
from kidsclf.surveys.map_files import load_column_map


@pytest.fixture(scope="module")
def work(finished_run, tmp_path_factory):
    """A finished run of this module's own, as far as experiments read it."""
    root = tmp_path_factory.mktemp("experiments") / "work"
    for name in ("catalog", "samples", "scores", "models", "receipts"):
        shutil.copytree(finished_run / name, root / name)
    shutil.copy(finished_run / "run.toml", root)
    return root


@pytest.fixture
def ask(small_survey, work, workers, capsys):
    """Give the command; return its exit code, what it printed, and what it said of progress."""

    def run(name, *more, workdir=None):
        code = main(
            [
                "experiment", name, str(small_survey / "run.toml"),
                "--workdir", str(workdir or work), "--cluster", workers, *map(str, more),
            ]
        )  # fmt: skip
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


def context_of(work, *overrides):
    """The run as a page is drawn of it."""
    config = load_config(work / "run.toml", overrides)
    samples = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    survey = load_column_map(config.survey.preset)
    return Context(config, WorkDirectory(work), survey, samples, None)


def table_of(work, experiment, name="table") -> list[dict]:
    return pq.read_table(work / "experiments" / experiment / f"{name}.parquet").to_pylist()


def test_table1_is_beside_the_papers_and_resumed_and_redone_with_other_settings(ask, work):
    settings = ("--networks", "xgboost,mnn", "--seeds", 2)
    code, out, err = ask("table1", *settings)
    assert code == 0, err
    assert "experiment.table1  2 tasks" in err
    rows = {(row["network"], row["class"]): row for row in table_of(work, "table1")}
    star = rows["xgboost", "STAR"]
    assert star["published_f1"] == 0.9854
    assert star["seeds"] == 2
    assert 0.5 < star["accuracy"] < 1
    assert star["accuracy_std"] > 0
    assert rows["mnn", "QSO"]["seeds"] == 0
    assert "MNN (Img1+Pho9): no answer, for" in out
    assert "images" in out
    assert "xgboost (Pho5), Feng's XGBoost (Pho9): accuracy 0." in out
    for form in ("svg", "png"):
        assert (work / f"experiments/table1/figure.{form}").stat().st_size > 5000

    written = (work / "experiments/table1/seeds.parquet").read_bytes()
    kept = [part for part in check_work_directory(WorkDirectory(work), 1) if "table1" in part.part]
    assert [(each.part, each.read, each.faults) for each in kept] == [
        ("experiments/table1", "2 files", ())
    ]
    _, again, err = ask("table1", *settings)
    assert "2 finished before" in err
    assert again.splitlines()[3:] == out.splitlines()[3:]
    assert (work / "experiments/table1/seeds.parquet").read_bytes() == written

    today = context_of(work)
    assert is_of_this_run(today, "table1")
    code, other, err = ask("table1", *settings, "--set", "train.trees.trees=2")
    assert code == 0
    assert not is_of_this_run(today, "table1")
    assert is_of_this_run(context_of(work, "train.trees.trees=2"), "table1")
    assert "experiment.table1  2 tasks, " in err
    assert "finished before" not in err
    assert other != out
    accuracies = {row["accuracy"] for row in table_of(work, "table1", "seeds")}
    before = {row["accuracy"] for row in pq.read_table(pa.BufferReader(written)).to_pylist()}
    assert not accuracies & before, "nothing of the other settings is left in the table"


def test_the_first_seed_is_judged_by_the_test_sources_of_the_run(ask, work, finished_run):
    assert ask("table1", "--networks", "xgboost", "--seeds", 1)[0] == 0
    answers = pq.read_table(work / "experiments/table1/answers/all_xgboost_0.parquet")
    run = pq.read_table(finished_run / "metrics/classification.parquet").to_pandas()
    whole = run[(run["sample"] == "sdss") & run["r_low"].isna()]
    assert answers.num_rows == whole["support"].sum()
    star = table_of(work, "table1")[0]
    assert star["f1"] == pytest.approx(whole[whole["class"] == "STAR"]["f1"].item(), abs=0.02)
    probabilities = np.stack(answers["probabilities"].to_pylist())
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_table2_and_training_size_answer_what_the_sample_can(ask, work):
    code, out, err = ask("table2", "--networks", "xgboost", "--seeds", 1)
    assert code == 0, err
    rows = table_of(work, "table2")
    assert len(rows) == 8 * 3
    answered = [row for row in rows if row["seeds"]]
    assert any(row["variant"] == "r-19-to-21-tested-21-to-22" for row in answered)
    assert "row 7 of Feng's Table 2" in out
    assert "all nine numbers printed are those of the fifth row" in out
    code, out, err = ask("training_size", "--networks", "xgboost", "--seeds", 1)
    assert code == 0, err
    assert "5,000 sources, xgboost: no answer, for 5,000 training sources are asked for" in out
    assert "all sources, xgboost: accuracy" in out


def test_normalised_images_say_that_there_are_none(ask, work):
    code, out, _ = ask("normalised_images")
    assert code == 0
    assert "no answer, for" in out
    assert "images" in out
    assert not (work / "experiments/normalised_images/figure.png").exists()


def test_thresholds_are_those_of_the_run(ask, work, finished_run):
    code, out, err = ask("thresholds")
    assert code == 0, err
    assert is_of_this_run(context_of(work), "thresholds")
    assert not is_of_this_run(context_of(work, "ingest.max_rows=200"), "thresholds")
    mine = {
        (row["threshold"], row["class"]): row["precision"] for row in table_of(work, "thresholds")
    }
    run = pq.read_table(finished_run / "metrics/thresholds.parquet").to_pylist()
    shared = [row for row in run if (row["threshold"], row["class"]) in mine]
    assert len(shared) >= 20
    for row in shared:
        found = mine[row["threshold"], row["class"]]
        assert found == row["precision"] or np.isnan([found, row["precision"]]).all()
    assert "Feng, MNN, p >= 0.9" in out
    assert (work / "experiments/thresholds/figure-xgboost.png").exists()


def test_external_takes_positions_of_other_quasars(ask, work, tmp_path):
    catalogue = pq.ParquetDataset(sorted((work / "catalog/dataset").rglob("Npix=*.parquet")))
    sources = catalogue.read(["name", "ra", "dec"]).to_pandas()
    scores = pq.ParquetDataset(sorted((work / "scores/xgboost").rglob("Npix=*.parquet")))
    said = scores.read(["name", "class", "flags"]).to_pandas().set_index("name")
    said = said[(said["flags"] & ScoreFlag.TRAINED_ON.value) == 0]["class"]
    listed = sources.iloc[::7]
    off = np.full(len(listed), 0.3 / 3600)
    table = pa.table(
        {"RAJ2000": listed["ra"], "DEJ2000": listed["dec"] - np.sign(listed["dec"]) * off}
    )
    pq.write_table(table, tmp_path / "quasars.parquet")
    code, out, err = ask("external", "--quasars", tmp_path / "quasars.parquet")
    assert code == 0, err
    rows = [row for row in table_of(work, "external") if row["of"] == "all"]
    found = {row["predicted_class"]: row["count"] for row in rows}
    wanted = said[said.index.isin(listed["name"])].value_counts().to_dict()
    assert {name: count for name, count in found.items() if count} == wanted
    assert "are quasars here too   Feng 79 %" in out
    assert "recall of stars: no answer, for no source of the catalogue is in such a sample" in out
    assert (work / "experiments/external/figure-xgboost.png").exists()


@pytest.mark.parametrize(
    ("name", "more", "code", "sentence"),
    [
        ("tabel1", (), 2, "did you mean 'table1'?"),
        ("table1", ("--networks", "xgbost"), 2, "did you mean 'xgboost'?"),
        ("table1", ("--seeds", 0), 2, "there must be one at least"),
        ("table1", ("--set", "train.sample=nobody"), 2, "is not among the samples"),
        ("table1", ("--set", "train.test_fraction=0.0"), 2, "set both above 0"),
        ("table1", ("--set", "samples.sdss.radius_arcsec=2.0"), 4, "'match' was last done with"),
        ("table1", ("--set", "ingest.max_rows=200"), 4, "built on the stages up to match"),
        ("thresholds", ("--set", "train.trees.trees=9"), 4, "'train' was last done with other"),
        ("external", ("--quasars", "nowhere.parquet"), 3, "nowhere.parquet"),
    ],
)
def test_it_refuses_in_one_sentence(ask, name, more, code, sentence):
    found, _, err = ask(name, *more)
    assert found == code
    assert sentence in err.splitlines()[-1]


def test_it_refuses_a_folder_without_a_run_and_stages_that_are_not_finished(ask, work, tmp_path):
    code, _, err = ask("table1", workdir=tmp_path / "nothing")
    assert code == 2
    assert "do its stages up to match first" in err
    shutil.copytree(work, tmp_path / "half")
    shutil.rmtree(tmp_path / "half/receipts/match")
    code, _, err = ask("table1", "--networks", "xgboost", workdir=tmp_path / "half")
    assert code == 4
    assert "the stage 'match' must have finished first" in err
    failure = status_of(WorkDirectory(tmp_path / "half")).failure
    assert failure.exit_code == 4
    assert failure.reason.startswith("experiment table1: the stage 'match' must have")
