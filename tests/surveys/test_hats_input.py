"""Another HATS catalogue as input, written by lsdb as its users write theirs."""

import shutil

import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hats.io.file_io import remove_directory
from upath import UPath

from kidsclf.errors import InputError
from kidsclf.surveys import ColumnMap, find_files, plan_chunks, read_chunk
from kidsclf.surveys.hats_folders import open_hats_folder

ROWS = 700
OWN = ColumnMap.model_validate(
    {
        "name": "hats",
        "identifier": {"columns": ("number",)},
        "position": {"ra": "alpha", "dec": "delta"},
    }
)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(2)
    dec = np.degrees(np.arcsin(generator.uniform(-1, 1, ROWS)))
    columns = {"number": np.arange(ROWS), "alpha": generator.uniform(0, 360, ROWS), "delta": dec}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def collection(frame, tmp_path_factory):
    """Give a collection with its catalogue and its margin."""
    folder = tmp_path_factory.mktemp("hats") / "sky"
    catalogue = lsdb.from_dataframe(
        frame, ra_column="alpha", dec_column="delta", partition_rows=100, margin_threshold=3600
    )
    catalogue.write_catalog(folder, catalog_name="sky", as_collection=True)
    return folder


def rows(folder) -> pa.Table:
    chunks = plan_chunks(find_files([str(folder)]), 64)
    assert max(chunk.rows for chunk in chunks) <= 64
    return pa.concat_tables([read_chunk(chunk, OWN) for chunk in chunks])


def test_catalogue_and_collection_give_every_row_once(frame, collection):
    main = next(path for path in collection.iterdir() if (path / "partition_info.csv").is_file())
    for folder in (collection, main):
        found = rows(folder).to_pandas().astype({"name": int}).sort_values("name")
        np.testing.assert_array_equal(found["name"], frame["number"])
        np.testing.assert_array_equal(found["ra"], frame["alpha"])
        np.testing.assert_array_equal(found["dec"], frame["delta"])


def test_a_margin_is_no_catalogue(collection):
    margins = list(collection.glob("*_3600arcs"))
    assert len(margins) == 1
    with pytest.raises(InputError, match=r"type 'margin' .* give the catalogue itself"):
        find_files([str(margins[0])])


def test_its_index_is_not_carried_along(collection):
    (chunk, *_) = plan_chunks(find_files([str(collection)]), 64)
    with pytest.raises(InputError, match=r"_healpix_29 .*leave it out of keep_columns"):
        read_chunk(chunk, OWN, ["_healpix_29"])


def test_only_an_index_of_order_29_is_looked_things_up_by(collection, tmp_path):
    assert open_hats_folder(UPath(collection)).index_column == "_healpix_29"
    main = next(path for path in collection.iterdir() if (path / "partition_info.csv").is_file())
    coarse = tmp_path / "coarse"
    shutil.copytree(main, coarse)
    for name in ("hats.properties", "properties"):
        lines = (coarse / name).read_text().splitlines()
        kept = [line for line in lines if "hats_col_healpix" not in line]
        added = ["hats_col_healpix=_healpix_13", "hats_col_healpix_order=13"]
        (coarse / name).write_text("\n".join([*kept, *added]) + "\n")
    assert open_hats_folder(UPath(coarse)).index_column == ""


def test_a_lost_partition_is_named(frame, tmp_path):
    folder = tmp_path / "sky"
    lsdb.from_dataframe(
        frame, ra_column="alpha", dec_column="delta", partition_rows=100
    ).write_catalog(folder, catalog_name="sky", as_collection=False)
    lost = find_files([str(folder)])[3]
    lost.unlink()
    with pytest.raises(InputError, match=rf"{lost.name} was asked for but is not there"):
        plan_chunks(find_files([str(folder)]), 64)
    (folder / "hats.properties").write_text("nothing")
    with pytest.raises(InputError, match=r"HATS catalogue .* metadata cannot be read"):
        find_files([str(folder)])
    remove_directory(folder)
