"""Matches found partition by partition are those of one match of the whole sky."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import astropy.units as u
import healpy
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord, match_coordinates_sky
from distributed import Client
from hypothesis import HealthCheck, given, settings

from kidsclf.config_file import build_config
from kidsclf.errors import InputError
from kidsclf.ingest.crossmatch import unit_vectors
from kidsclf.pipeline import ingest, match
from kidsclf.pipeline.context import Context, stage_summary
from kidsclf.pipeline.mapping import Engine
from kidsclf.pipeline.summary import cut_flow
from kidsclf.places import place
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import Partition, spatial_index
from kidsclf.sky.split import PixelCounts, split_sky
from kidsclf.store.catalogue import HatsCatalogue, sort_rows
from kidsclf.store.layout import WorkDirectory
from kidsclf.surveys.map_files import load_column_map

ARCSEC = 1 / 3600
LABEL_MAP = 'extends = "generic"\nname = "labels"\n[label]\ncolumn = "class"\n'

# Where pixels of all orders meet, three of them only, or RA begins anew; and a pole.
CORNERS = (
    (0.0, 0.0),
    (45.0, 0.0),
    (45.0, 41.8103148957786),
    (315.0, -41.8103148957786),
    (0.0, 90.0),
    (123.0, -90.0),
    (359.99999, 12.3),
)


class Silent:
    """Watches a stage and says nothing."""

    def start(self, stage, tasks, skipped, rows, workers): ...
    def advance(self, rows, seconds): ...
    def leave_out(self, task, reason): ...
    def finish(self): ...


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0"
    ) as found:
        yield found


@pytest.fixture(scope="module")
def label_map(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("map") / "labels.toml"
    path.write_text(LABEL_MAP)
    return path


def open_run(client, folder, label_map, work, *, ingest, **samples) -> Context:
    """Make the context of a run over the catalogue in a folder, as the command does."""
    config = build_config(
        {
            "survey": {"preset": str(label_map), "catalogue": [str(folder / "catalogue.parquet")]},
            "ingest": ingest,
            "samples": {
                name: {"preset": str(label_map), **sample} for name, sample in samples.items()
            },
        }
    )
    work = WorkDirectory(place(work, config.store))
    maps = {name: load_column_map(each.preset) for name, each in config.samples.items()}
    engine = Engine(client, work, Silent())
    return Context(config, work, load_column_map(config.survey.preset), maps, engine)


def pairs_of(context, name="labels") -> set[tuple[str, str]]:
    """Read which source got which label, from all files of a sample."""
    store = HatsCatalogue(context.work.sample(name))
    if not (store.root / "partition_info.csv").exists():
        return set()
    tables = [store.read(partition) for partition in store.partitions()]
    for partition, table in zip(store.partitions(), tables, strict=True):
        assert partition.contains(table[SPATIAL_INDEX].to_numpy()).all()
        assert table["separation_arcsec"].to_numpy().max() <= context.config.samples[
            name
        ].radius_arcsec * (1 + 1e-7)
    rows = pa.concat_tables(tables)
    assert len(set(rows["name"].to_pylist())) == rows.num_rows
    return set(zip(rows["name"].to_pylist(), rows["label_name"].to_pylist(), strict=True))


def table_of(prefix: str, ra, dec) -> pa.Table:
    names = [f"{prefix}{number:06d}" for number in range(len(ra))]
    return pa.table({"id": names, "ra": ra, "dec": dec, "class": ["STAR"] * len(ra)})


def in_sky_order(table: pa.Table) -> pa.Table:
    index = spatial_index(table["ra"].to_numpy(), table["dec"].to_numpy())
    table = table.append_column(SPATIAL_INDEX, pa.array(index))
    return table.sort_by([(SPATIAL_INDEX, "ascending"), ("id", "ascending")])


def whole_sky(sources: pa.Table, labels: pa.Table, radius: float, kind: str):
    """Look at every pair; of equals the first in the order of the sky, then of the name, counts."""
    sources, labels = in_sky_order(sources), in_sky_order(labels)
    one, other = (unit_vectors(t["ra"].to_numpy(), t["dec"].to_numpy()) for t in (sources, labels))
    chords = np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=2))
    apart = np.degrees(2 * np.arcsin(chords / 2)) * 3600
    theirs, ours = chords.argmin(axis=1), chords.argmin(axis=0)
    return {
        (sources["id"][i].as_py(), labels["id"][int(j)].as_py())
        for i, j in enumerate(theirs)
        if apart[i, j] <= radius and (kind == "nearest" or ours[j] == i)
    }


def scattered(rng: np.random.Generator, n: int, centre, scale_arcsec: float, *, grid: bool):
    """Draw positions round a place, on a tangent plane; on a grid many distances are equal."""
    offsets = rng.normal(0, scale_arcsec, (n, 2))
    if grid:
        offsets = np.round(offsets / (scale_arcsec / 3)) * (scale_arcsec / 3)
    sky = SkyCoord(*centre, unit="deg").spherical_offsets_by(
        offsets[:, 0] * u.arcsec, offsets[:, 1] * u.arcsec
    )
    return np.mod(sky.ra.deg, 360.0), np.clip(sky.dec.deg, -90.0, 90.0)


@st.composite
def skies(draw):
    """Draw sources and labels at a few corners of the sky, and how everything is cut up."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    radius = draw(st.sampled_from([0.4, 1.0, 7.0, 60.0]))
    grid = draw(st.booleans())
    centres = draw(st.lists(st.sampled_from(CORNERS), min_size=1, max_size=3, unique=True))
    tables = []
    for prefix in "SL":
        parts = [
            scattered(rng, draw(st.integers(1, 60)), centre, 3 * radius, grid=grid)
            for centre in centres
        ]
        ra, dec = np.concatenate(parts, axis=1)
        table = table_of(prefix, ra, dec)
        tables.append(table.take(rng.permutation(len(ra))))
    return {
        "sources": tables[0],
        "labels": tables[1],
        "radius": radius,
        "match": draw(st.sampled_from(["mutual", "nearest"])),
        "max_rows": draw(st.integers(3, 40)),
        "max_order": draw(st.integers(6, 15)),
        "chunk_rows": draw(st.integers(7, 200)),
        "label_rows": draw(st.none() | st.integers(3, 60)),
    }


def write_hats(table: pa.Table, root: Path, max_rows: int, finest: int) -> None:
    """Write a table as a HATS catalogue that is split on its own."""
    index = spatial_index(table["ra"].to_numpy(), table["dec"].to_numpy())
    table = table.rename_columns({"id": "name"}).append_column(SPATIAL_INDEX, pa.array(index))
    table = sort_rows(table)
    index = table[SPATIAL_INDEX].to_numpy()
    counts = PixelCounts.of_indices(index, finest)
    max_rows = max(max_rows, int(counts.rows.max()))
    store = HatsCatalogue(root)
    split = split_sky(counts, max_rows)
    for partition, _ in split:
        own = table.filter(pa.array(partition.contains(index)))
        store.write(partition, own.rename_columns({"name": "id"}))
    store.finish("labels", split)


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sky=skies())
def test_any_partitioning_gives_the_match_of_the_whole_sky(client, label_map, sky):
    finest = sky["max_order"]
    fullest = PixelCounts.of_indices(
        spatial_index(sky["sources"]["ra"].to_numpy(), sky["sources"]["dec"].to_numpy()), finest
    ).rows.max()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(sky["sources"], folder / "catalogue.parquet")
        if sky["label_rows"] is None:
            tables = folder / "labels.parquet"
            pq.write_table(sky["labels"], tables)
        else:
            tables = folder / "labels"
            write_hats(sky["labels"], tables, sky["label_rows"], 12)
        context = open_run(
            client,
            folder,
            label_map,
            folder / "work",
            ingest={
                "max_rows": max(sky["max_rows"], int(fullest)),
                "max_order": finest,
                "chunk_rows": sky["chunk_rows"],
            },
            labels={
                "tables": [str(tables)],
                "radius_arcsec": sky["radius"],
                "match": sky["match"],
            },
        )
        ingest.run(context)
        match.run(context)
        expected = whole_sky(sky["sources"], sky["labels"], sky["radius"], sky["match"])
        assert pairs_of(context) == expected


@pytest.fixture(scope="module")
def wide_sky(client, label_map, tmp_path_factory) -> Path:
    """An ingested sky, dense at corners; a label near most sources, and labels near none."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("wide")
    parts = [scattered(rng, 2000, centre, 120.0, grid=False) for centre in CORNERS]
    parts.append((rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))))
    ra, dec = np.concatenate(parts, axis=1)
    pq.write_table(table_of("S", ra, dec), folder / "catalogue.parquet")
    chosen = rng.permutation(len(ra))[:9000]
    sky = SkyCoord(ra[chosen], dec[chosen], unit="deg").directional_offset_by(
        rng.uniform(0, 360, 9000) * u.deg, rng.rayleigh(1.0, 9000) * u.arcsec
    )
    ra2 = np.append(sky.ra.deg, rng.uniform(0, 360, 500))
    dec2 = np.append(sky.dec.deg, np.degrees(np.arcsin(rng.uniform(-1, 1, 500))))
    pq.write_table(table_of("L", ra2, dec2), folder / "labels.parquet")
    write_hats(pq.read_table(folder / "labels.parquet"), folder / "labels", 700, 12)
    ingest.run(open_wide(client, label_map, folder, folder, tables=[]))
    return folder


def open_wide(client, label_map, wide_sky, folder, **sample) -> Context:
    return open_run(
        client,
        wide_sky,
        label_map,
        folder / "work",
        ingest={"max_rows": 1000, "max_order": 12},
        labels=sample,
    )


def run_wide(client, label_map, wide_sky, folder, **sample) -> Context:
    shutil.copytree(wide_sky / "work", folder / "work", dirs_exist_ok=True)
    context = open_wide(client, label_map, wide_sky, folder, **sample)
    match.run(context)
    return context


@pytest.mark.parametrize("tables", ["labels.parquet", "labels"])
@pytest.mark.parametrize("kind", ["mutual", "nearest"])
def test_pairs_are_those_of_astropy(client, label_map, wide_sky, tmp_path, tables, kind):
    context = run_wide(
        client, label_map, wide_sky, tmp_path,
        tables=[str(wide_sky / tables)], radius_arcsec=2.0, match=kind,
    )  # fmt: skip
    sources, labels = (pq.read_table(wide_sky / f"{n}.parquet") for n in ("catalogue", "labels"))
    one, other = (SkyCoord(t["ra"], t["dec"], unit="deg") for t in (sources, labels))
    theirs, apart, _ = match_coordinates_sky(one, other)
    ours, _, _ = match_coordinates_sky(other, one)
    near = apart.arcsec <= 2.0
    if kind == "mutual":
        near &= ours[theirs] == np.arange(len(one))
    names = (sources["id"].to_numpy()[near], labels["id"].to_numpy()[theirs[near]])
    expected = set(zip(*map(list, names), strict=True))
    assert pairs_of(context) == expected
    assert len(expected) > 6000


@pytest.mark.stilts
@pytest.mark.skipif(shutil.which("stilts") is None, reason="the Debian package stilts is absent")
@pytest.mark.parametrize("kind", ["mutual", "nearest"])
def test_pairs_are_those_of_stilts(client, label_map, wide_sky, tmp_path, kind):
    """TOPCAT's engine: ``best1`` gives each source its nearest label, ``best2`` the reverse."""
    context = run_wide(
        client, label_map, wide_sky, tmp_path,
        tables=[str(wide_sky / "labels.parquet")], radius_arcsec=2.0, match=kind,
    )  # fmt: skip
    for name in ("catalogue", "labels"):
        table = pq.read_table(wide_sky / f"{name}.parquet")
        lines = zip(*(table[column].to_pylist() for column in ("id", "ra", "dec")), strict=True)
        rows = [f"{source},{ra!r},{dec!r}" for source, ra, dec in lines]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,ra,dec", *rows]) + "\n")
    found = stilts_pairs(tmp_path, "best1")
    if kind == "mutual":
        found &= stilts_pairs(tmp_path, "best2")
    assert pairs_of(context) == found


def stilts_pairs(folder: Path, find: str) -> set[tuple[str, str]]:
    subprocess.run(
        [
            "stilts", "tmatch2", "matcher=sky", "params=2.0", f"find={find}", "join=1and2",
            "in1=catalogue.csv", "in2=labels.csv", "ifmt1=csv", "ifmt2=csv",
            "values1=ra dec", "values2=ra dec", "suffix1=_1", "suffix2=_2", "fixcols=all",
            "ocmd=keepcols 'id_1 id_2'", "out=pairs.csv", "ofmt=csv", "progress=none",
        ],
        cwd=folder, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    lines = (folder / "pairs.csv").read_text().split()[1:]
    return {tuple(line.split(",")) for line in lines}


def test_a_hats_sample_leaves_nothing_out_of_the_cut_flow(client, label_map, wide_sky, tmp_path):
    context = run_wide(
        client, label_map, wide_sky, tmp_path, tables=[str(wide_sky / "labels")], radius_arcsec=2.0
    )
    steps = [step.cut for step in cut_flow(context) if step.table == "labels"]
    assert steps[0].rows_in == pq.read_metadata(wide_sky / "labels.parquet").num_rows
    for before, after in pairwise(steps):
        assert after.rows_in == before.rows_out
    assert steps[-1].rows_out == len(pairs_of(context))
    assert not (context.work.staging / "samples").exists(), "a HATS sample was staged"


def test_a_partition_far_from_all_labels_is_not_read(client, label_map, wide_sky, tmp_path):
    """Its file may even be unreadable: nothing of it is needed."""
    one = pq.read_table(wide_sky / "catalogue.parquet").slice(0, 1).to_pydict()
    pq.write_table(table_of("L", one["ra"], one["dec"]), tmp_path / "one.parquet")
    shutil.copytree(wide_sky / "work", tmp_path / "work")
    context = open_wide(
        client, label_map, wide_sky, tmp_path, tables=[str(tmp_path / "one.parquet")]
    )
    label = int(spatial_index(one["ra"], one["dec"])[0])
    store = HatsCatalogue(context.work.catalogue)
    spoilt = [each for each in store.partitions() if not near(each, label)]
    assert len(spoilt) > 20
    for partition in spoilt:
        store.path(partition).write_bytes(b"no table")
    outcome = match.run(context)
    assert len(pairs_of(context)) == 1
    assert outcome.tasks > len(spoilt)


def near(partition: Partition, index: int) -> bool:
    """Say whether a partition holds an order-29 pixel or touches the pixel that does."""
    pixel = index >> (2 * (29 - partition.order))
    around = healpy.get_all_neighbours(1 << partition.order, pixel, nest=True)
    return partition.pixel in {pixel, *around.tolist()}


def test_a_changed_label_file_is_matched_anew(client, label_map, wide_sky, tmp_path):
    labels = pq.read_table(wide_sky / "labels.parquet").slice(0, 200)
    write_hats(labels, tmp_path / "labels", 100, 12)
    context = run_wide(client, label_map, wide_sky, tmp_path, tables=[str(tmp_path / "labels")])
    before = pairs_of(context)
    assert match.run(context).skipped == match.run(context).tasks, "the second run did it again"
    shutil.rmtree(tmp_path / "labels")
    write_hats(labels.slice(0, 50), tmp_path / "labels", 100, 12)
    match.run(context)
    after = pairs_of(context)
    assert after < before
    assert {label for _, label in after} <= set(labels["id"].to_pylist()[:50])


def test_a_damaged_hats_sample_is_named(client, label_map, wide_sky, tmp_path):
    shutil.copytree(wide_sky / "labels", tmp_path / "labels")
    victim = next((tmp_path / "labels").rglob("Npix=*.parquet"))
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot be read .*anew") as caught:
        run_wide(client, label_map, wide_sky, tmp_path, tables=[str(tmp_path / "labels")])
    assert str(victim) in str(caught.value)
    (tmp_path / "labels" / "partition_info.csv").unlink()
    (tmp_path / "labels" / "hats.properties").write_text("nonsense\n")
    with pytest.raises(InputError, match="its metadata cannot be read"):
        run_wide(client, label_map, wide_sky, tmp_path, tables=[str(tmp_path / "labels")])


def test_facts_of_the_summary(client, label_map, wide_sky, tmp_path):
    context = run_wide(
        client, label_map, wide_sky, tmp_path, tables=[str(wide_sky / "labels.parquet")]
    )
    facts = stage_summary(context, "match").facts
    assert facts["matched"] == {"labels": len(pairs_of(context))}
