"""Texts in fixed width: the same letters whatever the Arrow type, the slices and the gaps."""

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.store.fixed_width import lay_texts

WIDTH = 5


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts_of_any_arrow_type_are_laid_out(kind):
    given = ["", "abcde", None, "é", "ab", "αβγ", "a\x00b", "KiDS", "x"]
    texts = pa.chunked_array([pa.array(part, kind) for part in (given, [], [None, "ø"], given)])
    texts = texts.slice(1)
    rows = np.full((len(texts), WIDTH + 3), ord("."), np.uint8)
    lay_texts(texts, rows, 2, WIDTH)
    expected = [(text or "").encode("ascii", "replace") for text in texts.to_pylist()]
    assert [row.tobytes() for row in rows] == [
        b".." + text.ljust(WIDTH, b"\0") + b"." for text in expected
    ]


def test_only_the_texts_of_a_slice_count_as_too_long():
    texts = pa.chunked_array([["long enough", "abc", "é" * WIDTH, "longer than it is wide"]])
    rows = np.zeros((2, WIDTH), np.uint8)
    lay_texts(texts.slice(1, 2), rows, 0, WIDTH)
    assert rows.tobytes() == b"abc\0\0?????"
    with pytest.raises(ValueError, match="a text of 11 characters"):
        lay_texts(texts.slice(0, 2), rows, 0, WIDTH)
