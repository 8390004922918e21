"""Match of two catalogues that are both in HATS, against LSDB, SciPy and astropy.

``even``: as many labels as sources. ``few``: a hundredth as many, the usual case. kidsclf runs its
whole stage, from opening the catalogues to the finished HATS sample with its receipts and
metadata; LSDB opens the same files and hands identifiers and separations to the client; both on
the same two worker processes. SciPy and astropy match arrays that are in memory already, in one
process. kidsclf is timed with ``nearest``, which is what the others do, and with ``mutual``. All
must find the same pairs.
"""

import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units
from astropy.coordinates import SkyCoord, match_coordinates_sky
from distributed import Client, LocalCluster
from scipy.spatial import KDTree

from benchmarks.record import Measurement, Ratio, Record, ratio, seconds_in_turn
from kidsclf.config_file import build_config
from kidsclf.ingest.crossmatch import chord, unit_vectors
from kidsclf.pipeline import ingest, match
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.mapping import Engine
from kidsclf.places import place, remove_tree
from kidsclf.sky.partition import spatial_index
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory
from kidsclf.surveys.map_files import load_column_map

SOURCES = {"tiny": (2_000, 2_000), "small": (200_000, 500_000), "full": (1_000_000, 10_000_000)}
"""Sources of ``even`` and of ``few``."""
FEW = 100
PER_SQUARE_DEGREE = 10_000
RADIUS_ARCSEC = 1.0
SCATTER_ARCSEC = 0.2
BANDS = "ugriZYJHK"
MAP = """
extends = "generic"
name = "benchmark"
bands = [{bands}]
reference_band = "r"
[label]
constant = "STAR"
[magnitudes]
column = "mag_{{band}}"
"""
LABEL_MAP = 'extends = "generic"\nname = "labels"\n[label]\nconstant = "STAR"\n'


Pairs = tuple[Any, Any]
"""Identifiers of sources and of labels; None where they were written to files."""


@dataclass(frozen=True)
class Sky:
    """Sources and labels, as arrays in memory and as HATS catalogues on disk."""

    context: Context
    labels: Path
    sources: tuple[np.ndarray, np.ndarray]
    label_positions: tuple[np.ndarray, np.ndarray]


class Silent:
    def start(self, stage: str, tasks: int, skipped: int, rows: int, workers: int) -> None: ...
    def advance(self, rows: int, seconds: float) -> None: ...
    def leave_out(self, task: str, reason: str) -> None: ...
    def finish(self) -> None: ...


def measure(size: str, repeats: int) -> Record:
    even, many = SOURCES[size]
    measured, ratios, facts = [], [], {}
    with _two_workers() as client:
        for case, sources, labels in (("even", even, even), ("few", many, many // FEW)):
            with tempfile.TemporaryDirectory() as folder:
                found = _compare(
                    case, _draw(Path(folder), client, sources, labels), client, repeats
                )
            measured += found
            ratios += _ratios(case, found)
            facts[case] = f"{sources:,} sources x {labels:,} labels"
    return Record("match", size, tuple(measured), tuple(ratios), facts)


def _ratios(case: str, measured: Sequence[Measurement]) -> Iterator[Ratio]:
    """Put all others over ours; above 1 we are the faster."""
    known = {(each.subject, each.quantity): each for each in measured}
    for name, goal in (("LSDB", 1.0), ("SciPy", None), ("astropy", None)):
        for quantity in ("time", "processor time"):
            other, ours = (known[f"{case} {n}", quantity] for n in (name, "kidsclf nearest"))
            yield ratio(other, ours, goal if quantity == "time" else None)


@contextmanager
def _two_workers() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _compare(case: str, sky: Sky, client: Client, repeats: int) -> list[Measurement]:
    """Time all in turn, then compare their pairs. The peak is that of our own warm-up runs."""
    subjects = {
        "kidsclf nearest": lambda: _kidsclf(sky, "nearest"),
        "kidsclf mutual": lambda: _kidsclf(sky, "mutual"),
        "LSDB": lambda: _lsdb(sky),
        "SciPy": lambda: _scipy(sky),
        "astropy": lambda: _astropy(sky),
    }
    subjects["kidsclf mutual"]()
    subjects["kidsclf nearest"]()
    peak_gib = max(client.run(_peak_kib).values()) / 1024**2
    expected = _written_pairs(sky)
    found: dict[str, Pairs] = {}
    cpu: dict[str, list[float]] = {name: [] for name in subjects}

    def keeping(name: str, work: Callable[[], Pairs]) -> Callable[[], None]:
        def run() -> None:
            before = _cpu_seconds(client)
            found[name] = work()
            cpu[name].append(_cpu_seconds(client) - before)

        return run

    taken = seconds_in_turn({name: keeping(name, work) for name, work in subjects.items()}, repeats)
    for name in ("LSDB", "SciPy", "astropy"):
        assert np.array_equal(_sorted_pairs(*found[name]), expected), f"{name} has other pairs"
    return [
        Measurement(f"{case} {name}", quantity, "s", tuple(values[-repeats:]))
        for quantity, of_each in (("time", taken), ("processor time", cpu))
        for name, values in of_each.items()
    ] + [Measurement(f"{case} kidsclf", "peak of a worker", "GiB", (peak_gib,) * repeats)]


def _cpu_seconds(client: Client) -> float:
    """Sum up the processor time of client and workers: what other programs disturb least."""
    return time.process_time() + sum(client.run(time.process_time).values())


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _kidsclf(sky: Sky, kind: str) -> Pairs:
    """Do the whole stage anew; its pairs stand in the sample's files."""
    work = sky.context.work
    remove_tree(work.receipts / "match")
    remove_tree(work.samples)
    settings = sky.context.config.samples["labels"].model_copy(update={"match": kind})
    config = sky.context.config.model_copy(update={"samples": {"labels": settings}})
    match.run(replace(sky.context, config=config))
    return None, None


def _written_pairs(sky: Sky) -> np.ndarray:
    store = HatsCatalogue(sky.context.work.sample("labels"))
    tables = [store.read(partition, ["name", "label_name"]) for partition in store.partitions()]
    rows = pa.concat_tables(tables)
    return _sorted_pairs(rows["name"].cast(pa.int64()), rows["label_name"].cast(pa.int64()))


def _lsdb(sky: Sky) -> Pairs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns named alike
        sources = lsdb.open_catalog(sky.context.work.catalogue, columns=["name", "ra", "dec"])
        labels = lsdb.open_catalog(sky.labels, columns=["id", "ra", "dec"])
        found = sources.crossmatch(
            labels, radius_arcsec=RADIUS_ARCSEC, n_neighbors=1, suffixes=("_1", "_2")
        )[["name_1", "id_2", "_dist_arcsec"]].compute(progress_bar=False)
    return found["name_1"], found["id_2"]


def _scipy(sky: Sky) -> Pairs:
    one, other = unit_vectors(*sky.sources), unit_vectors(*sky.label_positions)
    distance, place = KDTree(other).query(one, distance_upper_bound=chord(RADIUS_ARCSEC))
    near = np.isfinite(distance)
    return np.flatnonzero(near), place[near]


def _astropy(sky: Sky) -> Pairs:
    one, other = (SkyCoord(*each, unit="deg") for each in (sky.sources, sky.label_positions))
    place, separation, _ = match_coordinates_sky(one, other)
    near = separation <= RADIUS_ARCSEC * units.arcsec
    return np.flatnonzero(near), place[near]


def _sorted_pairs(first: Any, second: Any) -> np.ndarray:
    pairs = np.stack([np.asarray(first).astype(np.int64), np.asarray(second, np.int64)], axis=1)
    return pairs[np.lexsort(pairs.T[::-1])]


def _draw(folder: Path, client: Client, sources: int, labels: int) -> Sky:
    """Draw a field round RA 0 and write both catalogues: ours by ingest, the labels by LSDB."""
    random = np.random.default_rng(1)
    side = np.sqrt(sources / PER_SQUARE_DEGREE)
    ra, dec = random.uniform(-side / 2, side / 2, (2, sources))
    table = {"id": np.arange(sources), "ra": ra % 360.0, "dec": dec}
    for band in BANDS:
        table[f"mag_{band}"] = random.normal(22.0, 1.5, sources).astype(np.float32)
    pq.write_table(pa.table(table), folder / "sources.parquet")
    chosen = random.permutation(sources)[:labels]
    ra2, dec2 = np.array([ra, dec])[:, chosen] + random.normal(
        0, SCATTER_ARCSEC / 3600, (2, labels)
    )
    _write_labels(folder / "labels", ra2 % 360.0, dec2)
    context = _context(folder, client)
    ingest.run(context)
    return Sky(context, folder / "labels", (ra, dec), (ra2, dec2))


def _write_labels(path: Path, ra: np.ndarray, dec: np.ndarray) -> None:
    """Write a HATS collection with a margin, which LSDB needs to find pairs across borders."""
    order = np.argsort(spatial_index(ra, dec))  # LSDB leaves rows as they come
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lsdb.from_dataframe(
            pd.DataFrame({"id": order, "ra": ra[order], "dec": dec[order]}),
            ra_column="ra",
            dec_column="dec",
            partition_rows=100_000,
            margin_threshold=5.0,
        ).write_catalog(path, catalog_name="labels", as_collection=True, progress_bar=False)


def _context(folder: Path, client: Client) -> Context:
    bands = ", ".join(f'"{band}"' for band in BANDS)
    (folder / "sources.toml").write_text(MAP.format(bands=bands))
    (folder / "labels.toml").write_text(LABEL_MAP)
    config = build_config(
        {
            "survey": {
                "preset": str(folder / "sources.toml"),
                "catalogue": [str(folder / "sources.parquet")],
            },
            "samples": {
                "labels": {
                    "preset": str(folder / "labels.toml"),
                    "tables": [str(folder / "labels")],
                    "radius_arcsec": RADIUS_ARCSEC,
                }
            },
        }
    )
    work = WorkDirectory(place(folder / "work", config.store))
    survey, labels = (load_column_map(folder / f"{name}.toml") for name in ("sources", "labels"))
    return Context(config, work, survey, {"labels": labels}, Engine(client, work, Silent()))
