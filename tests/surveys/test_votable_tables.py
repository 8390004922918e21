"""VOTables cut into chunks give what astropy gives of the whole."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, plan_chunks, read_chunk

ROWS = 50
OWN = ColumnMap.model_validate(
    {
        "name": "own",
        "identifier": {"columns": ("id",)},
        "position": {"ra": "ra", "dec": "dec"},
        "bands": ("r",),
        "reference_band": "r",
        "magnitudes": {"column": "m_{band}"},
    }
)
FORMATS = ("tabledata", "binary", "binary2")


def table() -> Table:
    k = np.arange(ROWS)
    return Table(
        {
            "id": k * 3 + 2**40,
            "ra": k * 7.0,
            "dec": k - 25.5,
            "m_r": MaskedColumn((20 + k / 7).astype(np.float32), mask=k % 4 == 0),
            "count": k.astype(np.int16),
            "yes": k % 2 == 0,
            "note": [f"<{i}> & é" if i % 3 else "" for i in range(ROWS)],
        }
    )


def write(path: Path, form: str, sizes: str = "") -> Path:
    votable = from_table(table(), table_id="T")
    note = votable.get_first_table().get_field_by_id("note")
    note.arraysize = sizes or note.arraysize
    writeto(votable, str(path), tabledata_format=form)
    return path


def check(path: Path, chunk_rows: int) -> int:
    chunks = plan_chunks([path], chunk_rows)
    truth, first = table(), 0
    for chunk in chunks:
        found = read_chunk(chunk, OWN, ["count", "yes", "note"])
        part = truth[first : first + chunk.rows]
        assert chunk.first_row == first
        assert found["name"].to_pylist() == [str(value) for value in part["id"]]
        np.testing.assert_array_equal(found["ra"], part["ra"] % 360)
        assert found["count"].to_pylist() == part["count"].tolist()
        np.testing.assert_array_equal(found["mag_r"], part["m_r"].filled(np.nan))
        assert found["yes"].to_pylist() == part["yes"].tolist()
        assert [text or "" for text in found["note"].to_pylist()] == part["note"].tolist()
        first += chunk.rows
    assert first == ROWS
    return len(chunks)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["table.vot", "table.xml"])
def test_any_chunks_of_rows_of_one_length(tmp_path, form, name):
    path = write(tmp_path / name, form, sizes="16")
    assert check(path, 1000) == 1
    assert check(path, 12) == 5
    assert check(path, 7) > 5
    assert check(path, 1) > 10


def test_rows_of_many_lengths(tmp_path):
    """TABLEDATA shows where they begin; BINARY does not, and is one chunk."""
    assert check(write(tmp_path / "rows.vot", "tabledata", "*"), 9) == 6
    assert check(write(tmp_path / "binary.vot", "binary", "*"), 9) == 1
    assert check(write(tmp_path / "binary2.vot", "binary2", "*"), 9) == 1


def test_names_of_a_namespace_resources_in_resources_and_comments(tmp_path):
    text = write(tmp_path / "plain.vot", "tabledata", "*").read_text()
    before, rows = text.split("<TABLEDATA>")
    nested = (
        (before.replace("<RESOURCE ", "<RESOURCE><!-- two --><RESOURCE ", 1) + "<TABLEDATA>" + rows)
        .replace("</RESOURCE>", "</RESOURCE></RESOURCE>")
        .replace("<TR>", "<TR ID='x'>", 1)
    )
    path = tmp_path / "nested.vot"
    path.write_text(nested)
    assert check(path, 9) == 6


@pytest.mark.parametrize("form", FORMATS)
def test_a_votable_cut_short_is_refused_when_planned(tmp_path, form):
    path = write(tmp_path / "table.vot", form, "16")
    content = path.read_bytes()
    for part in (0.6, 0.8, 0.95):
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(InputError, match=rf"cannot read {path}: ") as caught:
            plan_chunks([path], 9)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<TABLEDATA>", "<FITS><STREAM href='x.fits'/></FITS><TABLEDATA>", "FITS or stand in"),
        ("<TD>7</TD>", "<TD>7</TD><TD>8</TD>", "table.vot rows 0-49: "),
        ('datatype="double"', 'datatype="duoble"', "table.vot: .*duoble"),
    ],
)
def test_odd_votables_are_named(tmp_path, old, new, said):
    path = write(tmp_path / "table.vot", "tabledata")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        check(path, 1000)


def test_binary_of_no_known_encoding_is_refused(tmp_path):
    path = write(tmp_path / "table.vot", "binary", "16")
    path.write_text(path.read_text().replace('encoding="base64"', 'encoding="none"'))
    with pytest.raises(InputError, match="no encoding that can be read, so save it as TABLEDATA"):
        plan_chunks([path], 9)
