"""Sources of a sample are found in the catalogue, whatever shares their place."""

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.errors import StoreError
from kidsclf.pipeline.inputs import rows_of
from kidsclf.sky.partition import Partition


def sources(*rows):
    index, names = zip(*rows, strict=True) if rows else ((), ())
    return pa.table({"_healpix_29": pa.array(index, pa.int64()), "name": pa.array(names, "string")})


def test_place_and_name_find_the_row_in_any_order():
    rng = np.random.default_rng(3)
    rows = [(int(place), f"s{k}") for k, place in enumerate(rng.integers(0, 40, 200))]
    asked = rng.permutation(200)[:90]
    some = sources(*[rows[k] for k in asked])
    assert rows_of(sources(*rows), some, Partition(0, 0)).tolist() == asked.tolist()
    ordered = sources(*sorted(rows))
    found = rows_of(ordered, some, Partition(0, 0))
    assert ordered.take(found).equals(some)


@pytest.mark.parametrize("row", [(7, "b"), (9, "a"), (0, "a")])
def test_one_that_is_not_there_is_told(row):
    with pytest.raises(StoreError, match="run the stage 'match' again"):
        rows_of(sources((3, "z"), (7, "a")), sources((7, "a"), row), Partition(0, 0))


def test_none_is_found_in_nothing():
    assert rows_of(sources((7, "a")), sources(), Partition(0, 0)).tolist() == []
    assert rows_of(sources(), sources(), Partition(0, 0)).tolist() == []
