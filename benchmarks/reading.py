"""Reading a KiDS-like table as canonical columns: against the bare read of the same columns.

The table has 121 columns (517 bytes a row), of which the map ``kids_dr4`` wants 22. Peers: for FITS
a numpy memory map of which the 22 columns are copied to the machine's byte order, and
``astropy.table.Table``; for Parquet and CSV pyarrow reading the 22 columns with one thread. What
the peers leave undone (names, units, sentinels, coordinates) ours does. Memory: the peak of a fresh
process that reads ten chunks of the FITS table, above what it has after its imports.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from upath import UPath

from benchmarks.record import Measurement, Record, rates, ratio, seconds_in_turn
from kidsclf.surveys import load_column_map, plan_chunks, read_chunk

ROWS = {"tiny": 500, "small": 200_000, "full": 1_000_000}
SURVEY = load_column_map("kids_dr4")
WANTED = [
    *("ID", "RAJ2000", "DECJ2000", "FLUX_RADIUS"),
    *(column for band in SURVEY.photometry().values() for column in band.columns),
]
MEASURE_PEAK = """
import re, sys
from pathlib import Path
from upath import UPath
from kidsclf.surveys import load_column_map, plan_chunks, read_chunk
def peak_kib():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
survey = load_column_map("kids_dr4")
chunks = plan_chunks([UPath(sys.argv[1])], int(sys.argv[2]))
before = peak_kib()
for chunk in chunks:
    read_chunk(chunk, survey)
print(peak_kib() - before)
"""


def measure(size: str, repeats: int) -> Record:
    rows = ROWS[size]
    with tempfile.TemporaryDirectory() as folder:
        files = write_tables(Path(folder), rows)
        subjects = {f"kidsclf {name}": lambda path=path: read(path) for name, path in files.items()}
        subjects |= {
            "numpy memmap": lambda: bare_fits(files["FITS"]),
            "astropy Table": lambda: astropy_table(files["FITS"]),
            "pyarrow Parquet": lambda: pq.read_table(
                files["Parquet"], columns=WANTED, use_threads=False
            ),
            "pyarrow CSV": lambda: bare_csv(files["CSV"]),
        }
        seconds = seconds_in_turn(subjects, repeats)
        peaks = tuple(peak_mib(files["FITS"], max(1, rows // 10)) for _ in range(repeats))
    speed = {name: rates(name, "read", "rows/s", rows, each) for name, each in seconds.items()}
    return Record(
        "reading",
        size,
        (*speed.values(), Measurement("kidsclf FITS", "ten chunks, memory", "MiB", peaks)),
        (
            ratio(speed["kidsclf FITS"], speed["numpy memmap"]),
            ratio(speed["kidsclf FITS"], speed["astropy Table"]),
            ratio(speed["kidsclf Parquet"], speed["pyarrow Parquet"]),
            ratio(speed["kidsclf CSV"], speed["pyarrow CSV"]),
        ),
        {"rows": rows, "columns": 121, "columns wanted": len(WANTED)},
    )


def write_tables(folder: Path, rows: int) -> dict[str, Path]:
    table = kids_like(rows)
    files = {"FITS": "table.fits", "Parquet": "table.parquet", "CSV": "table.csv"}
    paths = {name: folder / file for name, file in files.items()}
    fits.BinTableHDU(table).writeto(paths["FITS"])
    native = {
        name: table[name].astype("U" if kind.kind == "S" else kind.newbyteorder("="))
        for name, (kind, *_) in table.dtype.fields.items()
    }
    columns = pa.table({k: v.tolist() if v.dtype.kind == "U" else v for k, v in native.items()})
    pq.write_table(columns, paths["Parquet"], row_group_size=100_000)
    pa_csv.write_csv(columns, paths["CSV"])
    return paths


def kids_like(rows: int) -> np.ndarray:
    generator = np.random.default_rng(1)
    fields = [("ID", "S29"), ("RAJ2000", ">f8"), ("DECJ2000", ">f8"), ("FLUX_RADIUS", ">f4")]
    for band in SURVEY.bands:
        kinds = ("MAG_GAAP", "MAGERR_GAAP", "FLUX_GAAP", "FLUXERR_GAAP", "EXTINCTION")
        fields += [(f"{kind}_{band}", ">f4") for kind in kinds] + [(f"FLAG_GAAP_{band}", ">i4")]
    fields += [(f"EXTRA_{k}", ">f4") for k in range(121 - len(fields))]
    table = np.zeros(rows, fields)
    table["ID"] = np.char.add(b"KiDSDR4 J", np.char.zfill(np.arange(rows).astype("S"), 18))
    table["RAJ2000"] = generator.uniform(0, 360, rows)
    table["DECJ2000"] = generator.uniform(-36, 5, rows)
    for band in SURVEY.photometry().values():
        table[band.column] = generator.uniform(15, 26, rows)
        table[band.column][generator.random(rows) < 0.1] = 99.0
        table[str(band.error)] = generator.uniform(0.001, 0.5, rows)
    return table


def read(path: Path) -> list[pa.Table]:
    return [read_chunk(chunk, SURVEY) for chunk in plan_chunks([UPath(path)], 500_000)]


def bare_fits(path: Path) -> list[np.ndarray]:
    with fits.open(path) as file:
        kind = file[1].columns.dtype.newbyteorder(">")
        start, rows = file[1].fileinfo()["datLoc"], file[1].header["NAXIS2"]
    table = np.memmap(path, kind, "r", start, (rows,))
    return [table[name].astype(table.dtype[name].newbyteorder("=")) for name in WANTED]


def astropy_table(path: Path) -> Table:
    table = Table.read(path, memmap=True)
    return Table({name: table[name] for name in WANTED}, copy=True)


def bare_csv(path: Path) -> pa.Table:
    return pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(use_threads=False),
        convert_options=pa_csv.ConvertOptions(include_columns=WANTED),
    )


def peak_mib(path: Path, chunk_rows: int) -> float:
    command = [sys.executable, "-c", MEASURE_PEAK, str(path), str(chunk_rows)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(printed) / 1024
