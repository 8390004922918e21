"""Units, sentinels, names, labels and fluxes, on small files with known answers."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, load_column_map, plan_chunks, read_chunk
from kidsclf.surveys.identifiers import iau_names

BARE = {
    "name": "bare",
    "identifier": {"columns": ("id",)},
    "position": {"ra": "ra", "dec": "dec"},
}
BANDS = {"bands": ("r",), "reference_band": "r"}


def read(path, raw, **kwargs) -> pa.Table:
    (chunk,) = plan_chunks([path], 10**6)
    return read_chunk(chunk, ColumnMap.model_validate(raw), **kwargs)


@pytest.fixture
def parquet(tmp_path):
    def write(**columns):
        count = len(next(iter(columns.values())))
        base = {"id": [str(k) for k in range(count)], "ra": [1.0] * count, "dec": [2.0] * count}
        path = tmp_path / "table.parquet"
        pq.write_table(pa.table(base | columns), path)
        return path

    return write


def test_right_ascension_is_wrapped_and_nonsense_is_missing(parquet):
    path = parquet(
        ra=[-0.5, 360.0, -1e-15, 359.9, -9999.0, 10.0, None, 370.0],
        dec=[0.0, 0.0, 0.0, -90.0, 0.0, 95.0, 0.0, 0.0],
    )
    table = read(path, BARE)
    nan = np.nan
    np.testing.assert_array_equal(table["ra"], [359.5, 0, 0, 359.9, nan, nan, nan, 10])
    np.testing.assert_array_equal(table["dec"], [0, 0, 0, -90, nan, nan, nan, 0])


def test_sentinels(parquet):
    magnitudes = [20.0, 99.0, -99.0, -99.9, 98.0, 97.9, None, np.inf, -1.0]
    errors = [0.1, 99.0, 0.1, 0.1, 0.1, -1.0, 0.1, 0.1, 99.0]
    path = parquet(m=pa.array(magnitudes, pa.float32()), e=pa.array(errors, pa.float32()))
    raw = BARE | BANDS | {"magnitudes": {"column": "m", "error": "e", "sentinels": (-1,)}}
    table = read(path, raw)
    nan = np.nan
    np.testing.assert_allclose(
        table["mag_r"], [20, nan, nan, nan, nan, 97.9, nan, nan, nan], rtol=1e-6
    )
    np.testing.assert_allclose(
        table["mag_err_r"], [0.1, nan, nan, nan, nan, nan, nan, nan, nan], rtol=1e-6
    )


def test_fluxes_become_ab_magnitudes(parquet):
    path = parquet(f=[1.0, 100.0, 0.0, -5.0, None], s=[0.1, 1.0, 1.0, 1.0, 1.0])
    raw = BARE | BANDS | {"magnitudes": {"column": "f", "error": "s", "unit": "nanomaggy"}}
    table = read(path, raw)
    np.testing.assert_allclose(table["mag_r"], [22.5, 17.5, np.nan, np.nan, np.nan], rtol=1e-6)
    np.testing.assert_allclose(table["mag_err_r"].to_numpy()[:2], [0.108574, 0.0108574], rtol=1e-5)
    raw["magnitudes"] = {"column": "f", "unit": "maggy", "ab_offsets": {"r": 0.25}}
    np.testing.assert_allclose(read(path, raw)["mag_r"].to_numpy()[:2], [0.25, -4.75], rtol=1e-6)
    assert np.isnan(read(path, raw)["mag_err_r"]).all()


def test_a_missing_flux_stays_missing_whatever_the_sentinel(parquet):
    """A flux of 99 is a flux; only what the map names is missing."""
    path = parquet(f=[99.0, -9999.0, 50.0], v=[4.0, 4.0, 0.0])
    raw = BARE | BANDS
    raw["magnitudes"] = {
        "column": "f",
        "error": "v",
        "unit": "nanomaggy",
        "error_kind": "inverse_variance",
        "sentinels": (-9999,),
    }
    table = read(path, raw)
    np.testing.assert_allclose(
        table["mag_r"], [22.5 - 2.5 * np.log10(99), np.nan, 22.5 - 2.5 * np.log10(50)], rtol=1e-6
    )
    np.testing.assert_allclose(
        table["mag_err_r"], [1.0857362 * 0.5 / 99, np.nan, np.nan], rtol=1e-5
    )


def test_extinction_is_subtracted(parquet):
    path = parquet(m=[20.0], a=[0.3])
    raw = BARE | BANDS | {"magnitudes": {"column": "m", "extinction": "a"}}
    assert read(path, raw)["mag_r"].to_pylist() == [pytest.approx(19.7)]


def test_half_light_radius_in_pixels(parquet):
    path = parquet(size=[2.0, -1.0, None])
    raw = BARE | {"half_light_radius": {"column": "size", "unit": "pix", "pixel_scale_arcsec": 0.2}}
    np.testing.assert_allclose(
        read(path, raw)["half_light_radius_arcsec"], [0.4, np.nan, np.nan], rtol=1e-6
    )


def test_labels(parquet):
    path = parquet(c=["STAR  ", "GALAXY", "", None], k=[0, 1, 2, None])
    assert read(path, BARE | {"label": {"column": "c"}})["label"].to_pylist() == [
        "STAR",
        "GALAXY",
        None,
        None,
    ]
    numbered = BARE | {"label": {"column": ("nope", "k"), "values": {"0": "STAR", "1": "QSO"}}}
    assert read(path, numbered)["label"].to_pylist() == ["STAR", "QSO", None, None]
    constant = BARE | {"label": {"constant": "STAR"}}
    assert read(path, constant)["label"].to_pylist() == ["STAR"] * 4


def test_identifiers_keep_every_digit(parquet):
    path = parquet(id=pa.array([2**62 + 1, 7], pa.int64()), sub=["a ", "b"])
    raw = BARE | {"identifier": {"columns": ("id", "sub"), "prefix": "Own "}}
    assert read(path, raw)["name"].to_pylist() == ["Own 4611686018427387905-a", "Own 7-b"]


def test_rounded_identifiers_are_refused(parquet):
    path = parquet(id=[1.24e18, 1.25e18])
    with pytest.raises(InputError, match=r"column id of .* decimal numbers.*from_coordinates"):
        read(path, BARE)


def test_blank_identifiers_are_refused(parquet):
    with pytest.raises(InputError, match=r"row 1 of them is blank"):
        read(parquet(id=["a", " "]), BARE)


def test_own_columns_may_not_be_called_as_canonical_ones(parquet):
    with pytest.raises(InputError, match=r"column name of .* leave it out"):
        read(parquet(name=["a"]), BARE, keep_columns=["name"])


def test_the_names_of_known_positions():
    """Truncated, not rounded; the first is the quasar 3C 273 as SDSS calls it."""
    names = iau_names(
        np.array([187.2779157, 0.0, 359.99999, 15.0, np.nan, 0.05]),
        np.array([2.0523884, -0.00001, 89.99999, -12.5, 0.0, 0.0]),
    )
    assert names.to_pylist() == [
        "J122906.69+020308.5",
        "J000000.00-000000.0",
        "J235959.99+895959.9",
        "J010000.00-123000.0",
        None,
        "J000012.00+000000.0",
    ]


@settings(deadline=None)
@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
def test_names_read_back_to_within_their_digits(ra, dec):
    (name,) = iau_names(np.array([ra]), np.array([dec])).to_pylist()
    hours, minutes, seconds = int(name[1:3]), int(name[3:5]), float(name[5:10])
    degrees, arcmin, arcsec = int(name[11:13]), int(name[13:15]), float(name[15:])
    east = ra - 15 * (hours + minutes / 60 + seconds / 3600)
    east = (east + 180.0) % 360.0 - 180.0  # the last moment of the day is 0 hours
    assert -1e-9 <= east < 0.01 * 15 / 3600 + 1e-9
    assert -1e-9 <= abs(dec) - (degrees + arcmin / 60 + arcsec / 3600) < 0.1 / 3600 + 1e-9


def test_the_last_moment_of_the_day_has_a_name():
    below = np.nextafter(360.0, 0.0)
    assert iau_names(np.array([below]), np.array([1.0])).to_pylist() == ["J000000.00+010000.0"]


def fits_table(path, **units):
    columns = [
        fits.Column("id", "K", array=np.arange(3)),
        fits.Column("ra", "D", unit=units.get("ra"), array=np.ones(3)),
        fits.Column("dec", "D", unit=units.get("dec"), array=np.ones(3)),
        fits.Column("m", "E", unit=units.get("m"), array=np.full(3, 20.0)),
        fits.Column("e", "E", unit=units.get("e"), array=np.full(3, 0.1)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    return path


def test_units_are_held_against_the_map(tmp_path):
    raw = BARE | BANDS | {"magnitudes": {"column": "m", "error": "e"}}
    good = fits_table(tmp_path / "good.fits", ra="Degrees", dec="deg", m="mag", e="MAG")
    assert read(good, raw).num_rows == 3
    radians = fits_table(tmp_path / "radians.fits", ra="rad", dec="rad")
    with pytest.raises(InputError, match=r"column ra of .*in deg .* but is in rad"):
        read(radians, raw)
    flux = fits_table(tmp_path / "flux.fits", m="nanomaggy")
    with pytest.raises(InputError, match=r"column m of .*in mag .* but is in nanomaggy"):
        read(flux, raw)
    odd = fits_table(tmp_path / "odd.fits", m="mag of mine")
    assert read(odd, raw | {"units": {"m": "mag of mine"}}).num_rows == 3


def test_gaia_units(tmp_path):
    names = ("parallax", "pmra", "pmdec")
    columns = [fits.Column("source_id", "K", array=[5])]
    columns += [fits.Column(n, "D", array=[1.0], unit="deg") for n in ("ra", "dec")]
    for name, unit in zip(names, ("mas", "mas.yr**-1", "mas.yr**-1"), strict=True):
        columns += [fits.Column(n, "D", array=[1.0], unit=unit) for n in (name, f"{name}_error")]
    path = tmp_path / "gaia.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path)
    (chunk,) = plan_chunks([path], 10)
    table = read_chunk(chunk, load_column_map("gaia"))
    assert table["name"].to_pylist() == ["Gaia 5"]
    assert table["label"].to_pylist() == ["STAR"]
    columns[3].unit = "arcsec"
    fits.BinTableHDU.from_columns(columns).writeto(path, overwrite=True)
    with pytest.raises(InputError, match=r"column parallax of .*in mas .* but is in arcsec"):
        read_chunk(chunk, load_column_map("gaia"))


def test_fits_peculiarities(tmp_path):
    """Unsigned and scaled numbers, logicals, integer nulls and padded texts."""
    columns = [
        fits.Column("id", "8A", array=["one", "two"]),
        fits.Column("ra", "D", array=[1.0, 2.0]),
        fits.Column("dec", "D", array=[1.0, 2.0]),
        fits.Column("unsigned", "J", bzero=2**31, array=np.array([1, 2**32 - 1], np.uint32)),
        fits.Column("yes", "L", array=[True, False]),
        fits.Column("count", "J", null=-1, array=np.array([-1, 4], np.int32)),
        fits.Column("pair", "2E", array=np.ones((2, 2))),
    ]
    path = tmp_path / "odd.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path)
    table = read(path, BARE, keep_columns=["unsigned", "yes", "count"])
    assert table["name"].to_pylist() == ["one", "two"]
    assert table["unsigned"].to_pylist() == [1, 2**32 - 1]
    assert table["yes"].to_pylist() == [True, False]
    assert table["count"].to_pylist() == [None, 4]
    with pytest.raises(InputError, match=r"column pair holds 2E"):
        read(path, BARE, keep_columns=["pair"])


def test_numbers_may_begin_below_a_blank_top_of_a_csv(tmp_path):
    """Redshifts of a few sources, all further down than the megabyte that tells the types."""
    path = tmp_path / "sparse.csv"
    rows = "".join(f"a{k},1.0,2.0,\n" for k in range(120_000))
    path.write_text("id,ra,dec,z\n" + rows + "b,1.0,2.0, 0.25\n")
    with_redshift = ColumnMap.model_validate({**BARE, "redshift": "z"})
    first, last = (read_chunk(chunk, with_redshift) for chunk in plan_chunks([path], 120_000))
    assert first["redshift"].type == last["redshift"].type == pa.float32()
    assert np.isnan(first["redshift"].to_numpy()).all()
    assert last["redshift"].to_pylist() == [0.25]
    path.write_text("id,ra,dec,z\n" + rows + "b,1.0,2.0,unknown\n")
    with pytest.raises(InputError, match=r"column z of .* as numbers but holds"):
        read_chunk(plan_chunks([path], 120_000)[1], with_redshift)


def test_a_csv_that_changes_its_mind_is_named(tmp_path):
    """Types are those of the top of the file, so that all chunks come out alike."""
    path = tmp_path / "late.csv"
    rows = "".join(f"a{k},1.0,2.0,{k}\n" for k in range(200_000))
    path.write_text("id,ra,dec,n\n" + rows + "last,1.0,2.0,many\n")
    chunks = plan_chunks([path], 50_000)
    assert [chunk.rows for chunk in chunks] == [50_000] * 4 + [1]
    own = ColumnMap.model_validate(BARE)
    first, second = (read_chunk(chunk, own, ["n"]) for chunk in chunks[:2])
    assert first.schema == second.schema
    assert second["n"].to_pylist() == list(range(50_000, 100_000))
    with pytest.raises(InputError, match=r"late.csv rows 200000-200000.*many"):
        read_chunk(chunks[4], own, ["n"])
