"""An object store that does not answer is told as that, never as a missing or damaged file."""

import numpy as np
import pytest

from kidsclf.config import StoreSettings
from kidsclf.errors import StoreError
from kidsclf.places import place
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.check import metadata_faults, partition_faults
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.hats_metadata import read_footers
from kidsclf.store.receipts import Receipt, read_receipt
from kidsclf.store.row_groups import rows_within
from kidsclf.store.staging import StagedChunk
from kidsclf.store.stamp_arrays import ZarrStamps
from kidsclf.store.tables import read_json, read_table
from kidsclf.surveys import find_files, plan_chunks
from kidsclf.surveys.hats_folders import open_hats_folder
from kidsclf.surveys.tile_names import pair_tiles
from kidsclf.surveys.tiles import read_tile_header

NOBODY = StoreSettings(
    endpoint_url="http://127.0.0.1:9", anonymous=True, patience_seconds=0.0, timeout_seconds=5.0
)
"""The port of the discard protocol, on which nobody listens."""
THERE = place("s3://bucket/run", NOBODY)
PARTITION = Partition(4, 1000)
STRETCHES = np.array([[0, 1]])

READERS = {
    "a partition": lambda: HatsCatalogue(THERE).read(PARTITION),
    "the list of partitions": lambda: HatsCatalogue(THERE).partitions(),
    "the footers of a catalogue": lambda: list(
        read_footers(HatsCatalogue(THERE).path, [(PARTITION, 1)])
    ),
    "rows of a HATS sample": lambda: rows_within(THERE / "a.parquet", SPATIAL_INDEX, STRETCHES),
    "a staged chunk": lambda: StagedChunk(THERE / "a.arrow", THERE / "a.parquet").read(0, 1),
    "a table": lambda: read_table(THERE / "a.parquet"),
    "a record": lambda: read_json(THERE / "a.json"),
    "a receipt": lambda: read_receipt(THERE, "ingest", PARTITION.label),
    "stamps": lambda: CutoutStore(THERE).open(PARTITION),
    "stamps of the user's": lambda: ZarrStamps(THERE / "stamps.zarr"),
    "a glob": lambda: find_files([f"{THERE}/*.fits"], NOBODY),
    "a file by its name": lambda: find_files([f"{THERE}/a.fits"], NOBODY),
    "tables of a survey": lambda: plan_chunks([THERE / "a.fits", THERE / "a.parquet"], 10),
    "a HATS catalogue": lambda: open_hats_folder(THERE),
    "a tile": lambda: list(map(read_tile_header, pair_tiles([THERE / "a_r_sci.fits"]))),
    "the check of a partition": lambda: partition_faults(
        THERE, THERE / "a.parquet", PARTITION, 1, Receipt("ingest", PARTITION.label, "", 1, 0.0)
    ),
    "the check of metadata": lambda: list(metadata_faults(THERE, THERE, {PARTITION: 1})),
}


@pytest.mark.parametrize("reader", READERS)
def test_the_store_is_named_and_not_the_file(reader):
    with pytest.raises(StoreError, match="the object store did not answer"):
        READERS[reader]()
