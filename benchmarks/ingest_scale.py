"""Ingest of ever more rows, to the size of a survey: time, memory and bytes, and what a row costs.

27,335,836 rows is the catalogue that Feng et al. classify. Each size is ingested by two fresh
workers; tables of 50,000 rows are written before, and not counted.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.ingest_runs import Run, ingest_folder
from benchmarks.kids_tables import write_survey
from benchmarks.record import Measurement, Ratio, Record

ROWS = {
    "tiny": (10_000, 20_000),
    "small": (250_000, 500_000),
    "full": (1_000_000, 3_000_000, 10_000_000, 27_335_836),
}


def measure(size: str, repeats: int) -> Record:
    runs = {rows: _runs(rows, repeats) for rows in ROWS[size]}
    measured = [each for rows, of in runs.items() for each in _measurements(rows, of)]
    smallest, largest = min(runs), max(runs)
    growth = tuple(
        _growth(kind, {n: runs[n] for n in (smallest, largest)})
        for kind in ("seconds", "processor_seconds")
    )
    return Record("ingest_scale", size, tuple(measured), growth, {"rows": list(runs)})


def _measurements(rows: int, runs: Sequence[Run]) -> list[Measurement]:
    values = {
        ("time", "s"): [run.seconds for run in runs],
        ("cost", "us/row"): [1e6 * run.seconds / rows for run in runs],
        ("processor cost", "us/row"): [1e6 * run.processor_seconds / rows for run in runs],
        ("worker memory", "GiB"): [run.worker_gib for run in runs],
        ("client memory", "GiB"): [run.client_gib for run in runs],
        ("catalogue", "GiB"): [run.catalogue_gib for run in runs],
    }
    return [
        Measurement(f"{rows:,} rows", quantity, unit, tuple(found))
        for (quantity, unit), found in values.items()
    ]


def _growth(kind: str, runs: Mapping[int, Sequence[Run]]) -> Ratio:
    """Compare what a row costs in the largest run with what it does in the smallest."""
    (few, small), (many, large) = runs.items()
    base = median(getattr(run, kind) / few for run in small)
    return Ratio(
        f"{many:,} rows",
        f"{few:,} rows",
        f"{kind} a row",
        tuple(getattr(run, kind) / many / base for run in large),
        goal=1.15,
        at_least=False,
    )


def _runs(rows: int, repeats: int) -> list[Run]:
    found = []
    with tempfile.TemporaryDirectory(prefix="kidsclf-scale-") as scratch:
        folder, work = Path(scratch) / "tables", Path(scratch) / "work"
        write_survey(folder, rows)
        for _ in range(repeats):
            found.append(ingest_folder(folder, work))
            shutil.rmtree(work)
    return found
