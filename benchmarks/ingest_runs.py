"""Ingests of FITS tables on two fresh workers: what they took and needed."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distributed import Client, LocalCluster
from upath import UPath

from benchmarks.kids_tables import COLUMNS
from kidsclf.config_file import build_config
from kidsclf.pipeline import ingest
from kidsclf.pipeline.context import Context
from kidsclf.pipeline.mapping import Engine
from kidsclf.store.layout import WorkDirectory
from kidsclf.surveys.map_files import load_column_map

GIB = 1024.0**3


class Silence:
    """Hears how a stage goes on, and says nothing."""

    def start(self, stage: str, tasks: int, skipped: int, rows: int, workers: int) -> None: ...
    def advance(self, rows: int, seconds: float) -> None: ...
    def leave_out(self, task: str, reason: str) -> None: ...
    def finish(self) -> None: ...


@dataclass(frozen=True)
class Run:
    """One ingest, without the start of its cluster.

    ``processor_seconds`` are those of workers and client together: on a machine that others use
    too they say more than the wall clock.
    """

    seconds: float
    processor_seconds: float
    worker_gib: float
    client_gib: float
    catalogue_gib: float


def ingest_folder(folder: Path, work: Path) -> Run:
    """Ingest the FITS tables of a folder: every row, as a peer without cuts does."""
    raw = {
        "survey": {"preset": "kids_dr4", "catalogue": [f"{folder}/*.fits"]},
        "ingest": {"require_bands": []},
    }
    config, place = build_config(raw), WorkDirectory(UPath(work))

    def run(client: Client) -> object:
        engine = Engine(client, place, Silence())
        return ingest.run(Context(config, place, load_column_map("kids_dr4"), {}, engine))

    return _watched(run, work)


def import_folder(folder: Path, work: Path) -> Run:
    """Let ``hats-import`` do the same."""
    from hats_import.catalog.arguments import ImportArguments
    from hats_import.catalog.file_readers import FitsReader
    from hats_import.pipeline import pipeline_with_client

    work.mkdir()
    arguments = ImportArguments(
        output_path=work,
        output_artifact_name="catalog",
        input_file_list=sorted(folder.glob("*.fits")),
        file_reader=FitsReader(chunksize=500_000, column_names=list(COLUMNS)),
        ra_column="RAJ2000",
        dec_column="DECJ2000",
        pixel_threshold=100_000,
        highest_healpix_order=10,
        progress_bar=False,
        resume=False,
    )
    return _watched(lambda client: pipeline_with_client(arguments, client), work)


def _watched(run: Callable[[Client], object], work: Path) -> Run:
    """Run on fresh workers, so that their peak of memory is that of one run."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="4GiB", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        before, started = _processor_seconds(client), time.perf_counter()
        run(client)
        seconds, spent = time.perf_counter() - started, _processor_seconds(client) - before
        peaks = client.run(_own_peak).values()
    written = sum(path.stat().st_size for path in (work / "catalog").rglob("Npix=*.parquet"))
    return Run(seconds, spent, max(peaks), _own_peak(), written / GIB)


def _processor_seconds(client: Client) -> float:
    return sum(client.run(_own_seconds).values()) + _own_seconds()


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _own_peak() -> float:
    # Not getrusage: what it tells of a process goes back to its parent before exec.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kib = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib.split()[1]) * 1024 / GIB
