"""A labelled sample packed for training is the same whatever the partitioning."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.config import Config, SurveySettings, TrainSettings
from kidsclf.experiments import fitting
from kidsclf.experiments.variants import WHOLE as ALL_SOURCES
from kidsclf.features import images
from kidsclf.models.description import InputDescription
from kidsclf.pipeline.checkpoint_file import CheckpointFile
from kidsclf.pipeline.packed_sample import packed_sample
from kidsclf.pipeline.stamp_file import stamp_file
from kidsclf.schema import LABEL, NAME, SPATIAL_INDEX, magnitude_column
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.tables import read_table

BANDS, SIZE_PX, ROWS = ("g", "r"), 5, 60
WHOLE = Partition(3, 77)
CLASSES = ("STAR", "QSO")
DESCRIPTION = InputDescription(BANDS, BANDS, SIZE_PX, CLASSES)


def sources():
    """Draw a catalogue in sky order, stamps of two bands, and labels of every other source."""
    rng = np.random.default_rng(6)
    index = np.sort(rng.integers(WHOLE.first_index, WHOLE.last_index, ROWS))
    magnitudes = rng.normal(20, 1, (ROWS, 2)).astype(np.float32)
    catalogue = pa.table(
        {
            SPATIAL_INDEX: index,
            NAME: np.array([f"é{row}" for row in range(ROWS)], object),
            **{magnitude_column(band): magnitudes[:, k] for k, band in enumerate(BANDS)},
        }
    )
    stamps = rng.normal(0, 1, (2, ROWS, SIZE_PX, SIZE_PX)).astype(np.float32)
    label = np.array(["STAR", "QSO", "NOVA"], object)[np.arange(ROWS) % 3]
    labels = catalogue.select([SPATIAL_INDEX, NAME]).append_column(LABEL, pa.array(label))
    return catalogue, stamps, labels.take(np.arange(0, ROWS, 2))


def store(root, partitions):
    """Write them as a run would, split into some partitions."""
    work, (catalogue, stamps, labels) = WorkDirectory(root), sources()
    sample, held = HatsCatalogue(work.sample("sdss")), []
    for partition in partitions:
        within = partition.contains(catalogue[SPATIAL_INDEX].to_numpy())
        table = catalogue.filter(pa.array(within))
        HatsCatalogue(work.catalogue).write(partition, table)
        names = table[NAME].to_numpy(zero_copy_only=False)
        with CutoutStore(work.cutouts).writing(
            partition, names, encoding="float32", attributes={}
        ) as group:
            for band, of_band in zip(BANDS, stamps, strict=True):
                buffer = group.buffer(SIZE_PX)
                buffer.put(np.arange(len(names)), of_band[within])
                group.add(band, buffer, np.zeros(len(names), np.uint8))
        some = labels.filter(pa.array(partition.contains(labels[SPATIAL_INDEX].to_numpy())))
        sample.write(partition, some)
        held.append((partition, some.num_rows))
    info = ["Norder,Npix", *(f"{each.order},{each.pixel}" for each, _ in held)]
    (sample.root / "partition_info.csv").write_text("\n".join(info))
    return work


@pytest.fixture(scope="module", params=[1, 4], ids=["one partition", "four"])
def work(request, tmp_path_factory):
    children = [Partition(4, 4 * WHOLE.pixel + k) for k in range(4)]
    return store(tmp_path_factory.mktemp("work"), [WHOLE] if request.param == 1 else children)


@pytest.mark.parametrize("block", [1, 10**9])
def test_it_is_the_labelled_sources_in_sky_order(work, block, monkeypatch, tmp_path):
    monkeypatch.setattr(images, "BLOCK_BYTES", block)
    catalogue, stamps, _ = sources()
    rows = np.array([row for row in range(0, ROWS, 2) if row % 3 < 2])
    with packed_sample(work, "sdss", DESCRIPTION, frozenset(), tmp_path) as sample:
        assert sample.names.tolist() == catalogue[NAME].take(rows).to_pylist()
        assert sample.codes.tolist() == (rows % 3).tolist()
        for order in (np.arange(len(rows)), np.random.default_rng(1).permutation(len(rows))):
            taken = sample.take(order)
            for place, band in enumerate(BANDS):
                np.testing.assert_array_equal(taken.inputs.images[band], stamps[place, rows[order]])
                wanted = catalogue[magnitude_column(band)].take(rows[order]).to_numpy()
                np.testing.assert_array_equal(taken.inputs.magnitudes[:, place], wanted)
        some = sample.only(np.array([7, 3, 4]))
        assert some.names.tolist() == sample.names[[7, 3, 4]].tolist()
        blocks = list(some.blocks(SIZE_PX, 2))
        assert [len(each) for each in blocks] == ([2, 1] if block == 1 else [3])
        joined = np.concatenate([each.images["r"] for each in blocks])
        np.testing.assert_array_equal(joined, stamps[1, rows[[7, 3, 4]]])
        assert list(tmp_path.iterdir()) == []  # the file has no name that could stay behind


def test_stamps_are_prepared_as_they_are_packed(work, tmp_path):
    _, stamps, _ = sources()
    rows = np.array([row for row in range(0, ROWS, 2) if row % 3 < 2])
    nothing_left_out = frozenset()
    with packed_sample(
        work, "sdss", DESCRIPTION, nothing_left_out, tmp_path, images.span_unit
    ) as sample:
        taken = sample.take(np.arange(len(rows))).inputs.images
    for place, band in enumerate(BANDS):
        np.testing.assert_array_equal(taken[band], images.span_unit(stamps[place, rows]))


def test_what_is_left_out_and_networks_without_images(work):
    left_out = frozenset({Partition(4, 4 * WHOLE.pixel).label})
    described = InputDescription(BANDS, (), 0, CLASSES)
    with (
        packed_sample(work, "sdss", described, frozenset(), None) as whole,
        packed_sample(work, "sdss", described, left_out, None) as less,
    ):
        assert not whole.take(np.arange(3)).inputs.images
        assert len(next(iter(whole.only(np.zeros(0, np.int64)).blocks(0, 8)))) == 0
        inside = Partition(4, 4 * WHOLE.pixel).contains(sources()[2][SPATIAL_INDEX].to_numpy())
        gone = np.flatnonzero(inside)  # of the labels, of which every third is of no class
        split = HatsCatalogue(work.sample("sdss")).partitions() != (WHOLE,)
        assert len(whole) - len(less) == split * int((2 * gone % 3 < 2).sum())


def test_runs_and_single_records_are_read(tmp_path):
    values = np.random.default_rng(2).normal(size=(50, 3, 2)).astype(np.float32)
    with stamp_file(tmp_path, (3, 2)) as file:
        file.append(values[:20])
        file.append(values[20:])
        for rows in ([], [4], [5, 6, 7, 2, 3, 3, 49], list(range(50))):
            np.testing.assert_array_equal(file.read(np.array(rows, np.int64)), values[rows])


def trial_of(tmp_path, monkeypatch):
    """Give what a task of an experiment is told."""
    work = store(tmp_path, [WHOLE])
    monkeypatch.setattr(fitting, "prepare_backend", lambda *_: None)
    settings = TrainSettings(sample="sdss", classes=CLASSES, test_fraction=0.3)
    config = Config(survey=SurveySettings(preset="kids_dr4"), train=settings)
    trial = fitting.Trial(
        "mnn_all_stamps", ALL_SOURCES, 0, 1, 1, DESCRIPTION, "r", frozenset()
    )  # fmt: skip
    checkpoint = CheckpointFile.of(work, "experiment.table1/it", "fingerprint")
    return work, config, trial, tmp_path / "answers.parquet", checkpoint


def test_an_experiment_packs_stamps_in_the_scratch_folder_of_the_run(tmp_path, monkeypatch):
    told = trial_of(tmp_path, monkeypatch)
    made = fitting.fit_variant(*told)
    assert "of the class" in made.facts[fitting.REASON], "too few teach, but they were read"
    assert told[0].scratch.is_dir()


def test_a_training_of_an_experiment_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    told = trial_of(tmp_path, monkeypatch)
    kept = told[-1]

    def fit(entry, description, train, validation, settings, seed, checkpoints):
        with checkpoints.opened() as arrays:
            begun = arrays is not None
        if not begun:
            checkpoints.save([("epoch", np.ones(1))])
            raise KeyboardInterrupt
        return SimpleNamespace(network=None, scores={"best_epoch": 1})

    def say(network, blocks, *, batch_size):
        rows = sum(len(block) for block in blocks)
        return SimpleNamespace(probabilities=np.full((rows, 2), 0.5, np.float32))

    monkeypatch.setattr(fitting, "why_not", lambda *_: "")
    monkeypatch.setattr(fitting, "fit_network", fit)
    monkeypatch.setattr(fitting, "score", say)
    with pytest.raises(KeyboardInterrupt):
        fitting.fit_variant(*told)
    assert kept.path.exists()
    made = fitting.fit_variant(*told)
    assert made.facts[fitting.BEST_EPOCH] == 1
    assert not kept.path.exists()
    assert read_table(tmp_path / "answers.parquet").num_rows == made.rows - made.facts["train_rows"]
