"""CSV: rows are found by their line ends, whatever stands in quotation marks."""

import csv
import gzip
import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, plan_chunks, read_chunk

OWN = ColumnMap.model_validate(
    {
        "name": "own",
        "identifier": {"columns": ("id",)},
        "position": {"ra": "ra", "dec": "dec"},
    }
)


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def read(path: Path, chunk_rows: int) -> pa.Table:
    chunks = plan_chunks([path], chunk_rows)
    assert all(chunk.rows <= chunk_rows for chunk in chunks)
    return pa.concat_tables([read_chunk(chunk, OWN, ["note"]) for chunk in chunks])


NOTES = st.text(st.sampled_from('ab ,"\n\r\té∞'), max_size=8).map(lambda text: f"x{text}y")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(NOTES, min_size=1, max_size=20), st.integers(1, 25), st.sampled_from(["\n", "\r\n"])
)
def test_what_pythons_writer_wrote_is_read_whatever_the_chunks(notes, chunk_rows, ends):
    file = io.StringIO()
    writer = csv.writer(file, lineterminator=ends, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["id", "ra", "dec", "note"])
    writer.writerows([f"S{k}", 1.5, -2.5, note] for k, note in enumerate(notes))
    with tempfile.TemporaryDirectory() as folder:
        table = read(write(Path(folder), file.getvalue()), chunk_rows)
    assert table["name"].to_pylist() == [f"S{k}" for k in range(len(notes))]
    assert table["note"].to_pylist() == notes


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_rows_longer_than_a_block_of_the_scan(tmp_path, name):
    """Blocks of four MiB end inside rows, inside quotation marks and inside CRLF."""
    long = "ab\r\nc" * 300_000
    lines = [f'S{k},1,2,"{long}"\r\n' for k in range(6)]
    path = write(tmp_path, "id,ra,dec,note\r\n" + "\r\n".join(lines), name)
    for chunk_rows in (1, 4, 6):
        table = read(path, chunk_rows)
        assert table["name"].to_pylist() == [f"S{k}" for k in range(6)]
        assert set(table["note"].to_pylist()) == {long}


def test_no_line_end_at_the_end_and_a_mark_of_byte_order(tmp_path):
    path = write(tmp_path, "\ufeffid,ra,dec,note\nA,1,2,x\nB,1,2,y")
    assert read(path, 1)["name"].to_pylist() == ["A", "B"]


def test_a_chunk_is_parsed_alone(tmp_path):
    """Damage in the rows of one chunk is nothing to the others."""
    path = write(tmp_path, "id,ra,dec,note\n" + "A,1,2,x\n" * 4 + "B,1,2\n" + "C,1,2,x\n")
    first, second, third = plan_chunks([path], 2)
    assert read_chunk(first, OWN).num_rows == read_chunk(second, OWN).num_rows == 2
    with pytest.raises(InputError, match=r"rows 4-5: .*Expected 4 columns, got 3"):
        read_chunk(third, OWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('id,ra,dec,note\nA,1,2,"x\nB,1,2,y\n', "a quotation mark is not closed"),
        ('id,ra,dec,note\nA,1,2,5" wide\nB,1,2,y\nC,1,2,6" wide\n', "stands within a value"),
        ("id,ra,dec,note\nA,1,2,x\rB,1,2,y\n", "bare carriage returns"),
        ("id,ra,dec,note\nA,1,2,x,7\n", "Expected 4 columns, got 5"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=rf"{path}.*{said}") as caught:
        read(path, 100)
    assert "\n" not in str(caught.value)


def test_a_row_without_end_is_refused_before_memory_is_full(tmp_path):
    path = tmp_path / "endless.csv"
    path.write_bytes(b"id,ra,dec,note\nA,1,2," + b"x" * (70 * 1024**2) + b"\nB,1,2,y\n")
    with pytest.raises(InputError, match="a row is longer than 64 MiB"):
        plan_chunks([path], 100)


def test_a_gzipped_csv_cut_short_is_refused(tmp_path):
    path = write(tmp_path, "id,ra,dec,note\n" + "A,1,2,x\n" * 1000, "table.csv.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=rf"cannot read {path}: .*end-of-stream"):
        plan_chunks([path], 100)
