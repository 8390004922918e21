"""Every catalogue format runs the same suite: the same table in, the same table out."""

import gzip
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, find_files, plan_chunks, read_chunk

ROWS = 1000
OWN = ColumnMap.model_validate(
    {
        "name": "own",
        "identifier": {"columns": ("id",)},
        "position": {"ra": "ra", "dec": "dec"},
        "bands": ("g", "r"),
        "reference_band": "r",
        "magnitudes": {"column": "mag_{band}", "error": "err_{band}", "sentinels": (99, -99)},
        "label": {"column": "class", "values": {"STAR": "STAR", "QSO": "QSO"}},
        "redshift": "z",
        "cuts": [{"name": "quality", "columns": "flag", "op": "==", "value": 0}],
    }
)


def survey() -> Table:
    generator = np.random.default_rng(4)
    table = Table()
    table["id"] = np.array([f"S{k:05d}" for k in range(ROWS)])
    table["ra"] = generator.uniform(0, 360, ROWS)
    table["dec"] = generator.uniform(-90, 90, ROWS)
    for band in "gr":
        table[f"mag_{band}"] = generator.uniform(15, 25, ROWS).astype(np.float32)
        table[f"err_{band}"] = generator.uniform(0.01, 0.3, ROWS).astype(np.float32)
    table["mag_g"][::10] = 99.0
    table["err_g"][::10] = 99.0
    table["mag_r"][::7] = -99.0
    table["class"] = generator.choice(["STAR  ", "QSO   ", "SKY   "], ROWS)
    table["z"] = generator.uniform(0, 3, ROWS)
    table["flag"] = generator.integers(0, 3, ROWS).astype(np.int32)
    table["ra"].unit = table["dec"].unit = "deg"
    return table


def write_fits(table, path):
    table.write(path)


def write_gzipped_fits(table, path):
    table.write(path.with_suffix(""))
    with path.with_suffix("").open("rb") as plain, gzip.open(path, "wb") as packed:
        shutil.copyfileobj(plain, packed)


def write_fits_behind_a_compressed_image(table, path):
    image = fits.CompImageHDU(np.ones((50, 60), dtype=np.float32), name="PICTURE")
    fits.HDUList([fits.PrimaryHDU(), image, fits.table_to_hdu(table)]).writeto(path)


def write_parquet(table, path):
    columns = {name: np.asarray(table[name]) for name in table.colnames}
    pq.write_table(
        pa.table({k: v.tolist() if v.dtype.kind == "U" else v for k, v in columns.items()}),
        path,
        row_group_size=170,
    )


def write_csv(table, path):
    table.write(path, format="ascii.csv")


def write_gzipped_csv(table, path):
    write_csv(table, path.with_suffix(""))
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))


def write_votable(table, path):
    table.write(path, format="votable")


def write_binary_votable(table, path):
    table.write(path, format="votable", tabledata_format="binary2")


WRITERS = {
    "plain.fits": write_fits,
    "packed.fits.gz": write_gzipped_fits,
    "mixed.fits.fz": write_fits_behind_a_compressed_image,
    "table.parquet": write_parquet,
    "table.csv": write_csv,
    "packed.csv.gz": write_gzipped_csv,
    "table.vot": write_votable,
    "binary.vot": write_binary_votable,
}


@pytest.fixture(params=WRITERS, scope="module")
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("formats") / request.param
    WRITERS[request.param](survey(), path)
    return str(path)


def read(path: str, chunk_rows: int = 300, column_map: ColumnMap = OWN, **kwargs) -> pa.Table:
    chunks = plan_chunks([path], chunk_rows)
    return pa.concat_tables([read_chunk(chunk, column_map, **kwargs) for chunk in chunks])


def assert_same(one: pa.Table, other: pa.Table) -> None:
    assert one.schema == other.schema
    for column in one.column_names:
        np.testing.assert_array_equal(one[column].to_numpy(), other[column].to_numpy())


def test_canonical_columns(path):
    found, truth = read(path, keep_columns=["z"]), survey()
    assert found.column_names == [
        *("name", "ra", "dec", "mag_g", "mag_err_g", "mag_r", "mag_err_r"),
        *("label", "redshift", "flag", "z"),
    ]
    assert found["name"].to_pylist() == truth["id"].tolist()
    for column in ("ra", "dec", "z"):
        np.testing.assert_allclose(found[column].to_numpy(), truth[column], rtol=1e-14)
    for band in "gr":
        magnitude, error = (found[f"{kind}_{band}"] for kind in ("mag", "mag_err"))
        assert magnitude.type == error.type == pa.float32()
        missing = np.abs(truth[f"mag_{band}"]) == 99
        np.testing.assert_array_equal(np.isnan(magnitude.to_numpy()), missing)
        np.testing.assert_array_equal(np.isnan(error.to_numpy()), missing)
        np.testing.assert_allclose(
            magnitude.to_numpy()[~missing], truth[f"mag_{band}"][~missing], rtol=1e-6
        )
        np.testing.assert_allclose(
            error.to_numpy()[~missing], truth[f"err_{band}"][~missing], rtol=1e-6
        )
    labels = [text.strip() if text != "SKY   " else None for text in truth["class"].tolist()]
    assert found["label"].to_pylist() == labels
    assert found["flag"].to_pylist() == truth["flag"].tolist()


def test_the_size_of_chunks_does_not_matter(path):
    whole = read(path, chunk_rows=ROWS)
    for rows in (1, 171, 999, 10**6):
        if rows > 1:  # row by row only a few
            assert_same(read(path, chunk_rows=rows), whole)
    if not path.endswith(".vot"):
        one = plan_chunks([path], 1)[500]
        assert_same(read_chunk(one, OWN), whole.slice(500, 1))


def test_a_missing_column_is_named_with_what_is_there(path):
    chunk = plan_chunks([path], ROWS)[0]
    with pytest.raises(InputError, match=r"column NOPE of .*own.* has id, ra, dec"):
        read_chunk(chunk, OWN, keep_columns=["NOPE"])


def test_text_is_no_magnitude(path):
    chunk = plan_chunks([path], ROWS)[0]
    raw = OWN.model_dump()
    raw["magnitudes"]["bands"] = {"r": {"column": "class"}}
    with pytest.raises(InputError, match=r"column class of .* as numbers but holds"):
        read_chunk(chunk, ColumnMap.model_validate(raw))


def test_a_file_cut_short_is_refused(path, tmp_path):
    """Cut where rows are lost: formats notice it when planned or, at the latest, when read."""
    content = Path(path).read_bytes()
    broken = tmp_path / path.rsplit("/", 1)[1]
    broken.write_bytes(content[: len(content) // 2])
    if broken.suffix == ".csv":
        # Nothing in a CSV says how long it is; half a row is what can be seen.
        broken.write_bytes(content[: len(content) // 2].rsplit(b",", 5)[0])
    with pytest.raises(InputError, match=str(broken)):
        read(str(broken))


def test_an_empty_table_is_refused(path, tmp_path):
    name = path.rsplit("/", 1)[1]
    empty = tmp_path / name
    WRITERS[name](survey()[:0], empty)
    with pytest.raises(InputError, match=rf"{empty}.* empty"):
        plan_chunks([str(empty)], 10)


def test_garbage_is_refused(path, tmp_path):
    garbage = tmp_path / path.rsplit("/", 1)[1]
    garbage.write_bytes(b"\x00\x01\x02" * 5000)
    with pytest.raises(InputError, match=str(garbage)):
        read(str(garbage))


def test_a_missing_file_is_named(path, tmp_path):
    gone = tmp_path / path.rsplit("/", 1)[1]
    with pytest.raises(InputError, match=rf"{gone} was asked for but is not there"):
        plan_chunks([str(gone)], 10)


def test_endings_decide(tmp_path):
    path = tmp_path / "catalogue.dat"
    path.write_text("1 2 3")
    with pytest.raises(InputError, match=r"catalogue.dat.*\.parquet"):
        plan_chunks([str(path)], 10)


def test_files_are_found_once_and_sorted(tmp_path):
    for name in ("b.fits", "a.fits", "c[1].fits"):
        (tmp_path / name).touch()
    found = find_files([f"{tmp_path}/*.fits", f"{tmp_path}/b.fits", f"{tmp_path}/c[1].fits"])
    assert [path.rsplit("/", 1)[1] for path in found] == ["a.fits", "b.fits", "c[1].fits"]
    with pytest.raises(InputError, match=r"\*\.vot"):
        find_files([f"{tmp_path}/*.fits", f"{tmp_path}/*.vot"])


def test_a_chunk_of_fits_costs_no_more_memory_than_the_chunk(tmp_path):
    rows = 400_000
    table = Table({name: np.zeros(rows) for name in ("ra", "dec", *(f"c{k}" for k in range(20)))})
    table["id"] = np.arange(rows)
    path = tmp_path / "wide.fits"  # 74 MB
    table.write(path)
    bare = ColumnMap.model_validate(
        {
            "name": "bare",
            "identifier": {"columns": ("id",)},
            "position": {"ra": "ra", "dec": "dec"},
        }
    )
    chunk = plan_chunks([str(path)], 20_000)[-1]
    tracemalloc.start()
    assert read_chunk(chunk, bare).num_rows == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # a few copies of the chunk's 3.7 MB, not of the file
