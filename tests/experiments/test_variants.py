"""Which sources teach and judge in each row of an experiment, and what the paper publishes."""

from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest

from kidsclf.config import Config, CutoutSettings, SurveySettings, TrainSettings
from kidsclf.errors import ConfigError
from kidsclf.experiment_command import _wish
from kidsclf.experiments import published
from kidsclf.experiments.rows import ChosenRows, choose_rows, split_for, why_not
from kidsclf.experiments.table import Wish, experiment
from kidsclf.experiments.trained import memory_gib, table1_rows
from kidsclf.experiments.variants import WHOLE, Magnitudes, of_size, of_split
from kidsclf.features.images import span_unit
from kidsclf.pipeline import plan
from kidsclf.pipeline.context import SUMMARY, Context
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt
from kidsclf.surveys.map_files import load_column_map

NAMES = [f"source {k}" for k in range(4000)]
SETTINGS = TrainSettings(validation_fraction=0.1, test_fraction=0.2)
MAGNITUDE = np.linspace(17, 23, len(NAMES)).astype(np.float32)


def test_the_first_seed_has_the_split_of_the_run_and_others_have_their_own() -> None:
    from kidsclf.train.split import split_of

    own = split_of(NAMES, validation_fraction=0.1, test_fraction=0.2)
    splits = [split_for(NAMES, SETTINGS, number) for number in range(3)]
    assert (splits[0] == own).all()
    for split in splits:
        assert abs(np.mean(split == "test") - 0.2) < 0.03
    judged = [split == "test" for split in splits]
    assert abs(np.mean(judged[1] & judged[2]) - 0.04) < 0.02, "they are independent"
    assert (split_for(NAMES[::-1], SETTINGS, 1)[::-1] == splits[1]).all()


def test_training_and_validation_are_of_one_range_and_the_test_of_another() -> None:
    split = split_for(NAMES, SETTINGS, 0)
    rows = choose_rows(split, MAGNITUDE, of_split(Magnitudes(19, 21), Magnitudes(21, 22)), 1)
    for some in (rows.train, rows.validation):
        assert MAGNITUDE[some].min() > 19
        assert MAGNITUDE[some].max() <= 21
    assert MAGNITUDE[rows.test].min() > 21
    assert MAGNITUDE[rows.test].max() <= 22
    assert set(split[rows.train]) == {"train"}
    assert set(split[rows.test]) == {"test"}


def test_a_smaller_training_sample_is_part_of_a_larger_one_and_judged_by_the_same() -> None:
    split = split_for(NAMES, SETTINGS, 0)
    small, large, whole = (
        choose_rows(split, MAGNITUDE, variant, 5) for variant in (of_size(300), of_size(900), WHOLE)
    )
    assert len(small.train) == 300
    assert set(small.train) < set(large.train) < set(whole.train)
    assert (np.diff(small.train) > 0).all()
    assert (small.test == whole.test).all()
    assert (small.validation == whole.validation).all()
    assert set(choose_rows(split, MAGNITUDE, of_size(300), 6).train) != set(small.train)


@pytest.mark.parametrize(
    ("rows", "variant", "reason"),
    [
        (ChosenRows(np.arange(100), np.arange(5), np.arange(5)), WHOLE, ""),
        (ChosenRows(np.arange(100), np.arange(5), np.arange(5)), of_size(500), "100"),
        (ChosenRows(np.arange(15), np.arange(5), np.arange(5)), WHOLE, "5 of the class STAR"),
        (ChosenRows(np.arange(100), np.arange(5), np.arange(0)), WHOLE, "its test sample is empty"),
        (ChosenRows(np.arange(100), np.arange(0), np.arange(5)), WHOLE, "validation sample is"),
    ],
)
def test_too_few_sources_are_told(rows, variant, reason) -> None:
    codes = np.arange(100) % 3
    found = why_not(rows, codes, ("STAR", "QSO", "GALAXY"), variant)
    assert reason in found
    assert bool(reason) == bool(found)


def test_the_published_tables_are_whole_and_agree_with_themselves() -> None:
    assert len(published.table1()) == 6
    assert len(published.table2()) == 8
    for row in (*published.table1(), *published.table2()):
        for precision, recall, f1 in row.scores.values():
            assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=1.5e-4)


def test_the_misprinted_range_is_read_as_the_magnitude_that_follows_and_the_repeat_is_told() -> (
    None
):
    seventh, eighth = published.table2()[6:]
    assert str(seventh.test) == "19.5 < r <= 20.5"
    assert "misprint" in seventh.remark or "printed as" in seventh.remark
    assert eighth.scores == published.table2()[4].scores
    assert "fifth" in eighth.remark
    for row in published.table2():
        assert row.test.low == row.train.high


def test_normalised_stamps_span_0_to_1_whatever_the_flux() -> None:
    rng = np.random.default_rng(3)
    stamps = rng.normal(0, 1, (4, 9, 9)).astype(np.float32)
    stamps[1] = np.nan
    stamps[2] = 7.0
    scaled = span_unit(stamps)
    assert scaled[0].min() == 0.0
    assert scaled[0].max() == 1.0
    assert np.isnan(scaled[1]).all()
    assert (scaled[2] == 0).all()
    assert np.allclose(span_unit(50 * stamps[:1] + 3), scaled[:1], atol=1e-5)
    assert scaled.dtype == np.float32


def test_rows_of_several_image_bands_are_not_answered_with_one() -> None:
    config = Config(survey=SurveySettings(preset="kids_dr4", tiles=("r.fits",)))
    context = SimpleNamespace(
        config=config, has_images=True, survey=SimpleNamespace(reference_band="r")
    )
    rows = table1_rows(context, ("cnn", "mnn_all_stamps", "mnn_imaged_bands"))
    assert [row.title for row in rows] == ["MNN (Img1+Pho4)", "MNN (Img4+Pho4)", "CNN (Img4)"]
    for row in rows:
        assert row.note == "it reads several image bands, but cutouts.bands holds r alone"


@pytest.mark.parametrize("network", ["mnn_all_stamps", "mnn", "mlp", "xgboost"])
def test_a_task_needs_what_a_training_of_the_run_does_and_photometry(tmp_path, network) -> None:
    config = Config(
        survey=SurveySettings(preset="kids_dr4", tiles=("?.fits",)),
        cutouts=CutoutSettings(bands=tuple("ugri")),
        train=TrainSettings(networks=(network,), sample="sdss"),
    )
    survey = load_column_map("kids_dr4")

    def needs(rows: int) -> float:
        matched = Receipt("match", SUMMARY, "", rows, 0.0, facts={"matched": {"sdss": rows}})
        known = {("match", SUMMARY): matched}
        context = Context(config, WorkDirectory(tmp_path), survey, {}, None, known)
        return memory_gib(context, table1_rows(context, (network,)))

    partition = config.ingest.max_rows * (16.0 * (2 * len(survey.bands) + 4) + 64.0)
    of_run = plan.memory_gib(config, len(survey.bands))["train"] - partition / 1024**3
    assert needs(0) == pytest.approx(of_run)
    more = 3 * 100_000 * 16 * 22 / 1024**3
    assert needs(100_000) - needs(0) == pytest.approx(more)


def test_positions_of_quasars_are_refused_where_no_class_is_theirs() -> None:
    config = Config(
        survey=SurveySettings(preset="kids_dr4"), train=TrainSettings(classes=("STAR", "GALAXY"))
    )
    asked = Wish(quasars="quasars.parquet")
    with pytest.raises(ConfigError, match="holds STAR, GALAXY alone; leave --quasars out"):
        experiment("external").run(SimpleNamespace(config=config), asked)


def test_a_network_that_is_named_twice_is_asked_once() -> None:
    options = Namespace(seeds=1, networks="mlp, xgboost,,mlp", quasars=None, columns=None)
    assert _wish(options).networks == ("mlp", "xgboost")
