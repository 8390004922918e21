"""A run with committees: members are tasks of their own, and what follows sees one network."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from kidsclf.config import Config, SurveySettings, TrainSettings
from kidsclf.config_file import load_config
from kidsclf.models.committee import agree
from kidsclf.models.files import read_card
from kidsclf.pipeline.check import check_work_directory
from kidsclf.pipeline.committees import gather_committee
from kidsclf.pipeline.dry_run import foresee
from kidsclf.pipeline.fitting import FINAL, PROBABILITIES, VALIDATION, model_folder
from kidsclf.pipeline.inputs import as_lists, matrix
from kidsclf.pipeline.status import status_of
from kidsclf.pipeline.train import _remove_former_members
from kidsclf.places import files_below
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.tables import read_table, write_table
from kidsclf.surveys.map_files import load_column_map

SETTINGS = ("train.folds=2", "train.committee=2")
STAGES = ("train", "infer", "reduce", "report")


def foreseen(small_survey, work, *settings):
    config = load_config(small_survey / "run.toml", settings)
    samples = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    survey = load_column_map(config.survey.preset)
    found = foresee(config, WorkDirectory(work), survey, samples, STAGES)
    return {each.title: len(each.todo) for each in found if each.title.startswith("train")}


@pytest.fixture(scope="module")
def work(finished_run, small_survey, command, workers, tmp_path_factory):
    """A run with folds, in which each network is a committee of two."""
    copy = tmp_path_factory.mktemp("committee") / "work"
    shutil.copytree(finished_run, copy)
    assert foreseen(small_survey, copy, *SETTINGS) == {"train members": 6, "train": 3}
    changes = [word for each in SETTINGS for word in ("--set", each)]
    done = command(
        *(small_survey / "run.toml", "--workdir", copy, "--cluster", workers),
        *(*changes, "--stages", ",".join(STAGES)),
    )
    assert done.code == 0, done.err
    return copy


def test_the_tasks_are_those_of_status_and_dry_run(small_survey, work):
    assert foreseen(small_survey, work, *SETTINGS) == {"train members": 0, "train": 0}
    (train,) = [each for each in status_of(WorkDirectory(work)).stages if each.stage == "train"]
    assert (train.finished, train.expected) == (9, 9)
    more = (SETTINGS[0], "train.committee=3")
    assert foreseen(small_survey, work, *more) == {"train members": 3, "train": 3}
    found = check_work_directory(WorkDirectory(work), 2)
    assert [fault for each in found for fault in each.faults] == []


def test_members_that_a_smaller_committee_does_not_use_are_removed(tmp_path):
    made, entry = WorkDirectory(tmp_path), "models/members"
    for name in ("mlp-member-0", "mlp-member-1", "mlp-fold-1-member-0", "mnn-member-1"):
        (tmp_path / entry / name).mkdir(parents=True)
    train = TrainSettings(networks=("mlp",), committee=2)
    config = Config(survey=SurveySettings(preset="kids_dr4"), train=train)
    _remove_former_members(SimpleNamespace(config=config, work=made))
    left = sorted(path.name for path in (tmp_path / entry).iterdir())
    assert left == ["mlp-member-0", "mlp-member-1", "mnn-member-1"]


def test_a_committee_is_one_network_to_what_follows(work):
    made = WorkDirectory(work)
    for folder in (made.model("xgboost"), made.fold_model("xgboost", 1)):
        assert read_card(folder).committee == 2
        said = [
            read_table(each / "validation.parquet")
            for each in (folder, folder / "member-0", folder / "member-1")
        ]
        assert said[0].drop_columns("probabilities") == said[1].drop_columns("probabilities")
        # Trees of other seeds are the same trees, so they agree with each.
        together, *alone = (matrix(table["probabilities"]) for table in said)
        for one in alone:
            np.testing.assert_allclose(together, one, atol=1e-6)
        card, of_member = read_card(folder).scores, read_card(folder / "member-0").scores
        assert card["validation_loss"] == pytest.approx(of_member["validation_loss"], rel=1e-5)
    history = read_table(made.metrics / "history.parquet")
    told = set(zip(history["fold"].to_pylist(), history["member"].to_pylist(), strict=True))
    assert told == {(fold, member) for fold in (-1, 0, 1) for member in (0, 1)}


def test_members_that_differ_are_gathered_to_their_median(work, tmp_path):
    """Trees do not differ by themselves, so two members are made to say something else."""
    shutil.copytree(work / "models", tmp_path / "models")
    copy = WorkDirectory(tmp_path)
    rng, said = np.random.default_rng(5), []
    for number in range(3):
        path = model_folder(copy, "xgboost", FINAL, min(number, 1)) / VALIDATION
        table = read_table(path)
        drawn = rng.dirichlet(np.ones(3), table.num_rows).astype(np.float32)
        said.append(drawn)
        place = table.column_names.index(PROBABILITIES)
        other = model_folder(copy, "xgboost", FINAL, number)
        if not other.exists():
            shutil.copytree(path.parent, other)
        write_table(other / VALIDATION, table.set_column(place, PROBABILITIES, as_lists(drawn)))
    gather_committee(copy, "xgboost", FINAL, 3, "fingerprint")
    folder = copy.model("xgboost")
    together = read_table(folder / VALIDATION)
    np.testing.assert_array_equal(matrix(together[PROBABILITIES]), agree(said))
    card, codes = read_card(folder), together["code"].to_numpy()
    right = (agree(said).argmax(axis=1) == codes).mean()
    assert (card.committee, card.fingerprint) == (3, "fingerprint")
    assert card.scores["validation_accuracy"] == pytest.approx(right)
    assert 0.1 < right < 0.6  # of answers drawn by chance


def test_another_run_takes_a_committee_over(small_survey, work, command, workers, tmp_path):
    done = command(
        *(small_survey / "run.toml", "--workdir", tmp_path / "work", "--cluster", workers),
        *("--set", f"train.pretrained={work / 'models'}", "--stages", "ingest,match,train,infer"),
    )
    assert done.code == 0, done.err
    for name in ("scores/xgboost", "models/xgboost"):
        ours, theirs = tmp_path / "work" / name, work / name
        found = {path.relative_to(ours) for path in files_below(ours)}
        assert found == {path.relative_to(theirs) for path in files_below(theirs)}
    cards = [read_card(each / "models/xgboost") for each in (work, tmp_path / "work")]
    assert cards[0] == cards[1]
