"""Shapes as a stage: aligned with the catalogue, those of the stamps, refused where senseless."""

import shutil

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from upath import UPath
from work_directories import science_of

from kidsclf.config import FeatureSettings
from kidsclf.config_file import load_config
from kidsclf.errors import ConfigError
from kidsclf.features.morphology.flags import MorphologyFlag
from kidsclf.features.morphology.judgement import FLAGS
from kidsclf.pipeline import features
from kidsclf.pipeline.check import check_work_directory
from kidsclf.pipeline.dry_run import foresee
from kidsclf.pipeline.features import check_settings, measure_partition
from kidsclf.pipeline.plan import STAGES
from kidsclf.report.figures.morphology import HALF_LIGHT_PER_FWHM
from kidsclf.run import main
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.surveys.map_files import load_column_map

ASKED = FeatureSettings(
    measure=("half_light_radius", "gini", "m20", "spread_model", "sersic_index"),
    psf_fwhm_arcsec=0.7,
)


@pytest.fixture(scope="module")
def work(image_run) -> WorkDirectory:
    return WorkDirectory(UPath(image_run))


@pytest.fixture(scope="module")
def partition(work):
    """The partition with the most sources."""
    sizes = {p: HatsCatalogue(work.catalogue).path(p).stat().st_size for p in partitions(work)}
    return max(sizes, key=lambda each: sizes[each])


def partitions(work):
    return HatsCatalogue(work.catalogue).partitions()


def test_shapes_stand_row_by_row_beside_the_catalogue(work):
    measured, catalogued = HatsCatalogue(work.features), HatsCatalogue(work.catalogue)
    assert measured.partitions() == catalogued.partitions()
    keys = [SPATIAL_INDEX, "name", "ra", "dec"]
    for each in partitions(work):
        table = measured.read(each)
        assert table.select(keys).equals(catalogued.read(each, keys))
        assert table.column_names == [
            *keys,
            *("half_light_radius", "gini", "m20", "spread_model", FLAGS),
            *("sersic_index", "sersic_flags"),
        ]


def test_each_column_has_its_unit_and_meaning(work, partition):
    schema = pq.read_schema(HatsCatalogue(work.features).path(partition))
    assert schema.field("half_light_radius").metadata == {
        b"unit": b"arcsec",
        b"description": b"half of the light within the outline's radius",
    }
    assert b"unit" not in schema.field("gini").metadata
    assert all(field.metadata[b"description"] for field in list(schema)[4:])


def test_stars_have_the_size_of_the_seeing_and_galaxies_are_larger(work, mock_survey):
    shapes, labels = (
        ds.dataset(folder / "dataset", exclude_invalid_files=True).to_table().to_pandas()
        for folder in (work.features, work.sample("sdss"))
    )
    known = shapes.merge(labels[["name", "label"]], on="name").groupby("label")
    size, spread = known["half_light_radius"].median(), known["spread_model"].median()
    headers = [fits.getheader(path, 1) for path in mock_survey.glob("survey/tiles/*_r_sci.fits*")]
    seeing = np.median([header["PSF_FWHM"] for header in headers])
    assert size["STAR"] == pytest.approx(HALF_LIGHT_PER_FWHM * seeing, rel=0.15)
    assert size["GALAXY"] > 1.5 * size["STAR"]
    assert abs(spread["STAR"]) < 0.3 * spread["GALAXY"]


def test_the_bytes_do_not_depend_on_how_stamps_are_read(work, partition, tmp_path, monkeypatch):
    written = []
    for folder, rows in (("one", features.MOST_ROWS), ("many", 23)):
        monkeypatch.setattr(features, "MOST_ROWS", rows)
        copy = WorkDirectory(UPath(tmp_path / folder))
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "catalog").symlink_to(work.root / "catalog")
        (tmp_path / folder / "cutouts.zarr").symlink_to(work.root / "cutouts.zarr")
        made = measure_partition(copy, partition, "r", 0.2, ASKED)
        written.append(HatsCatalogue(copy.features).path(partition))
        assert made.outputs == (written[-1],)
    assert written[0].read_bytes() == written[1].read_bytes()


def test_filled_pixels_are_not_measured(work, partition, tmp_path):
    """Stamps whose left edge lies off the tile, and one that lies on no tile at all."""
    names = HatsCatalogue(work.catalogue).read(partition, ["name"])["name"]
    stamps = CutoutStore(work.cutouts).read(partition, names, ["r"])["r"]
    flags = np.zeros(len(stamps), np.uint8)
    stamps[:, :, :9], flags[:] = 0.0, 1
    stamps[-1], flags[-1] = np.nan, 4
    copy = WorkDirectory(UPath(tmp_path))
    (tmp_path / "catalog").symlink_to(work.root / "catalog")
    texts = names.to_numpy(zero_copy_only=False)
    with CutoutStore(copy.cutouts).writing(
        partition, texts, encoding="float32", attributes={}
    ) as group:
        buffer = group.buffer(stamps.shape[-1])
        buffer.put(np.arange(len(stamps)), stamps)
        group.add("r", buffer, flags)
    measure_partition(copy, partition, "r", 0.2, ASKED)
    table = HatsCatalogue(copy.features).read(partition)
    whole = HatsCatalogue(work.features).read(partition)
    assert table[FLAGS].to_numpy()[-1] & MorphologyFlag.NO_IMAGE
    assert np.isnan(table["half_light_radius"].to_numpy()[-1])
    cut, full = (each["half_light_radius"].to_numpy()[:-1] for each in (table, whole))
    both = np.isfinite(cut) & np.isfinite(full)
    assert both.sum() > 20
    assert np.median(np.abs(cut / full - 1)[both]) < 0.05


def test_check_finds_shapes_of_other_sources(image_run, tmp_path):
    shutil.copytree(image_run, tmp_path / "work")
    path = min((tmp_path / "work/features/dataset").rglob("Npix=*.parquet"))
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.take(np.roll(np.arange(table.num_rows), 1)), path)
    work = WorkDirectory(UPath(tmp_path / "work"))
    found = {each.part: each.faults for each in check_work_directory(work, 2)}
    (fault,) = found["features"]
    assert "other sources, or in another order" in fault.what
    assert not any(faults for part, faults in found.items() if part != "features")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("features.measure=['ginni']",), "'ginni', which is not a column .*did you mean gini?"),
        (("features.measure=['flux']",), "did you mean sersic_flux"),
        (("features.measure=['gini']", "survey.tiles=[]"), "but this run has no stamps"),
        (("features.band=i",), "'i' is to be measured, but cutouts.bands holds r"),
    ],
)
def test_what_cannot_be_measured_is_refused(mock_survey, settings, words):
    config = load_config(mock_survey / "run.toml", settings)
    with pytest.raises(ConfigError, match=words):
        check_settings(config, load_column_map("kids_dr4"))


def test_a_column_that_needs_the_psf_is_refused_without_one(mock_survey):
    config = load_config(mock_survey / "run.toml")
    without = config.model_copy(
        update={"features": FeatureSettings(measure=("gini", "spread_model"))}
    )
    with pytest.raises(ConfigError, match="'spread_model', which compares with the PSF, but"):
        check_settings(without, load_column_map("kids_dr4"))


def foreseen(mock_survey, work, *settings):
    config = load_config(mock_survey / "run.toml", settings)
    samples = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    survey = load_column_map(config.survey.preset)
    found = foresee(config, work, survey, samples, [stage.name for stage in STAGES])
    assert not any(each.follows for each in found)
    return {each.title: len(each.todo) for each in found}


def test_a_dry_run_knows_what_another_seeing_costs(mock_survey, work):
    everywhere = len(partitions(work))
    assert not any(foreseen(mock_survey, work).values())
    changed = foreseen(mock_survey, work, "features.psf_fwhm_arcsec=0.8")
    others = {"reduce mnn", "reduce mlp", "reduce xgboost"}
    redone = dict.fromkeys({"features", *others}, everywhere)
    assert {title: todo for title, todo in changed.items() if todo} == redone
    without = foreseen(mock_survey, work, "features.measure=[]")
    assert "features" not in without
    assert {title for title, todo in without.items() if todo} == others


def test_shapes_that_are_no_longer_asked_for_are_removed(
    mock_survey, image_run, command, workers, tmp_path
):
    work = tmp_path / "work"
    shutil.copytree(image_run, work)
    assert any("features" in name for name in science_of(work))
    done = command(
        *(mock_survey / "run.toml", "--workdir", work, "--cluster", workers),
        *("--stages", "features", "--set", "features.measure=[]"),
    )
    assert done.code == 0, done.err
    assert not (work / "features").exists()


def test_an_experiment_tells_what_shapes_teach_trees(
    mock_survey, image_run, workers, tmp_path, capsys
):
    work = tmp_path / "work"
    for name in ("catalog", "features", "samples", "receipts"):
        shutil.copytree(image_run / name, work / name)
    shutil.copy(image_run / "run.toml", work)
    asked = ["experiment", "shapes", str(mock_survey / "run.toml"), "--workdir", str(work)]
    asked += ["--cluster", workers, "--networks", "xgboost", "--seeds", "2"]
    assert main(asked) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    for inputs in ("photometry", "photometry and spread_model", "photometry and all 5 shapes"):
        assert f"xgboost, {inputs}: accuracy 0." in told
    assert "less xgboost on photometry:\n  xgboost, stellarity accuracy " in told
    assert "with a stellarity index they come near to it" in told
    seeds = pq.read_table(work / "experiments/shapes/seeds.parquet").to_pandas()
    judged = seeds.groupby(["seed", "class"])["support"].nunique()
    assert (judged == 1).all()  # by the same sources, whatever the inputs
    trees = seeds[seeds["class"] == "STAR"].set_index(["variant", "seed"])["accuracy"]
    assert trees.unstack().nunique().max() > 1  # shapes are seen
    answers = pq.read_table(work / "experiments/shapes/answers/shapes_xgboost_0.parquet")
    said = np.stack(answers["probabilities"].to_numpy())
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)

    assert main([*asked, "--set", "features.psf_fwhm_arcsec=0.8"]) == 4
    assert "'features' was last done with other settings" in capsys.readouterr().err
    assert main([*asked, "--set", "features.measure=['gini']"]) == 4
