"""Real tables and tiles, held against what their READMEs count."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kidsclf.errors import InputError
from kidsclf.ingest import cut_stamps, select, survey_cut
from kidsclf.schema import CutoutFlag
from kidsclf.surveys import (
    find_files,
    footprint_contains,
    load_column_map,
    open_tile,
    pair_tiles,
    plan_chunks,
    read_chunk,
    read_tile_header,
)


def read(pattern, column_map, keep_columns=(), chunk_rows=700) -> pa.Table:
    if isinstance(column_map, str):
        column_map = load_column_map(column_map)
    chunks = plan_chunks(find_files([str(pattern)]), chunk_rows)
    return pa.concat_tables([read_chunk(chunk, column_map, keep_columns) for chunk in chunks])


def missing(table, column) -> int:
    return int(np.isnan(table[column].to_numpy()).sum())


@pytest.fixture
def own_map(tmp_path):
    def write(text: str):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return load_column_map(path)

    return write


def test_kids_field_catalogue(survey_data, own_map):
    column_map = own_map('extends = "kids_dr4"\n[half_light_radius]\npixel_scale_arcsec = 0.30')
    table = read(
        survey_data / "kids_field" / "catalog" / "*.fits",
        column_map,
        ["SG2DPHOT", "COLOUR_GAAP_g_r"],
    )
    assert table.num_rows == 1810
    assert table["name"][0].as_py() == "KIDSFIELD J115952.777-000628.97"
    not_measured = 18
    counts = {
        "u": 561,
        "g": 77,
        "i": 106,
        "Z": 134,
        "Y": 220,
        "J": 214,
        "H": 492,
        "Ks": 528,
        "r": 0,
    }
    for band, below_noise in counts.items():
        assert below_noise <= missing(table, f"mag_{band}") <= below_noise + not_measured
    colour = table["COLOUR_GAAP_g_r"].to_numpy()
    ours = table["mag_g"].to_numpy() - table["mag_r"].to_numpy()
    both = colour > -99
    np.testing.assert_allclose(ours[both], colour[both], atol=1e-5)
    assert np.isnan(ours[~both]).all()
    stars = table.filter(pc.equal(table["SG2DPHOT"], 1))
    assert stars.num_rows == 60
    size = np.nanmedian(stars["half_light_radius_arcsec"].to_numpy())
    assert size == pytest.approx(1.88 * 0.30, rel=0.05)
    assert pc.count_distinct(table["name"]).as_py() == table.num_rows


OWN = ["Xpos", "Ypos", "FLUX_AUTO", "SG2DPHOT", "MASK"]


def test_kids_field_tiles(survey_data):
    paths = find_files([str(survey_data / "kids_field" / "tiles" / "*")])
    table = read(survey_data / "kids_field" / "catalog" / "*.fits", "kids_dr4", OWN)
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    headers = {header.band: header for header in map(read_tile_header, pair_tiles(paths))}
    assert set(headers) == {"u", "g", "r", "i", "Z", "Y", "J", "H", "Ks"}
    for band, header in headers.items():
        assert header.zero_point == (0.0 if band in "ugri" else 30.0)
        assert header.pixel_scale_arcsec == pytest.approx(0.30)
        assert header.mask_path.name == "KiDS_field_msk.fits.fz"
        assert (header.weight_path is not None) == (band == "r")
    header = headers["r"]
    x, y, depth = footprint_contains(header, ra, dec)
    np.testing.assert_allclose(x, table["Xpos"].to_numpy() - 1, atol=2e-3)
    np.testing.assert_allclose(y, table["Ypos"].to_numpy() - 1, atol=2e-3)
    assert (depth > 0).all()

    with open_tile(header) as tile:
        whole = tile.read(0, 2600)
        part = tile.read(1200, 1300)
    np.testing.assert_array_equal(part.image, whole.image[1200:1300])
    stamps, flags = cut_stamps(whole.image, x, y, 41, weight=whole.weight, mask=whole.mask)
    edge = (flags & CutoutFlag.EDGE) > 0
    assert edge[depth < 20.0].all()
    assert not edge[depth > 21.0].any()
    near = table["MASK"].to_numpy() > 0
    assert ((flags & CutoutFlag.MASKED) > 0)[~near].sum() == 0
    # 19 px are 5.7 arcsec: all of a star's flux (FWHM 0.73 arcsec) and little of its neighbours'.
    flux, size_class = table["FLUX_AUTO"].to_numpy(), table["SG2DPHOT"].to_numpy()
    stars = (size_class == 1) & (flags == 0) & (flux > 10 ** (-0.4 * 20.5))
    assert stars.sum() >= 15
    sums = stamps[stars, 11:30, 11:30].sum(axis=(1, 2))
    assert np.median(sums / flux[stars]) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("stem", "classes"),
    [
        ("sdss_dr17_10k", {"GALAXY": 6091, "STAR": 1993, "QSO": 1915}),
        ("sdss_dr14_10k", {"GALAXY": 4998, "STAR": 4152, "QSO": 850}),
    ],
)
def test_sdss_tables(survey_data, stem, classes):
    table = read(survey_data / "labelled" / f"{stem}.parquet", "sdss_photometry", ["u"])
    counts = table["label"].value_counts().to_pylist()
    assert {c["values"]: c["counts"] for c in counts} == classes
    np.testing.assert_allclose(table["mag_u"].to_numpy(), table["u"].to_numpy() - 0.04, rtol=1e-6)
    assert pc.count_distinct(table["name"]).as_py() == table.num_rows
    # The CSV has other names for the columns and rounded object numbers, but the same rows.
    original = read(survey_data / "labelled" / f"{stem}.csv.gz", "sdss_photometry")
    assert sorted(table["name"].to_pylist()) == sorted(set(original["name"].to_pylist()))


def test_rounded_sdss_numbers_are_no_identifiers(survey_data, own_map):
    column_map = own_map(
        'extends = "sdss_photometry"\n[identifier]\nfrom_coordinates = false\ncolumns = ["obj_ID"]'
    )
    with pytest.raises(InputError, match=r"obj_ID of .*decimal numbers.*from_coordinates"):
        read(survey_data / "labelled" / "sdss_dr17_10k.csv.gz", column_map)


def test_gaia(survey_data):
    column_map = load_column_map("gaia")
    table = read(survey_data / "labelled" / "gaia_dr2.parquet", column_map)
    assert table.num_rows == 1781
    assert table["parallax"].null_count + (pc.sum(pc.is_nan(table["parallax"])).as_py() or 0) == 191
    (rule,) = column_map.cuts
    stars, (count,) = select(table, [survey_cut(rule.name, rule.columns, rule.op, rule.value)])
    assert count.rows_in == stars.num_rows + count.rows_cut == 1781
    significant = pc.greater(pc.divide(stars["parallax"], stars["parallax_error"]), 5.0)
    assert pc.sum(significant).as_py() == 396  # all of the README's, and those that move besides
    assert stars.num_rows > 396
