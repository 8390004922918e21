"""Each labelled table through its column map, held against its README and against sums by hand."""

import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kidsclf.config_file import load_config
from kidsclf.ingest import select, survey_cut
from kidsclf.schema import CutCount
from kidsclf.surveys import ColumnMap, find_files, load_column_map, plan_chunks, read_chunk

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "labelled"
MAPS = {
    "annz_sdss_train": "annz_columns.toml",
    "annz_sdss_valid": "annz_columns.toml",
    "bhb_half": "bhb_columns.toml",
    "gaia_dr2": "gaia_dr2_photometry",
    "galex_sdss_star_qso": "galex_sdss_columns.toml",
    "kcorrect_gst_10k": "kcorrect_columns.toml",
    "sdss_dr14_10k": "sdss_photometry",
    "sdss_dr17_10k": "sdss_photometry",
    "zcosmos_even": "zcosmos_columns.toml",
}
ROWS = {
    "annz_sdss_train": 5000,
    "annz_sdss_valid": 1000,
    "bhb_half": 2850,
    "gaia_dr2": 1781,
    "galex_sdss_star_qso": 3696,
    "kcorrect_gst_10k": 10_000,
    "sdss_dr14_10k": 10_000,
    "sdss_dr17_10k": 9999,
    "zcosmos_even": 8680,
}


def column_map(stem: str) -> ColumnMap:
    name = MAPS[stem]
    return load_column_map(CONFIGS / name if name.endswith(".toml") else name)


def read(folder: Path, stem: str, keep=()) -> pa.Table:
    chunks = plan_chunks(find_files([str(folder / "labelled" / f"{stem}.parquet")]), 700)
    return pa.concat_tables([read_chunk(chunk, column_map(stem), keep) for chunk in chunks])


def raw(folder: Path, stem: str) -> dict[str, np.ndarray]:
    table = pq.read_table(folder / "labelled" / f"{stem}.parquet")
    return {name: table[name].to_numpy() for name in table.column_names}


def classes(table: pa.Table) -> dict[str | None, int]:
    return {c["values"]: c["counts"] for c in table["label"].value_counts().to_pylist()}


def after_cuts(table: pa.Table, stem: str) -> tuple[pa.Table, list[CutCount]]:
    rules = [
        survey_cut(rule.name, rule.columns, rule.op, rule.value) for rule in column_map(stem).cuts
    ]
    kept, counts = select(table, rules)
    return kept, list(counts)


def floats(table: pa.Table, column: str) -> np.ndarray:
    return table[column].to_numpy().astype(np.float64)


def test_no_table_is_left_out(survey_data):
    files = {path.name.split(".")[0] for path in (survey_data / "labelled").glob("*.parquet")}
    assert files == set(MAPS) == set(ROWS)


@pytest.mark.parametrize("stem", MAPS)
def test_every_row_has_a_name_and_a_place(survey_data, stem):
    table = read(survey_data, stem)
    assert table.num_rows == ROWS[stem]
    assert pc.count_distinct(table["name"]).as_py() == table.num_rows
    assert np.isfinite(floats(table, "ra")).all()
    assert (np.abs(floats(table, "dec")) <= 90).all()
    assert column_map(stem).position.invented == ("ra" not in raw(survey_data, stem))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_file_is_a_map_or_a_run_whose_map_loads(path):
    if path.stem.endswith("_columns"):
        assert load_column_map(path).name
    else:
        assert load_column_map(load_config(path).survey.preset).bands
    assert "preset" in path.read_text() or "identifier" in tomllib.loads(path.read_text())


@pytest.mark.parametrize(
    ("stem", "counts"),
    [
        ("sdss_dr17_10k", {"GALAXY": 6091, "STAR": 1993, "QSO": 1915}),
        ("sdss_dr14_10k", {"GALAXY": 4998, "STAR": 4152, "QSO": 850}),
        ("zcosmos_even", {"GALAXY": 5643, "STAR": 289, "QSO": 21, None: 2727}),
        ("kcorrect_gst_10k", {"GALAXY": 10_000}),
        ("annz_sdss_train", {"GALAXY": 5000}),
    ],
)
def test_classes(survey_data, stem, counts):
    assert classes(read(survey_data, stem)) == counts


def test_zcosmos_follows_the_rule_of_its_readme(survey_data):
    """Confidence 3 and 4 are secure; of these |z| < 0.005 are stars; 18 has broad lines."""
    truth, table = raw(survey_data, "zcosmos_even"), read(survey_data, "zcosmos_even")
    confidence = np.floor(truth["conf_class"])
    secure = np.isin(confidence, (3, 4))
    star = secure & (np.abs(truth["zspec"]) < 0.005)
    expected = np.select(
        [confidence == 18, star, secure], ["QSO", "STAR", "GALAXY"], default="none"
    )
    assert table["label"].fill_null("none").to_pylist() == expected.tolist()


def test_zcosmos_has_twelve_bands_and_nothing_near_minus_99(survey_data):
    truth, table = raw(survey_data, "zcosmos_even"), read(survey_data, "zcosmos_even")
    bands = column_map("zcosmos_even").bands
    assert len(bands) == 12
    for band in bands:
        value, error = truth[f"mag_{band}"], truth[f"magerr_{band}"]
        there = value > -90
        np.testing.assert_allclose(
            floats(table, f"mag_{band}"), np.where(there, value, np.nan), 1e-6
        )
        measured = np.where(there & (error >= 0), error, np.nan)
        np.testing.assert_allclose(floats(table, f"mag_err_{band}"), measured, 1e-6)
    missing = {band: int(np.isnan(floats(table, f"mag_{band}")).sum()) for band in bands}
    assert missing["FUV"] > missing["NUV"] > missing["r"] >= 103  # 103 rows have no photometry


def test_kcorrect_mixes_fluxes_counts_and_vega(survey_data):
    truth, table = raw(survey_data, "kcorrect_gst_10k"), read(survey_data, "kcorrect_gst_10k")
    flux, inverse = truth["modelflux_u"].astype(float), truth["modelflux_ivar_u"].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        u = 22.5 - 2.5 * np.log10(np.where(flux > 0, flux, np.nan)) - truth["extinction_u"] - 0.04
        u_error = 1.0857362 / np.sqrt(inverse) / flux
    np.testing.assert_allclose(floats(table, "mag_u"), u, atol=4e-6)
    both = np.isfinite(u) & (inverse > 0)
    np.testing.assert_allclose(floats(table, "mag_err_u")[both], u_error[both], rtol=1e-5)
    assert np.isnan(floats(table, "mag_err_u")[~both]).all()

    for band, offset in (("J", 0.91), ("H", 1.39), ("K", 1.85)):
        vega = truth[f"{band}_ext_vega"].astype(float)
        expected = np.where(vega == 0, np.nan, vega + offset)
        np.testing.assert_allclose(floats(table, f"mag_{band}"), expected, atol=2e-6)
        assert np.isnan(expected).sum() == 1
    for band, zero_point, missing in (("FUV", 18.82, 9470), ("NUV", 20.08, 9226)):
        counts = truth[f"flux_{band}"].astype(float)
        there = counts > 0
        assert (~there).sum() == missing
        expected = np.where(there, zero_point - 2.5 * np.log10(np.where(there, counts, 1)), np.nan)
        np.testing.assert_allclose(floats(table, f"mag_{band}"), expected, atol=2e-6)
    # What makes counts per second of the ultraviolet: galaxies are a magnitude or two fainter.
    colour = floats(table, "mag_NUV") - floats(table, "mag_u")
    assert 1.0 < np.nanmedian(colour) < 3.0


def test_three_rows_of_kcorrect_by_hand(survey_data):
    """22.5 - 2.5 lg(132.567825) - 0.140232 = 17.0537, and so on."""
    table = read(survey_data, "kcorrect_gst_10k").slice(0, 3)
    np.testing.assert_allclose(floats(table, "mag_r"), [17.0537, 17.4714, 16.8147], atol=1e-4)
    np.testing.assert_allclose(floats(table, "mag_J"), [16.271, 16.197, 16.034], atol=1e-4)


def test_galex_drops_contradicted_labels_and_dereddens(survey_data):
    truth, table = raw(survey_data, "galex_sdss_star_qso"), read(survey_data, "galex_sdss_star_qso")
    kept, (count,) = after_cuts(table, "galex_sdss_star_qso")
    assert (count.rows_in, count.rows_cut, kept.num_rows) == (3696, 5, 3691)
    assert classes(table) == {"QSO": 3320, "STAR": 376}
    agreed = ~truth["label_conflict"].astype(bool)
    stars = int((truth["class"][agreed] == 0).sum())
    assert classes(kept) == {"QSO": 3691 - stars, "STAR": stars}
    np.testing.assert_allclose(
        floats(table, "mag_u"), truth["u"] - truth["extinction_u"] - 0.04, rtol=1e-6
    )
    np.testing.assert_allclose(floats(table, "mag_fuv"), truth["fuv_mag"], rtol=1e-6)
    assert table["name"][0].as_py() == "galex_sdss_star_qso-0"


def test_gaia_photometry_is_ab(survey_data):
    truth, table = raw(survey_data, "gaia_dr2"), read(survey_data, "gaia_dr2")
    for band, offset in (("bp", 0.0292), ("g", 0.1050), ("rp", 0.3542)):
        expected = truth[f"phot_{band}_mean_mag"].astype(float) + offset
        np.testing.assert_allclose(floats(table, f"mag_{band}"), expected, atol=2e-6)
        ratio = truth[f"phot_{band}_mean_flux_over_error"].astype(float)
        there = np.isfinite(expected)
        errors = floats(table, f"mag_err_{band}")
        np.testing.assert_allclose(errors[there], 1.0857362 / ratio[there], rtol=1e-6)
    assert int(np.isnan(floats(table, "mag_bp")).sum()) == 95


def test_bhb_stars_are_labels_without_photometry(survey_data):
    table = read(survey_data, "bhb_half", ["gr", "ug", "probability"])
    kept, (count,) = after_cuts(table, "bhb_half")
    assert column_map("bhb_half").bands == ()
    assert kept.num_rows == int((raw(survey_data, "bhb_half")["probability"] >= 90).sum())
    assert count.rows_in == 2850
    assert classes(kept) == {"STAR": kept.num_rows}
    assert kept["name"][0].as_py().startswith("SDSS 12376")


def test_annz_undetected_magnitudes_are_missing(survey_data):
    truth, table = raw(survey_data, "annz_sdss_train"), read(survey_data, "annz_sdss_train")
    for band, offset in zip("ugriz", (-0.04, 0, 0, 0, 0.02), strict=True):
        expected = np.where(truth[band] < 30, truth[band] + offset, np.nan)
        np.testing.assert_allclose(floats(table, f"mag_{band}"), expected, rtol=1e-6)
    assert 0 < np.isnan(floats(table, "mag_u")).sum() < 20
    assert floats(table, "redshift").max() == pytest.approx(0.637909, abs=1e-6)
