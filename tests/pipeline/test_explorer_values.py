"""Values of a survey's own columns on their way to the browser, and what verdicts are kept as."""

import datetime
import decimal
import errno
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from kidsclf.errors import StoreError
from kidsclf.explorer import verdicts
from kidsclf.explorer.detail import rows_of
from kidsclf.explorer.verdicts import Judged, open_verdicts
from kidsclf.store.layout import WorkDirectory

NAN = float("nan")
SOURCE = Judged(7, "a source", 10.0, 1.0, "mnn", "QSO", 0.4)


def test_columns_of_every_type_reach_the_browser_unaltered():
    day = datetime.datetime(2026, 1, 2, 3, 4, 5)
    table = pa.table(
        {
            "_healpix_29": pa.array([2**60 + 1]),
            "stamp": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
            "aware": pa.array([day], pa.timestamp("us", "UTC")),
            "date": pa.array([day.date()]),
            "time": pa.array([day.time()]),
            "price": pa.array([decimal.Decimal("1.50")]),
            "bytes": pa.array([b"\x00\xff"]),
            "list": pa.array([[1.5, NAN, None]]),
            "lists": pa.array([[[2**53 + 1], [2**53]]]),
            "record": pa.array([{"x": NAN, "when": day}]),
            "id": pa.array([-(2**53) - 1]),
            "small": pa.array([2**53]),
            "yes": pa.array([True]),
        }
    )
    (row,) = json.loads(json.dumps(rows_of(table), allow_nan=False))
    assert row == {
        "_healpix_29": str(2**60 + 1),
        "stamp": "2023-11-14 22:13:20.123456789",
        "aware": "2026-01-02 03:04:05.000000Z",
        "date": "2026-01-02",
        "time": "03:04:05.000000",
        "price": "1.50",
        "bytes": "00ff",
        "list": [1.5, None, None],
        "lists": [[str(2**53 + 1)], [2**53]],
        "record": {"x": None, "when": "2026-01-02 03:04:05"},
        "id": str(-(2**53) - 1),
        "small": 2**53,
        "yes": True,
    }


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_verdict_that_cannot_be_written_is_refused_in_a_sentence(tmp_path, monkeypatch, number):
    work = WorkDirectory(UPath(tmp_path))
    with open_verdicts(work) as kept:
        kept.give(SOURCE, "star")

        def full(*_):
            raise OSError(number, "no room or right")

        with monkeypatch.context() as patch:
            patch.setattr(verdicts, "write_table", full)
            with pytest.raises(StoreError, match=r"no room or right.*; mend that and give it"):
                kept.give(SOURCE, "galaxy")
        assert kept.of(7, "a source") == "star"
        assert kept.give(SOURCE, "junk") == "star"


def spoiled(rows: pa.Table, how: str) -> pa.Table:
    if how == "no index":
        return rows.drop_columns(["_healpix_29"])
    if how == "a word":
        return rows.set_column(3, "verdict", pa.array(["starr"]))
    if how == "no name":
        return rows.set_column(0, "name", pa.array([None], pa.string()))
    return rows.set_column(1, "ra", pa.array(["east"]))


@pytest.mark.parametrize("how", ["no index", "a word", "no name", "a type", "damaged"])
def test_a_table_that_is_none_of_verdicts_is_refused_in_a_sentence(tmp_path, how):
    work = WorkDirectory(UPath(tmp_path))
    with open_verdicts(work) as kept:
        kept.give(SOURCE, "star")
    path = tmp_path / "verdicts/verdicts.parquet"
    if how == "damaged":
        path.write_bytes(b"PAR1 and no more")
    else:
        pq.write_table(spoiled(pq.read_table(path), how), path)
    before = path.read_bytes()
    said = r"a table of verdicts .* was expected"
    with pytest.raises(StoreError, match=said) as raised, open_verdicts(work):
        pass
    assert "; mend it or move it away, or give --read-only" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before
