"""A table that fpack packed, in three blocks of rows; its values follow from the row's number.

``data/packed_by_fpack.fits.fz`` was written by fpack 1.7.0 (``fpack -table``, FZTILELN = 30).
"""

from pathlib import Path

import numpy as np
import pytest

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, plan_chunks, read_chunk

PACKED = Path(__file__).parent / "data" / "packed_by_fpack.fits.fz"
ROWS = 80
OWN = ColumnMap.model_validate(
    {
        "name": "packed",
        "identifier": {"columns": ("ID",)},
        "position": {"ra": "RA", "dec": "DEC"},
        "bands": ("r",),
        "reference_band": "r",
        "magnitudes": {"column": "MAG_{band}"},
    }
)
KEPT = ["BYTE", "SHORT", "LONG", "LONGLONG", "UNSIGNED", "YES"]


def expected(rows: slice) -> dict[str, list]:
    k = np.arange(ROWS)[rows]
    return {
        "name": [f"S{i:05d}" for i in k],
        "ra": (k * 4.5 + 1 / 3).tolist(),
        "dec": (k - 40.25).tolist(),
        "mag_r": (20 + k / 7).astype(np.float32).tolist(),
        "BYTE": (3 * k).tolist(),
        "SHORT": (37 * k - 1500).tolist(),
        "LONG": [None if i % 9 == 0 else 1000 * i for i in k.tolist()],
        "LONGLONG": (k * 10**15).tolist(),
        "UNSIGNED": (k * 50_000_000).tolist(),
        "YES": (k % 3 == 0).tolist(),
    }


@pytest.mark.parametrize("chunk_rows", [1, 7, 30, 31, 79, 80, 1000])
def test_every_row_and_type_comes_out(chunk_rows):
    chunks = plan_chunks([PACKED], chunk_rows)
    assert sum(chunk.rows for chunk in chunks) == ROWS
    for chunk in chunks:
        table = read_chunk(chunk, OWN, KEPT)
        rows = slice(chunk.first_row, chunk.first_row + chunk.rows)
        for name, values in expected(rows).items():
            assert table[name].to_pylist() == values, name


def test_vectors_are_refused_as_in_plain_tables():
    with pytest.raises(InputError, match=r"column PAIR holds 2E, not one number"):
        read_chunk(plan_chunks([PACKED], 80)[0], OWN, ["PAIR"])


def test_a_packed_table_cut_short_is_refused(tmp_path):
    short = tmp_path / PACKED.name
    short.write_bytes(PACKED.read_bytes()[:-3000])
    with pytest.raises(InputError, match=rf"cannot read {short}: it ends before"):
        plan_chunks([short], 80)


@pytest.mark.parametrize(
    ("card", "said"),
    [("ZCTYP4  = 'BZIP_1  '", "packed by 'BZIP_1'"), ("ZTILELEN=                   25", "bytes")],
)
def test_a_packed_table_that_contradicts_itself_is_refused(tmp_path, card, said):
    odd = tmp_path / PACKED.name
    content = PACKED.read_bytes()
    place = content.index(card[:9].encode())
    odd.write_bytes(content[:place] + card.encode() + content[place + len(card) :])
    with pytest.raises(InputError, match=rf"{odd.name} rows 0-79: .*{said}"):
        read_chunk(plan_chunks([odd], 80)[0], OWN)


def test_a_damaged_block_is_named(tmp_path):
    damaged = tmp_path / PACKED.name
    content = bytearray(PACKED.read_bytes())
    heap = content.index(b"\x1f\x8b")  # where the first gzip stream begins
    content[heap + 10 : heap + 30] = b"\xff" * 20
    damaged.write_bytes(content)
    with pytest.raises(InputError, match=rf"cannot read {damaged} rows 0-79"):
        read_chunk(plan_chunks([damaged], 80)[0], OWN, [*KEPT])
