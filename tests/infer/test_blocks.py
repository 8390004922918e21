"""Sources are read block by block, and nothing of them is lost or moved."""

import numpy as np
import pyarrow as pa
import pytest

from kidsclf.errors import StoreError
from kidsclf.features import images
from kidsclf.models.description import InputDescription
from kidsclf.pipeline.inputs import open_sources
from kidsclf.pipeline.read_ahead import read_ahead
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX, PackedStamps, magnitude_column
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore, identifiers_fingerprint
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.stamp_encoding import decode_stamps

BANDS = ("g", "r")
AT = Partition(3, 77)
ROWS, SIZE_PX, BATCH = 300, 9, 16
WITH_STAMPS = InputDescription(BANDS, BANDS, SIZE_PX, ("STAR", "QSO"))


@pytest.fixture(scope="module", params=["int16", "float32"])
def work(request, tmp_path_factory):
    """One partition, its names beyond ASCII, with stamps in two bands."""
    rng = np.random.default_rng(4)
    made = WorkDirectory(tmp_path_factory.mktemp("work"))
    names = np.array([f"é{row:04d}" for row in range(ROWS)], object)
    columns = {
        SPATIAL_INDEX: np.sort(rng.integers(AT.first_index, AT.last_index, ROWS)),
        NAME: names,
        RA: rng.uniform(0, 1, ROWS),
        DEC: rng.uniform(0, 1, ROWS),
        **{magnitude_column(band): rng.normal(20, 1, ROWS).astype(np.float32) for band in BANDS},
        "other": rng.uniform(0, 1, ROWS),
    }
    HatsCatalogue(made.catalogue).write(AT, pa.table(columns))
    with CutoutStore(made.cutouts).writing(
        AT, names, encoding=request.param, attributes={}
    ) as group:
        for band in BANDS:
            buffer = group.buffer(SIZE_PX)
            stamps = rng.normal(0, 1, (ROWS, SIZE_PX, SIZE_PX)).astype(np.float32)
            stamps[7] = np.nan
            buffer.put(np.arange(ROWS), stamps)
            group.add(band, buffer, np.arange(ROWS).astype(np.uint8) & 3)
    return made


def in_maggies(stamps):
    packed = isinstance(stamps, PackedStamps)
    return decode_stamps(stamps.codes, stamps.steps) if packed else stamps


@pytest.mark.parametrize(
    ("batches", "readers", "each"), [(1, 1, 1), (3, 1, 3), (100, 1, 100), (1, 4, 1), (6, 3, 2)]
)
def test_blocks_are_the_partition(work, batches, readers, each, monkeypatch):
    monkeypatch.setattr(images, "BLOCK_BYTES", batches * BATCH * len(BANDS) * SIZE_PX**2 * 4)
    sources = open_sources(work, AT, WITH_STAMPS, stamps=True)
    blocks = list(sources.blocks(BATCH, readers))
    assert {len(block) for block in blocks[:-1]} <= {each * BATCH}
    assert len(blocks) == -(-ROWS // (each * BATCH))
    whole = CutoutStore(work.cutouts).read(AT, sources.table[NAME], BANDS)
    for band in BANDS:
        joined = np.concatenate([in_maggies(block.images[band]) for block in blocks])
        np.testing.assert_array_equal(joined, whole[band])
        assert np.isnan(joined[7]).all()
    magnitudes = np.concatenate([block.magnitudes for block in blocks])
    np.testing.assert_array_equal(magnitudes, sources.magnitudes)
    for place, band in enumerate(BANDS):
        column = sources.table[magnitude_column(band)].to_numpy()
        np.testing.assert_array_equal(magnitudes[:, place], column)


def test_stamps_come_as_they_are_stored(work):
    reader = open_sources(work, AT, WITH_STAMPS, stamps=True).stamps
    some = np.array([5, 299, 7])
    found = reader.read_packed(BANDS, some)
    plain = reader.read(BANDS, some)
    packed = reader.group.attrs["encoding"] == "int16"
    assert {isinstance(each, PackedStamps) for each in found.values()} == {packed}
    for band in BANDS:
        np.testing.assert_array_equal(in_maggies(found[band]), plain[band])
    with pytest.raises(StoreError, match="cutouts of band i were asked for"):
        reader.read_packed(("i",), some)


@pytest.mark.parametrize("readers", [1, 3])
def test_no_more_is_read_ahead_than_there_are_readers(readers):
    asked = []
    for number, given in enumerate(
        read_ahead(lambda item: asked.append(item) or item, range(9), readers)
    ):
        assert given == number
        assert len(asked) <= number + 1 + readers
    assert sorted(asked) == list(range(9))


def test_photometry_alone_reads_no_stamps_and_no_other_column(work):
    alone = InputDescription(BANDS[:1], (), 0, WITH_STAMPS.classes)
    sources = open_sources(work, AT, alone, stamps=True, bands=("r",))
    (block,) = sources.blocks(BATCH)
    assert not block.images
    assert block.magnitudes.shape == (ROWS, 1)
    assert len(sources.magnitude("r")) == ROWS
    assert sources.magnitude("i") is None
    assert len(block) == ROWS
    assert "other" not in sources.table.column_names
    assert sources.stamps.flags().tolist() == [row & 3 for row in range(ROWS)]


def test_what_goes_wrong_while_reading_ahead_is_told(work):
    other = InputDescription(BANDS, ("g", "i"), SIZE_PX, ("STAR", "QSO"))
    sources = open_sources(work, AT, other, stamps=True)
    with pytest.raises(StoreError, match="cutouts of band i were asked for"):
        list(sources.blocks(BATCH))


def test_names_have_one_fingerprint_however_they_are_held():
    names = [f"é{row}" for row in range(20)]
    arrow = pa.array(["before", *names, "after"])
    held = [
        np.array(names, object),
        pa.chunked_array([names[:7], names[7:]]),
        pa.chunked_array([arrow.slice(1, 20)]),
    ]
    assert {identifiers_fingerprint(each) for each in held} == {identifiers_fingerprint(names)}
    assert identifiers_fingerprint(names[::-1]) != identifiers_fingerprint(names)
    nothing = pa.chunked_array([], pa.string())
    assert identifiers_fingerprint(nothing) == identifiers_fingerprint([])
    assert identifiers_fingerprint(["ab", "c"]) != identifiers_fingerprint(["a", "bc"])
