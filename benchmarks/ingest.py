"""Ingest of a multi-file FITS catalogue against ``hats-import``, each on two fresh workers.

Both read the same columns of the same tables of 50,000 rows (KiDS's), split the sky at 100,000 rows
and write HATS; time runs from the plan to the last file of metadata, without the start of the
cluster. ``hats-import`` takes the columns as they are; ours are brought to canonical ones, and rows
listed twice are dropped. Memory is the largest resident size of a worker, libraries included.
"""

import shutil
import tempfile
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path

from benchmarks.ingest_runs import Run, import_folder, ingest_folder
from benchmarks.kids_tables import write_survey
from benchmarks.record import Measurement, Record, rates, ratio

ROWS = {"tiny": (20_000,), "small": (500_000,), "full": (2_000_000, 1_000_000, 10_000_000)}
"""The first is compared with the peer; of all of them the memory is told."""
_OURS, _PEER = "kidsclf", "hats-import"


def measure(size: str, repeats: int) -> Record:
    rows, *others = ROWS[size]
    peers = {_PEER: import_folder} if util.find_spec("hats_import") else {}
    subjects = {_OURS: ingest_folder, **peers}
    runs: dict[str, list[Run]] = {name: [] for name in subjects}
    with tempfile.TemporaryDirectory(prefix="kidsclf-ingest-") as scratch:
        folder, work = Path(scratch) / "tables", Path(scratch) / "work"
        files = write_survey(folder, rows)
        for _ in range(repeats):
            for name, ingest in subjects.items():
                runs[name].append(ingest(folder, work))
                shutil.rmtree(work)
        memory = {rows: max(run.worker_gib for run in runs[_OURS])}
        for more in others:
            shutil.rmtree(folder)
            write_survey(folder, more)
            memory[more] = ingest_folder(folder, work).worker_gib
            shutil.rmtree(work)
    speeds = {name: _speeds(name, rows, each) for name, each in runs.items()}
    peaks = [
        Measurement(name, "worker memory", "GiB", tuple(run.worker_gib for run in each))
        for name, each in runs.items()
    ]
    facts = {
        "rows": rows,
        "files": len(files),
        "worker memory by rows, GiB": {f"{n:,}": round(memory[n], 2) for n in sorted(memory)},
        _PEER: metadata.version(_PEER) if peers else "not installed",
    }
    ratios = (
        ratio(ours, theirs, goal=4.0)
        for ours, theirs in zip(speeds[_OURS], speeds.get(_PEER, ()), strict=False)
    )
    measured = (*(each for of in speeds.values() for each in of), *peaks)
    return Record("ingest", size, measured, tuple(ratios), facts)


def _speeds(name: str, rows: int, runs: Sequence[Run]) -> tuple[Measurement, Measurement]:
    processor = [run.processor_seconds for run in runs]
    return (
        rates(name, "speed", "rows/s", rows, [run.seconds for run in runs]),
        rates(name, "speed a processor", "rows/s", rows, processor),
    )
