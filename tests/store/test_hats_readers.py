"""What others' programs make of our HATS catalogues: hats, LSDB, and plain Parquet readers."""

import dask
import hats
import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from astropy import units
from astropy.coordinates import SkyCoord

from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import spatial_index
from kidsclf.sky.split import PixelCounts, split_sky
from kidsclf.store.catalogue import HatsCatalogue, sort_rows

ROWS = 400
BESIDE = 40
"""Sources 0.3 arcsec east of RA 0, which is a border of HEALPix pixels near the pole."""


def scatter(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions round RA 0 and the north pole, some of these beside a border of pixels."""
    ra, dec = rng.uniform(-0.7, 0.7, (2, ROWS // 2))
    pole = 90 - 0.8 * np.sqrt(rng.uniform(0, 1, ROWS // 2))
    round_it = rng.uniform(0, 360, ROWS // 2)
    round_it[:BESIDE] = 0.3 / 3600 / np.cos(np.radians(pole[:BESIDE]))
    return np.concatenate([ra % 360, round_it]), np.concatenate([dec, pole])


@pytest.fixture(scope="module")
def sources():
    ra, dec = scatter(np.random.default_rng(3))
    names = [f"s{k:04d}" for k in range(ROWS)]
    index = spatial_index(ra, dec)
    return sort_rows(pa.table({SPATIAL_INDEX: index, "name": names, "ra": ra, "dec": dec}))


@pytest.fixture(scope="module")
def catalogue(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("hats") / "catalog"
    store, index = HatsCatalogue(root), sources[SPATIAL_INDEX].to_numpy()
    split = split_sky(PixelCounts.of_indices(index, 12), 100)
    for partition, _ in split:
        store.write(partition, sources.filter(pa.array(partition.contains(index))))
    store.finish("photometry", split)
    assert len(split) > 5
    return root


def test_hats_knows_the_coverage(catalogue, sources):
    moc = hats.read_hats(catalogue).moc
    ra, dec = sources["ra"].to_numpy(), sources["dec"].to_numpy()
    assert moc.contains_lonlat(ra * units.deg, dec * units.deg).all()
    assert not moc.contains_lonlat([90.0] * units.deg, [0.0] * units.deg).any()
    assert 2e-5 < moc.sky_fraction < 2e-4  # some three square degrees are 1e-4


def test_a_plain_parquet_reader_gives_all_rows(catalogue, sources):
    files = ds.dataset(catalogue / "dataset", exclude_invalid_files=True)
    table = files.to_table(columns=sources.column_names)
    assert table.sort_by("name").equals(sources.sort_by("name"))


def test_lsdb_finds_a_cone_over_borders(catalogue, sources):
    at = SkyCoord(sources["ra"].to_numpy(), sources["dec"].to_numpy(), unit="deg")
    near = at.separation(SkyCoord(0.0, 0.0, unit="deg")).deg < 0.5
    found = lsdb.open_catalog(catalogue).cone_search(0.0, 0.0, 0.5 * 3600)
    names = found.compute(progress_bar=False)["name"]
    assert sorted(names) == sorted(sources.filter(pa.array(near))["name"].to_pylist())
    assert len(found.get_healpix_pixels()) > 1


def test_lsdb_matches_labels_that_have_a_margin(catalogue, sources):
    """Every label is found again, also where it lies beyond the border of a partition."""
    rng = np.random.default_rng(4)
    at = SkyCoord(sources["ra"].to_numpy(), sources["dec"].to_numpy(), unit="deg")
    moved = at.directional_offset_by(rng.uniform(0, 360, ROWS) * units.deg, 1 * units.arcsec)
    labels = pd.DataFrame({"of": sources["name"], "ra": moved.ra.deg, "dec": moved.dec.deg})
    placed = lsdb.from_dataframe(
        labels, ra_column="ra", dec_column="dec", partition_rows=300, margin_threshold=5.0
    )
    ours = lsdb.open_catalog(catalogue)
    with dask.config.set(scheduler="synchronous"):
        found = ours.crossmatch(
            placed, radius_arcsec=2.0, suffixes=("", "_label"), suffix_method="all_columns"
        ).compute(progress_bar=False)
    assert len(found) == ROWS
    assert found["name"].is_unique
    index = spatial_index(moved.ra.deg, moved.dec.deg)
    partitions = HatsCatalogue(catalogue).partitions()
    own = sources[SPATIAL_INDEX].to_numpy()
    beyond = [(p.contains(own) & ~p.contains(index)).sum() for p in partitions]
    assert sum(beyond) > BESIDE / 4
