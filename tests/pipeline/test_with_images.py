"""The whole journey with images and networks, over a mock survey in KiDS's own files."""

import shutil

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
import zarr
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import Table
from astropy.wcs import WCS
from work_directories import science_of, summary_of

SMALLER = ("--set", "ingest.max_rows=131", "--set", "ingest.chunk_rows=500")
PROBABILITIES = ["p_star", "p_qso", "p_galaxy"]


def test_the_catalogue_is_the_mock_s(image_run, mock_survey):
    truth = ds.dataset(mock_survey / "survey/truth.parquet").to_table().to_pandas()
    table = Table.read(image_run / "products/catalog.fits", hdu=1)
    table.convert_bytestring_to_unicode()
    found = table.to_pandas()
    summary = summary_of(image_run)
    cuts = [step["rows_cut"] for step in summary["cut_flow"] if step["stage"] == "ingest"]
    assert summary["rows_in"] == len(found) + sum(cuts)
    assert found["r"].max() <= 23.0
    joined = found.merge(truth, left_on="Name", right_on="ID")
    assert len(joined) == len(found) == found["Name"].nunique()
    assert np.abs(joined["DEC"] - joined["dec"]).max() < 1 / 3600
    assert found["RA"].max() > 359  # the field crosses RA 0
    assert found["RA"].min() < 1


def test_stamps_are_those_of_the_tiles(image_run, mock_survey):
    tiles = [fits.open(path) for path in sorted(mock_survey.glob("survey/tiles/*_r_sci.fits*"))]
    catalogue = ds.dataset(image_run / "catalog/dataset", exclude_invalid_files=True)
    found = catalogue.to_table(["name", "ra", "dec"]).to_pandas().set_index("name")
    compared = 0
    for group_path in sorted(image_run.glob("cutouts.zarr/norder-*/npix-*")):
        group = zarr.open_group(str(group_path), mode="r")
        order, pixel = (int(part.split("-")[1]) for part in group_path.parts[-2:])
        part = catalogue.to_table(["name", "_healpix_29"]).to_pandas()
        inside = part["_healpix_29"].to_numpy() >> (2 * (29 - order)) == pixel
        names = part["name"][inside].to_numpy()
        assert group["r"].shape == (len(names), 41, 41)
        for row in range(0, len(names), 40):
            stamp = group["r"][row].astype(np.float32) * group["r_step"][row]
            place = found.loc[names[row]]
            errors = []
            for hdus in tiles:
                image = next(h for h in hdus if h.data is not None and h.data.ndim == 2)
                x, y = WCS(image.header).world_to_pixel_values(place["ra"], place["dec"])
                if 21 < x < image.data.shape[1] - 21 and 21 < y < image.data.shape[0] - 21:
                    cut = Cutout2D(image.data, (float(x), float(y)), 41).data
                    errors.append(np.abs(cut - stamp).max() / group["r_step"][row])
            if errors:
                compared += 1
                assert min(errors) <= 0.51
    assert compared > 5
    for hdus in tiles:
        hdus.close()


def test_samples_follow_their_rules(image_run, mock_survey):
    truth = ds.dataset(mock_survey / "survey/truth.parquet").to_table().to_pandas()
    kinds = truth.set_index("ID")["class"]
    samples = {}
    for name in ("sdss", "gaia", "gama"):
        dataset = ds.dataset(image_run / f"samples/{name}/dataset", exclude_invalid_files=True)
        samples[name] = dataset.to_table().to_pandas()
        assert samples[name]["separation_arcsec"].max() <= 1.0
        assert samples[name]["name"].is_unique
    assert set(samples["gaia"]["label"]) == {"STAR"}
    assert set(samples["gama"]["label"]) == {"GALAXY"}
    assert not set(samples["gaia"]["name"]) & set(samples["sdss"]["name"])
    assert (kinds[samples["gaia"]["name"]].str.upper() == "STAR").mean() > 0.95
    right = kinds[samples["sdss"]["name"]].str.upper().to_numpy() == samples["sdss"]["label"]
    assert right.mean() > 0.97  # some spectra are mislabelled on purpose


@pytest.fixture(scope="module")
def cut_otherwise(image_run, mock_survey, command, tmp_path_factory):
    """The work directory of a run by one worker over smaller partitions."""
    work = tmp_path_factory.mktemp("otherwise") / "work"
    done = command(mock_survey / "run.toml", "--workdir", work, "--workers", 1, *SMALLER)
    assert done.code == 0, done.err
    return work


def test_workers_and_partitioning_change_no_bit_of_the_networks(image_run, cut_otherwise):
    for name in ("mnn", "mlp"):
        file = f"models/{name}/model.keras"
        assert (cut_otherwise / file).read_bytes() == (image_run / file).read_bytes(), name
    for file in ("products/catalog.fits", "metrics/summary.json", "metrics/morphology.parquet"):
        assert (cut_otherwise / file).read_bytes() == (image_run / file).read_bytes(), file
    assert shapes_of(cut_otherwise).equals(shapes_of(image_run))


def test_nor_do_they_of_what_openvino_answers(
    image_run, cut_otherwise, mock_survey, command, tmp_path
):
    """And it takes what TensorFlow has taught: only the stage ``infer`` is done again."""
    answers = []
    for workers, before, cut in ((2, image_run, ()), (1, cut_otherwise, SMALLER)):
        work = tmp_path / str(workers)
        shutil.copytree(before, work)
        done = command(
            *(mock_survey / "run.toml", "--workdir", work, "--workers", workers, *cut),
            *("--set", "infer.backend=openvino", "--stages", "infer"),
        )
        assert done.code == 0, done.err
        answers.append({name: scores_of(work, name) for name in ("mnn", "mlp")})
        shutil.rmtree(work)
    for name, one in answers[0].items():
        pd.testing.assert_frame_equal(one, answers[1][name], check_exact=True)
        usual = scores_of(image_run, name)
        assert np.abs(one[PROBABILITIES] - usual[PROBABILITIES]).to_numpy().max() < 0.05
        assert (one["class"] == usual["class"]).mean() > 0.98


def scores_of(work, name) -> pd.DataFrame:
    """Read what a network says of all sources, by their names."""
    table = ds.dataset(work / f"scores/{name}/dataset", exclude_invalid_files=True).to_table()
    return table.to_pandas().set_index("name").sort_index()


def shapes_of(work) -> pd.DataFrame:
    """Read what was measured of all sources, in the order of the sky."""
    table = ds.dataset(work / "features/dataset", exclude_invalid_files=True).to_table()
    return table.to_pandas().sort_values(["_healpix_29", "name"], ignore_index=True)


def test_a_touched_tile_redoes_its_stamps_and_what_follows(image_run, mock_survey, command):
    before = science_of(image_run)
    tile = min(mock_survey.glob("survey/tiles/*_r_sci.fits*"))
    tile.touch()
    done = command(mock_survey / "run.toml", "--workdir", image_run)
    assert done.code == 0, done.err
    lines = {line.split()[0]: line for line in done.err.splitlines() if line.strip()}
    assert "finished before" in lines["ingest"]
    assert "tasks" in lines["cutouts"]
    assert science_of(image_run) == before  # the pixels are the same
