"""What ingest keeps is what one table of the whole sky would keep, however the sky is divided."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from kidsclf.ingest.duplicates import DuplicateRule, doubled_rows
from kidsclf.ingest.select import finite_coordinates
from kidsclf.pipeline.ingest import write_partition
from kidsclf.pipeline.reading import FILE, PlannedChunk, Reading, chunk_name, stage_chunk
from kidsclf.sky.split import PixelCounts, split_sky
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.staging import StagedChunk, chunks_of
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.tables import find_files, plan_chunks

MAP = ColumnMap.model_validate(
    {
        "name": "test",
        "identifier": {"columns": ["id"]},
        "position": {"ra": "ra", "dec": "dec"},
        "bands": ["r"],
        "reference_band": "r",
        "magnitudes": {"column": "{band}", "error": "err_{band}"},
    }
)
ORDER = 15


def ingested(folder, work, max_rows, chunk_rows, rule) -> pa.Table:
    """Do what the stage does, without a cluster: stage chunks, split, write; read all back."""
    root = UPath(work)
    own = (FILE,) if rule.by == "position" else ()
    reading = Reading(
        MAP, (finite_coordinates(),), (), ORDER, (), rule.radius_arcsec, tell_files=bool(own)
    )
    staged = []
    for chunk in plan_chunks(find_files([f"{folder}/*.parquet"]), chunk_rows):
        name = chunk_name(chunk)
        place = root / "staging"
        staged.append(StagedChunk(place / f"{name}.arrow", place / f"{name}.parquet"))
        stage_chunk(PlannedChunk(chunk, name, "x", reading, staged[-1]))
    counts = [chunk.read_counts(ORDER) for chunk in staged]
    split = split_sky(PixelCounts.merge(counts, ORDER), max_rows)
    parts = chunks_of([partition for partition, _ in split], [c.pixels for c in counts], ORDER)
    tables = []
    for (partition, rows), chunks in zip(split, parts, strict=True):
        of_it = tuple(staged[k] for k in chunks)
        made = write_partition(WorkDirectory(root), partition, of_it, rule, own)
        (cut,) = made.facts["cuts"]
        assert cut[2] == rows
        assert cut[2] - cut[3] == made.rows
        tables.append(HatsCatalogue(root / "catalog").read(partition))
    return pa.concat_tables(tables)


def tile(rng: np.random.Generator, n: int, place: str) -> dict[str, np.ndarray]:
    """Draw sources a few arcsec from each other, with seams of partitions between them."""
    spread = 12.0 / 3600
    if place == "RA 0":
        ra, dec = rng.normal(0, spread, n) % 360, rng.normal(0, spread, n)
    elif place == "pole":
        ra, dec = rng.uniform(0, 360, n), 90 - np.abs(rng.normal(0, spread, n))
    else:  # where four base pixels meet
        ra, dec = 45 + rng.normal(0, spread, n), np.degrees(np.arcsin(2 / 3))
        dec = dec + rng.normal(0, spread, n)
    return {
        "id": rng.choice([f"s{k}" for k in range(4)], n),
        "ra": ra,
        "dec": dec,
        "r": rng.uniform(18, 22, n).astype(np.float32),
        "err_r": rng.permutation(n).astype(np.float32) / n,
    }


@pytest.mark.parametrize("by", ["identifier", "position"])
@pytest.mark.parametrize("place", ["RA 0", "pole", "corner"])
@given(seed=st.integers(0, 2**32), max_rows=st.integers(60, 200), chunk_rows=st.integers(5, 80))
@settings(max_examples=8, deadline=None)
def test_duplicates_are_those_of_one_table(by, place, seed, max_rows, chunk_rows, tmp_path_factory):
    rng = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("tiles")
    whole, shared = [], {name: tile(rng, 4, place)[name] for name in ("id", "ra", "dec")}
    for number in range(3):
        columns = tile(rng, 60, place)
        columns["err_r"] += np.float32(number / 1000)  # no two rows alike
        for name, values in shared.items():
            columns[name][:4] = values  # what all tiles list
        pq.write_table(pa.table(columns), folder / f"tile-{number}.parquet")
        whole.append(
            pa.table({"name": columns["id"], "ra": columns["ra"], "dec": columns["dec"]})
            .append_column("mag_err_r", [columns["err_r"]])
            .append_column(FILE, [np.full(60, number)])
        )
    rule = DuplicateRule(by, 1.0, "r", FILE if by == "position" else None)
    table = pa.concat_tables(whole).combine_chunks()
    expected = table.filter(pa.array(~doubled_rows(table, rule)))
    found = ingested(folder, folder / "work", max_rows, chunk_rows, rule)
    assert FILE not in found.column_names
    key = ["name", "ra", "dec", "mag_err_r"]
    sort = [(name, "ascending") for name in key]
    assert found.select(key).sort_by(sort).equals(expected.select(key).sort_by(sort))
    assert 0 < found.num_rows < table.num_rows


def test_positions_off_the_sphere_are_cut_and_those_at_its_edges_kept(tmp_path):
    ra = [0.0, 360.0, -1e-15, 359.9999, -170.0, 10.0, 10.0, 10.0, np.nan, 999.0, 10.0, -9999.0]
    dec = [0.0, 0.0, 0.0, 0.0, 5.0, 90.0, -90.0, 90.001, 0.0, 0.0, np.nan, -9999.0]
    n = len(ra)
    columns = {"id": [f"s{k}" for k in range(n)], "ra": ra, "dec": dec}
    columns |= {"r": np.full(n, 20.0), "err_r": np.full(n, 0.1)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = ingested(tmp_path, tmp_path / "work", 5, 4, DuplicateRule(reference_band="r"))
    assert sorted(found["name"].to_pylist()) == [f"s{k}" for k in range(7)]
    places = dict(zip(found["name"].to_pylist(), found["ra"].to_pylist(), strict=True))
    assert [places[f"s{k}"] for k in range(5)] == [0.0, 0.0, 0.0, 359.9999, 190.0]
