"""The survey on disk: the same bytes, in the survey's formats, image and catalogue at one."""

import filecmp
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from kidsclf.errors import InputError
from kidsclf.mock import BandDepths, MockSettings, MockSurvey, write_survey
from kidsclf.mock.settings import BANDS

SMALL = MockSettings(area_deg2=0.02, seed=7, ra_deg=0.0, labelled=200, tile_deg=0.1)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> MockSurvey:
    return write_survey(SMALL, tmp_path_factory.mktemp("mock") / "survey")


def files_of(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def catalogue(survey: MockSurvey) -> np.ndarray:
    return np.concatenate([np.array(fits.getdata(path)) for path in survey.catalogues])


def test_two_workers_write_the_same_bytes_as_one(survey: MockSurvey, tmp_path: Path) -> None:
    again = write_survey(replace(SMALL, workers=2), tmp_path / "again")
    names = files_of(survey.folder)
    assert len(names) == 4 + 12 + 3 + 2
    assert names == files_of(again.folder)
    assert filecmp.cmpfiles(survey.folder, again.folder, names, shallow=False)[1:] == ([], [])


def test_another_seed_gives_another_sky(survey: MockSurvey, tmp_path: Path) -> None:
    other = write_survey(
        MockSettings(seed=8, catalogue_rows=1000, labelled=200), tmp_path / "other"
    )
    same = write_survey(MockSettings(seed=7, catalogue_rows=1000, labelled=200), tmp_path / "same")
    first, second = (np.array(fits.getdata(s.catalogues[0])) for s in (other, same))
    assert not np.isin(first["ID"], second["ID"]).any()


def test_catalogue_has_the_columns_and_units_of_the_real_one(
    survey: MockSurvey, survey_data: Path
) -> None:
    real = survey_data / "kids_field" / "catalog" / "kids_field_ugriZYJHKs_cat.fits"
    with fits.open(real) as theirs, fits.open(survey.catalogues[0]) as ours:
        assert ours[1].name == theirs[1].name == "OBJECTS"
        for column in ours[1].columns:
            twin = theirs[1].columns[column.name]
            assert (column.unit or "") == (twin.unit or ""), column.name
            assert column.format[-1] == twin.format[-1], column.name


def test_sentinels_stand_where_the_survey_puts_them(survey: MockSurvey) -> None:
    rows = catalogue(survey)
    for band in BANDS:
        mag, flux = rows[f"MAG_GAAP_{band}"], rows[f"FLUX_GAAP_{band}"]
        error, flux_error = rows[f"MAGERR_GAAP_{band}"], rows[f"FLUXERR_GAAP_{band}"]
        missing, faint = mag == -99, mag == 99
        assert (error[missing] == -99).all()
        assert (flux[missing] == 0).all()
        assert (flux_error[missing] == -1).all()
        assert (rows[f"FLAG_GAAP_{band}"][missing] == 1).all()
        assert (flux[faint] < flux_error[faint] * 1.0001).all()
        good = ~missing & ~faint
        expected = -2.5 * np.log10(flux[good]) - rows[f"EXTINCTION_{band}"][good]
        np.testing.assert_allclose(mag[good], expected, atol=2e-4)
    assert (rows["MAG_GAAP_u"] == 99).any()
    assert (rows["MAG_GAAP_u"] == -99).any()
    assert not (np.abs(rows["MAG_GAAP_r"]) == 99).any()
    lost = np.abs(rows["MAG_GAAP_J"]) + np.abs(rows["MAG_GAAP_H"]) >= 99
    assert (rows["COLOUR_GAAP_J_H"][lost] == -99).all()


def test_tiles_share_a_few_sources_under_one_name(tmp_path: Path) -> None:
    settings = MockSettings(catalogue_rows=200_000, seed=3)
    survey = write_survey(settings, tmp_path / "wide")
    rows = catalogue(survey)
    _, counts = np.unique(rows["ID"], return_counts=True)
    assert counts.max() == 2
    assert (counts == 2).sum() == survey.shared_rows
    assert 0.0005 < survey.shared_rows / len(rows) < 0.003
    assert len(rows) == survey.catalogue_rows == pytest.approx(200_000, rel=0.1)


def test_footprint_crosses_right_ascension_zero(survey: MockSurvey) -> None:
    ra = catalogue(survey)["RAJ2000"]
    assert ((ra >= 0) & (ra < 360)).all()
    assert (ra < 0.08).sum() + (ra > 359.92).sum() == len(ra)
    assert min((ra < 1).sum(), (ra > 359).sum()) > 100


def test_images_agree_with_the_catalogue(survey: MockSurvey) -> None:
    offsets, ratios = [], []
    for path in (p for p in survey.images if "_sci" in p.name):
        image, header = fits.getdata(path, header=True)
        assert header["MAGZERO"] == 0.0
        assert image.dtype == np.dtype(">f4")
        rows = [r for r in catalogue(survey) if r["KIDS_TILE"].decode() == header["OBJECT"]]
        for row in (r for r in rows if r["SG2DPHOT"] == 1 and 17.5 < r["MAG_AUTO"] < 20):
            x, y = WCS(header).all_world2pix(row["RAJ2000"], row["DECJ2000"], 0)
            assert (x + 1, y + 1) == pytest.approx((row["Xpos"], row["Ypos"]), abs=1e-3)
            measured = centroid_and_flux(image, float(x), float(y))
            if measured is not None:
                offsets.append(measured[0])
                ratios.append(measured[1] / 10 ** (-0.4 * row["MAG_AUTO"]))
    assert len(offsets) > 15
    assert np.median(offsets) < 0.1
    assert np.mean(np.array(offsets) < 0.3) > 0.9
    assert np.median(ratios) == pytest.approx(1.0, abs=0.03)


def centroid_and_flux(image: np.ndarray, x: float, y: float) -> tuple[float, float] | None:
    """Offset in pixels and flux in a 4 arcsec aperture; None where a neighbour intrudes."""
    rows, columns = np.indices(image.shape)[:, : 2 * 18 + 1, : 2 * 18 + 1]
    column, row = round(x), round(y)
    stamp = image[row - 18 : row + 19, column - 18 : column + 19].astype(float)
    if stamp.shape != rows.shape:
        return None
    distance = np.hypot(columns - 18 - (x - column), rows - 18 - (y - row))
    ring = stamp[(distance > 13) & (distance < 18)]
    if ring.std() > 3.5e-12:
        return None
    light = np.where(distance < 6, stamp - np.median(ring), 0.0)
    offset_x = (light * (columns - 18)).sum() / light.sum() - (x - column)
    offset_y = (light * (rows - 18)).sum() / light.sum() - (y - row)
    total = (stamp - np.median(ring))[distance < 10].sum()
    return float(np.hypot(offset_x, offset_y)), float(total)


def test_weight_and_mask_belong_to_the_image(survey: MockSurvey) -> None:
    science = next(p for p in survey.images if "_sci" in p.name)
    image, header = fits.getdata(science, header=True)
    weight = fits.getdata(science.with_name(science.name.replace("_sci", "_wei")))
    mask = fits.getdata(science.with_name(science.name.replace("_sci", "_msk")))
    assert image.shape == weight.shape == mask.shape
    assert (weight[:2] == 0).all()
    assert weight[100, 100] == pytest.approx(header["SKYRMS"] ** -2)
    assert (mask[:20] & 4).all()
    assert not (mask[20:-20, 20:-20] & 4).any()
    darkest = np.percentile(image, 2.275)  # two sigma below the median, away from the sources
    assert np.median(image) - darkest == pytest.approx(2 * header["SKYRMS"], rel=0.25)


def test_compressed_images_hold_the_same_sky(tmp_path: Path) -> None:
    settings = MockSettings(area_deg2=0.01, seed=5)
    plain = write_survey(settings, tmp_path / "plain")
    packed = write_survey(replace(settings, compress=True), tmp_path / "packed")
    first, second = (
        fits.getdata(next(p for p in s.images if "_sci" in p.name)) for s in (plain, packed)
    )
    assert np.abs(first - second).max() < 0.1 * 2.5e-12
    assert packed.images[0].name.endswith(".fits.fz")


def test_labels_have_the_columns_of_their_surveys(survey: MockSurvey) -> None:
    sdss, gaia, gama = (np.array(fits.getdata(p)) for p in (survey.sdss, survey.gaia, survey.gama))
    assert set(np.char.decode(sdss["CLASS"])) == {"STAR", "QSO", "GALAXY"}
    assert (sdss["ZWARNING"] != 0).any()
    assert (sdss["PLUG_DEC"] > 0.2).any(), "some spectra lie outside the footprint"
    assert len(np.unique(sdss["SPECOBJID"])) == len(sdss) == survey.sdss_rows
    assert np.isnan(gaia["parallax"]).any()
    assert len(np.unique(gaia["source_id"])) == len(gaia)
    assert (gaia["phot_g_mean_mag"] < 21).all()
    assert set(gama["NQ"]) <= {1, 2, 3, 4}


def test_truth_names_every_row_of_the_catalogue(survey: MockSurvey) -> None:
    truth = pq.read_table(survey.truth)
    listed = truth.filter(truth["in_catalogue"])
    assert set(listed["ID"].to_pylist()) == set(np.char.decode(catalogue(survey)["ID"]))
    assert sum(truth["labelled"].to_pylist()) == SMALL.labelled
    counts = json.loads((survey.folder / "survey.json").read_text())["counts"]
    assert counts["catalogue_rows"] == survey.catalogue_rows


def test_a_mock_like_the_real_field_can_be_made(tmp_path: Path) -> None:
    depths = BandDepths(r=24.61, u=24.07)
    settings = MockSettings(
        area_deg2=0.01, pixel_scale_arcsec=0.3, seeing_fwhm_arcsec=0.73, depths=depths
    )
    survey = write_survey(settings, tmp_path / "field")
    header = fits.getheader(survey.images[0])
    assert header["PIXSCALE"] == 0.3
    assert 0.58 < header["PSF_FWHM"] < 0.95
    assert header["SKYRMS"] > 5e-12


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"area_deg2": 200.0}, "area_deg2"),
        ({"dec_deg": 80.0}, "dec_deg"),
        ({"workers": 0}, "workers"),
    ],
)
def test_what_cannot_be_made_is_refused(changes: dict[str, float], word: str) -> None:
    with pytest.raises(InputError, match=f"{word}.*choose a value"):
        replace(SMALL, **changes)


def test_a_folder_in_use_is_refused(survey: MockSurvey) -> None:
    with pytest.raises(InputError, match="holds something already"):
        write_survey(SMALL, survey.folder)
