"""Combinations are found the same way whether they are counted or sorted."""

import numpy as np
import pytest

from kidsclf.combinations import combinations


@pytest.mark.parametrize("width", [0, 1, 3, 8, 9, 16, 17, 64, 70])
@pytest.mark.parametrize("count", [0, 1, 300])
def test_every_row_is_told_its_own_and_none_is_listed_twice(width, count):
    rows = np.random.default_rng(width).random((count, width)) < 0.1
    rows[::2, : max(0, width - 2)] = False
    found, which = combinations(rows)
    assert (found.dtype, which.dtype) == (bool, np.int64)
    assert (found[which] == rows).all()
    assert len({each.tobytes() for each in found}) == len(found)
    assert set(which) == set(range(len(found))) or not count
