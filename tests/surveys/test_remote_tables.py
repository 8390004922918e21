"""Tables in an object store: every format gives the rows that the local file gives."""

import pickle

import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from astropy.table import Table
from test_formats import OWN, WRITERS, assert_same, survey

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, find_files, plan_chunks, read_chunk
from s3_server import line_to, upload_folder

pytestmark = pytest.mark.s3


def read(pattern: str, settings, chunk_rows: int = 300, column_map: ColumnMap = OWN) -> pa.Table:
    chunks = plan_chunks(find_files([pattern], settings), chunk_rows)
    # As a worker gets them.
    chunks = pickle.loads(pickle.dumps(chunks))
    return pa.concat_tables([read_chunk(chunk, column_map) for chunk in chunks])


@pytest.fixture(scope="module")
def bucket(s3_server, tmp_path_factory):
    """Give a bucket with the same table in every format, and the folder it was uploaded from."""
    folder = tmp_path_factory.mktemp("formats")
    for name, write in WRITERS.items():
        write(survey(), folder / name)
    bucket = s3_server.new_bucket()
    upload_folder(folder, bucket)
    return bucket, folder


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_reads_as_the_local_file_does(s3_server, bucket, name):
    remote, folder = bucket
    settings = s3_server.settings()
    assert_same(read(str(remote / name), settings), read(str(folder / name), settings))


def test_globs_find_what_is_there_and_refuse_what_is_not(s3_server, bucket):
    remote, _ = bucket
    settings = s3_server.settings()
    found = find_files([str(remote / "[bt]*.csv"), str(remote / "table.csv")], settings)
    assert [path.name for path in found] == ["blanks.csv", "table.csv"]
    for pattern in (str(remote / "*.nothing"), str(remote / "nothing.fits")):
        with pytest.raises(InputError, match=r"nothing.* was asked for|nothing.* were asked for"):
            find_files([pattern], settings)


def test_a_hats_catalogue(s3_server, tmp_path):
    generator = np.random.default_rng(5)
    dec = np.degrees(np.arcsin(generator.uniform(-1, 1, 300)))
    ra = generator.uniform(0, 360, 300)
    frame = pd.DataFrame({"number": np.arange(300), "alpha": ra, "delta": dec})
    lsdb.from_dataframe(
        frame, ra_column="alpha", dec_column="delta", partition_rows=100
    ).write_catalog(tmp_path / "sky", catalog_name="sky", as_collection=False)
    remote = s3_server.new_bucket()
    upload_folder(tmp_path / "sky", remote / "sky")
    own = {
        "name": "hats",
        "identifier": {"columns": ("number",)},
        "position": {"ra": "alpha", "dec": "delta"},
    }
    table = read(str(remote / "sky"), s3_server.settings(), 64, ColumnMap.model_validate(own))
    assert sorted(map(int, table["name"].to_pylist())) == list(range(300))


def test_of_a_long_table_only_the_chunk_is_fetched(s3_server, tmp_path):
    rows = 200_000
    table = Table({name: np.zeros(rows) for name in ("ra", "dec", *(f"c{k}" for k in range(17)))})
    table["id"] = np.arange(rows)
    table.write(tmp_path / "long.fits")  # 32 MB
    remote = s3_server.new_bucket()
    upload_folder(tmp_path, remote)
    own = {
        "name": "own",
        "identifier": {"columns": ("id",)},
        "position": {"ra": "ra", "dec": "dec"},
    }
    with line_to(s3_server) as line:
        settings = s3_server.settings().model_copy(update={"endpoint_url": line.address})
        (path,) = find_files([str(remote / "long.fits")], settings)
        chunk = plan_chunks([path], 1000)[100]
        assert line.received < 1e6
        table = read_chunk(chunk, ColumnMap.model_validate(own))
    assert table["name"][0].as_py() == "100000"
    assert line.received < 12e6  # 8 MiB are read ahead
