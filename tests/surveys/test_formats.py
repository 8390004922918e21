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


def write_csv_with_blank_lines(table, path):
    """Blank lines before the names, after them, between rows here and there, and at the end."""
    write_csv(table, path)
    lines = path.read_text().splitlines(keepends=True)
    blanks = np.random.default_rng(8).choice([0, 0, 0, 1, 5], len(lines))
    path.write_text("\n" + "".join(line + "\n" * k for line, k in zip(lines, blanks, strict=True)))


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
    "blanks.csv": write_csv_with_blank_lines,
    "table.vot": write_votable,
    "binary.vot": write_binary_votable,
}


@pytest.fixture(params=WRITERS, scope="module")
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("formats") / request.param
    WRITERS[request.param](survey(), path)
    return str(path)


def read(path: str, chunk_rows: int = 300, column_map: ColumnMap = OWN, **kwargs) -> pa.Table:
    chunks = plan_chunks([Path(path)], chunk_rows)
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
        one = plan_chunks([Path(path)], 1)[500]
        assert_same(read_chunk(one, OWN), whole.slice(500, 1))


def small_csv(tmp_path, text: str) -> str:
    path = tmp_path / "small.csv"
    path.write_text(text)
    return str(path)


def bare(columns, **more) -> ColumnMap:
    return ColumnMap.model_validate(
        {
            "name": "bare",
            "identifier": {"columns": columns},
            "position": {"ra": "ra", "dec": "dec"},
        }
        | more
    )


def test_blank_lines_of_csv_are_no_rows(tmp_path):
    path = small_csv(tmp_path, "id,ra,dec\nA,1,2\n\nB,1,2\nC,1,2\n\n\nD,1,2\n")
    for rows in (1, 2, 3, 4):
        assert read(path, rows, bare(("id",)))["name"].to_pylist() == ["A", "B", "C", "D"]


def test_blank_lines_of_csv_beyond_the_first_block(tmp_path):
    """Some three blocks of a megabyte, in chunks that end anywhere in them."""
    rows = 60_000
    lines = [f"{k:030d}{'x' * 20},1,2\n" + "\n" * (k % 7 == 0) for k in range(rows)]
    path = small_csv(tmp_path, "id,ra,dec\n" + "".join(lines))
    names = read(path, 17_001, bare(("id",)))["name"].to_pylist()
    assert names == [f"{k:030d}{'x' * 20}" for k in range(rows)]


def test_identifiers_of_csv_keep_their_leading_zeros(tmp_path):
    text = "field,number,ra,dec\n01,00123,1,2\n1,123,1,2\n 2 ,-05,1,2\n"
    path = small_csv(tmp_path, text)
    for rows in (1, 3):
        found = read(path, rows, bare(("field", "number")), keep_columns=["number"])
        assert found["name"].to_pylist() == ["01-00123", "1-123", "2--05"]
        assert found["number"].to_pylist() == ["00123", "123", "-05"]


def test_identifiers_of_csv_can_be_held_against_numbers(tmp_path):
    path = small_csv(tmp_path, "field,number,ra,dec\n01,007,1,2\n1,7,1,2\n")
    cut = {"name": "north", "columns": "field", "op": "in", "value": (1, 2)}
    found = read(path, 1, bare(("field", "number"), cuts=[cut]))
    assert found["name"].to_pylist() == ["01-007", "1-7"]
    assert found["field"].to_pylist() == [1, 1]
    path = small_csv(tmp_path, "field,number,ra,dec\nN1,007,1,2\n")
    with pytest.raises(InputError, match=r"column field of .* as numbers by a selection"):
        read(path, 1, bare(("field", "number"), cuts=[cut]))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("1.5", "2.5"), "decimal numbers"),
        (("1.2e18", "1.3e18"), "decimal numbers"),
        (("7", ""), "row 1 of them is blank"),
    ],
)
def test_identifiers_of_csv_that_lost_digits_are_refused(tmp_path, texts, said):
    path = small_csv(tmp_path, "id,ra,dec\n" + "".join(f"{text},1,2\n" for text in texts))
    with pytest.raises(InputError, match=said):
        read(path, 2, bare(("id",)))


def test_identifiers_of_csv_that_turn_decimal_are_refused(tmp_path):
    lines = [f"{k},1,{'2' * 40}e-40\n" for k in range(30_000)]
    path = small_csv(tmp_path, "id,ra,dec\n" + "".join(lines) + "1.2e18,1,2\n")
    with pytest.raises(InputError, match=r"1\.2e18"):
        read(path, 40_000, bare(("id",)))


@pytest.mark.parametrize("name", ["unsigned.fits", "unsigned.fits.gz"])
def test_unsigned_integers_of_fits_are_exact(tmp_path, name):
    bits = {16: "I", 32: "J", 64: "K"}
    values = {
        n: np.array([0, 1, 2 ** (n - 1) - 1, 2 ** (n - 1), 2**n - 2, 2**n - 1], f"u{n // 8}")
        for n in bits
    }
    columns = [
        fits.Column(f"u{n}", format=code, bzero=2 ** (n - 1), array=values[n])
        for n, code in bits.items()
    ]
    signed = np.array([-128, -1, 0, 1, 5, 127], np.int8)
    columns.append(fits.Column("s8", format="B", bzero=-128, array=signed))
    columns += [fits.Column(c, format="D", unit="deg", array=np.ones(6)) for c in ("ra", "dec")]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / name)
    own = ["u16", "u32", "u64", "s8"]
    for rows in (1, 4, 6):
        found = read(str(tmp_path / name), rows, bare(("u64",)), keep_columns=own)
        assert found["name"].to_pylist() == [str(value) for value in values[64].tolist()]
        assert found["s8"].to_pylist() == signed.tolist()
        for n in bits:
            assert found[f"u{n}"].type == getattr(pa, f"uint{n}")()
            assert found[f"u{n}"].to_pylist() == values[n].tolist()


def test_missing_unsigned_integers_of_fits_are_null(tmp_path):
    columns = [fits.Column(c, format="D", array=np.ones(3)) for c in ("ra", "dec")]
    columns.append(fits.Column("id", format="3A", array=np.array(["a", "b", "c"])))
    numbers = np.array([5, 2**31 - 7, 9], np.uint32)
    columns.append(fits.Column("n", format="J", bzero=2**31, array=numbers))
    table = fits.BinTableHDU.from_columns(columns)
    table.header["TNULL4"] = -7  # as stored, before TZERO is added
    table.writeto(tmp_path / "missing.fits")
    found = read(str(tmp_path / "missing.fits"), 2, bare(("id",)), keep_columns=["n"])
    assert found["n"].to_pylist() == [5, None, 9]


@pytest.mark.parametrize(
    ("form", "stored", "scale", "zero"),
    [("I", [1, 25_000, -30_000], 10, 0), ("I", [1, 2, -3], 1, 40_000), ("B", [1, 200, 255], 2, -7)],
)
def test_scaled_numbers_may_leave_the_range_of_the_stored_type(tmp_path, form, stored, scale, zero):
    columns = [fits.Column(c, format="D", array=np.ones(3)) for c in ("ra", "dec")]
    columns.append(fits.Column("id", format="3A", array=np.array(["a", "b", "c"])))
    columns.append(fits.Column("n", format=form, array=np.array(stored)))
    table = fits.BinTableHDU.from_columns(columns)
    table.header["TSCAL4"], table.header["TZERO4"] = scale, zero  # as whole numbers
    table.writeto(tmp_path / "scaled.fits")
    found = read(str(tmp_path / "scaled.fits"), 2, bare(("id",)), keep_columns=["n"])
    assert found["n"].to_pylist() == [scale * value + zero for value in stored]


def test_a_missing_column_is_named_with_what_is_there(path):
    chunk = plan_chunks([Path(path)], ROWS)[0]
    with pytest.raises(InputError, match=r"column NOPE of .*own.* has id, ra, dec"):
        read_chunk(chunk, OWN, keep_columns=["NOPE"])


def test_text_is_no_magnitude(path):
    chunk = plan_chunks([Path(path)], ROWS)[0]
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
        plan_chunks([empty], 10)


def test_garbage_is_refused(path, tmp_path):
    garbage = tmp_path / path.rsplit("/", 1)[1]
    garbage.write_bytes(b"\x00\x01\x02" * 5000)
    with pytest.raises(InputError, match=str(garbage)):
        read(str(garbage))


def test_a_missing_file_is_named(path, tmp_path):
    gone = tmp_path / path.rsplit("/", 1)[1]
    with pytest.raises(InputError, match=rf"{gone} was asked for but is not there"):
        plan_chunks([gone], 10)


def test_endings_decide(tmp_path):
    path = tmp_path / "catalogue.dat"
    path.write_text("1 2 3")
    with pytest.raises(InputError, match=r"catalogue.dat.*\.parquet"):
        plan_chunks([Path(path)], 10)


def test_files_are_found_once_and_sorted(tmp_path):
    for name in ("b.fits", "a.fits", "c[1].fits"):
        (tmp_path / name).touch()
    found = find_files([f"{tmp_path}/*.fits", f"{tmp_path}/b.fits", f"{tmp_path}/c[1].fits"])
    assert [path.name for path in found] == ["a.fits", "b.fits", "c[1].fits"]
    with pytest.raises(InputError, match=r"\*\.vot"):
        find_files([f"{tmp_path}/*.fits", f"{tmp_path}/*.vot"])


def test_a_chunk_of_fits_costs_no_more_memory_than_the_chunk(tmp_path):
    rows = 400_000
    table = Table({name: np.zeros(rows) for name in ("ra", "dec", *(f"c{k}" for k in range(20)))})
    table["id"] = np.arange(rows)
    path = tmp_path / "wide.fits"  # 74 MB
    table.write(path)
    chunk = plan_chunks([Path(path)], 20_000)[-1]
    tracemalloc.start()
    assert read_chunk(chunk, bare(("id",))).num_rows == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # a few copies of the chunk's 3.7 MB, not of the file
