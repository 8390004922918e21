"""Reductions and products of scored sources, beside DuckDB and bare dumps of the same bytes.

The sources are drawn: nine bands, what a network says of them, a label for one in 200, in HATS
catalogues of 100,000 rows a partition, the last one less. Two processes reduce and join the
partitions, as workers of a run do, and one writes the products, as its client does; all are timed
for two numbers of rows, of which a row should cost the same: by the clock, and in processor time of
all processes, which other programs on the machine disturb less. Peaks are those of the processes.

``page``: the report from the reduced tables of the many rows, and of 27,000 (but for the gallery,
which has as many stamps whatever the survey). ``group-by``: sources by class and magnitude, and by
class and p_max, from the finished products; DuckDB counts the same cells in one query over the same
files, both with two threads. ``write``: rows that lie in memory, through our writers; ready-made
records as bare dumps by NumPy (a header and the bytes) and by astropy, without checksums; the same
rows by pyarrow. All end with the bytes on the disk.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import healpy
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.io import fits

from benchmarks.record import Measurement, Ratio, Record, rates, ratio, seconds_in_turn
from kidsclf.config import Config
from kidsclf.config_file import build_config
from kidsclf.models.description import InputDescription
from kidsclf.models.files import CARD, FORMAT, Card
from kidsclf.pipeline import report
from kidsclf.pipeline.context import Context, ingest_settings
from kidsclf.pipeline.fitting import VALIDATION
from kidsclf.pipeline.product_files import write_catalogue
from kidsclf.pipeline.products import joining_tasks
from kidsclf.pipeline.reduce import questions_of, reduce_partition
from kidsclf.pipeline.tasks import Mapped, Task, perform
from kidsclf.places import files_below, place
from kidsclf.reduce.context import Context as Questions
from kidsclf.reduce.context import magnitude_slots
from kidsclf.reduce.law import merge_each, with_network
from kidsclf.reduce.questions import reductions_for
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue, column_encodings
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.products import describe, open_product
from kidsclf.store.receipts import Receipt, read_receipt, write_receipt
from kidsclf.store.records import Shape, records_of
from kidsclf.store.tables import read_json, write_json, write_table
from kidsclf.surveys.map_files import load_column_map

ROWS = {"tiny": (1_500, 6_000), "small": (400_000, 2_000_000), "full": (1_000_000, 27_335_836)}
PAGE_ROWS = {"tiny": 1_500, "small": 27_000, "full": 27_000}
PER_PARTITION = {"tiny": 2_000, "small": 100_000, "full": 100_000}
DUMPED = 1_000_000
"""Rows of the ``write`` case: they lie in memory twice."""
ORDER = 5
NETWORK, SAMPLE = "mnn", "sdss"
CLASSES = ("STAR", "QSO", "GALAXY")
BANDS = ("u", "g", "r", "i", "Z", "Y", "J", "H", "Ks")
LABELLED = 200
WORKERS = 2


@dataclass(frozen=True)
class Sky:
    """A work directory of scored sources."""

    root: Path
    rows: int
    per_partition: int

    @property
    def work(self) -> WorkDirectory:
        return WorkDirectory(place(self.root, self.config.store))

    @property
    def config(self) -> Config:
        return build_config({"survey": {"preset": "kids_dr4"}, "train": {"networks": [NETWORK]}})

    def partitions(self) -> Iterator[tuple[Partition, int]]:
        for number, first in enumerate(range(0, self.rows, self.per_partition)):
            yield Partition(ORDER, number), min(self.per_partition, self.rows - first)


def measure(size: str, repeats: int) -> Record:
    few, many = ROWS[size]
    with tempfile.TemporaryDirectory() as folder, _processes(WORKERS) as workers:
        with _processes(1) as client:
            skies = {
                name: _drawn(Sky(Path(folder) / name, rows, PER_PARTITION[size]), workers)
                for name, rows in (("page", PAGE_ROWS[size]), ("few", few), ("many", many))
            }
            costs = {
                name: [_timed(skies[name], workers, client) for _ in range(repeats)]
                for name in ("few", "many")
            }
            pages = _pages(skies, workers, client, repeats)
        grouped, group_ratio = _group_by(skies["many"], repeats)
        written, write_ratios = _write(skies["many"], repeats)
        made = {path.name: size for path, size in _files(skies["many"]).items() if size > 1e4}
    facts = {
        "rows": f"{few:,} and {many:,}",
        "bytes": ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in made.items()),
        "workers": WORKERS,
        "duckdb": duckdb.__version__,
    }
    return Record(
        "products",
        size,
        (*_measurements(costs["many"], many), *pages, *grouped, *written),
        (
            *_costs_of_a_row(costs, few, many),
            ratio(*pages, 1.5, at_least=False),
            *(group_ratio, *write_ratios),
        ),
        facts,
    )


@contextmanager
def drawn_run(rows: int, per_partition: int) -> Iterator[WorkDirectory]:
    """Give a work directory of drawn sources as a run leaves it, products included."""
    with tempfile.TemporaryDirectory() as folder, _processes(WORKERS) as workers:
        sky = _drawn(Sky(Path(folder) / "work", rows, per_partition), workers)
        with _processes(1) as client:
            _timed(sky, workers, client)
        (sky.root / "run.toml").write_text(
            f'[survey]\npreset = "kids_dr4"\ncatalogue = ["drawn"]\n'
            f'[samples.{SAMPLE}]\npreset = "sdss_specobj"\n[train]\nnetworks = ["{NETWORK}"]\n'
        )
        yield sky.work


@dataclass(frozen=True)
class Cost:
    """Seconds of each step, by the clock and of the processor, and peaks of processes, GiB."""

    seconds: Mapping[str, float]
    processor: Mapping[str, float]
    peaks: Mapping[str, float]


@dataclass(frozen=True)
class Spent:
    """What a part of the work took of one process."""

    seconds: float
    processor: float
    peak_gib: float


def _timed(sky: Sky, workers: ProcessPoolExecutor, client: ProcessPoolExecutor) -> Cost:
    """Reduce, join, merge and write, one after the other."""
    seconds, processor, peaks = {}, {}, {}
    partitions = [partition for partition, _ in sky.partitions()]
    for step, work in (("reduce", _reduce), ("join", _join)):
        started = time.perf_counter()
        parts = list(workers.map(_spent, repeat(work), repeat(sky), partitions))
        seconds[step] = time.perf_counter() - started
        processor[step] = sum(part.processor for part in parts)
        peaks[f"{step} worker"] = max(part.peak_gib for part in parts)
    for step, work in (("merge", _merge), ("write products", _write_products)):
        whole = client.submit(_spent, work, sky).result()
        seconds[step], processor[step] = whole.seconds, whole.processor
        peaks[f"{step} client"] = whole.peak_gib
    return Cost(seconds, processor, peaks)


def _spent(work: Callable[..., None], *arguments: object) -> Spent:
    """Work in this process, and say what that took."""
    _forget_peak()
    started, used = time.perf_counter(), time.process_time()
    work(*arguments)
    return Spent(time.perf_counter() - started, time.process_time() - used, _peak_gib())


def _measurements(costs: list[Cost], rows: int) -> Iterator[Measurement]:
    for step in costs[0].seconds:
        yield rates(step, "speed", "rows/s", rows, [cost.seconds[step] for cost in costs])
        spent = [1e6 * cost.processor[step] / rows for cost in costs]
        yield Measurement(step, "processor time of a row", "us", tuple(spent))
    whole = [sum(cost.seconds.values()) for cost in costs]
    yield Measurement("all of it", "time", "s", tuple(whole))
    for who in costs[0].peaks:
        yield Measurement(who, "peak", "GiB", tuple(cost.peaks[who] for cost in costs))


def _costs_of_a_row(costs: Mapping[str, list[Cost]], few: int, many: int) -> Iterator[Ratio]:
    """Compare what a row costs among many rows and among few."""
    for kind, quantity in (("seconds", "cost of a row"), ("processor", "processor time")):
        each = {
            name: Measurement(
                f"{rows:,} rows",
                quantity,
                "s",
                tuple(sum(getattr(cost, kind).values()) / rows for cost in costs[name]),
            )
            for name, rows in (("few", few), ("many", many))
        }
        yield ratio(each["many"], each["few"], 1.2, at_least=False)


@contextmanager
def _processes(number: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(number, mp_context=get_context("spawn")) as pool:
        yield pool


def _forget_peak() -> None:
    """Let the peak of this process begin anew (Linux, proc(5))."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_gib() -> float:
    """Tell the peak of this process since it was forgotten."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) / 1024**2


def _reduce(sky: Sky, partition: Partition) -> None:
    asked = _asked(sky)
    reduce_partition(sky.work, partition, NETWORK, asked, (SAMPLE,), sky.config, BANDS, "r")


def _join(sky: Sky, partition: Partition) -> None:
    context = _context(sky)
    (task,) = (each for each in _tasks(context) if each.name == partition.label)
    receipt = read_receipt(sky.work.receipts, "products", partition.label)
    if receipt is not None:
        (sky.root / "receipts/products" / f"{ORDER}_{partition.pixel}.json").unlink()
    perform(task, sky.work)


_KNOWN: dict[Path, list[Task]] = {}


def _tasks(context: Context) -> list[Task]:
    """Plan once a process."""
    root = Path(context.work.root)
    if root not in _KNOWN:
        _KNOWN[root] = joining_tasks(context)
    return _KNOWN[root]


def _merge(sky: Sky) -> None:
    """Merge the states of all reductions and write their tables."""
    asked = _asked(sky)
    reductions = reductions_for(asked)
    paths = sorted(sky.work.reduced(NETWORK).glob("*.json"))
    merged = merge_each(reductions, (read_json(path) for path in paths))
    for reduction in reductions:
        table = reduction.finish(merged[reduction.name], asked)
        if reduction.name != "sky":
            table = with_network(table, NETWORK)
        write_table(sky.work.metrics / f"{reduction.name}.parquet", table)


def _write_products(sky: Sky) -> None:
    write_catalogue(_context(sky))


def _pages(
    skies: Mapping[str, Sky],
    workers: ProcessPoolExecutor,
    client: ProcessPoolExecutor,
    repeats: int,
) -> list[Measurement]:
    """Time the page of the many rows and of few, in processor time of one process, in turn."""
    small = skies["page"]
    list(workers.map(_reduce, repeat(small), [partition for partition, _ in small.partitions()]))
    client.submit(_merge, small).result()
    taken: dict[str, list[float]] = {"many": [], "page": []}
    for _ in range(repeats):
        for name, found in taken.items():
            found.append(client.submit(_spent, _write_page, skies[name]).result().processor)
    return [
        Measurement(f"page of {skies[name].rows:,} rows", "processor time", "s", tuple(found))
        for name, found in taken.items()
    ]


def _write_page(sky: Sky) -> None:
    (sky.work.metrics / "gallery.parquet").unlink(missing_ok=True)
    write_json(sky.work.metrics / "summary.json", {"rows_out": sky.rows})
    report.run(_context(sky))


class Kept:
    """Does no task: the workers have done them."""

    def __init__(self, work: WorkDirectory) -> None:
        self.work = work

    def ask(self, answer: Callable[[Any], Any], asked: Mapping[str, Any]) -> Iterator[Any]:
        return map(answer, asked.values())

    def map(self, tasks: list[Task]) -> Mapped:
        receipts = [read_receipt(self.work.receipts, task.stage, task.name) for task in tasks]
        return Mapped(tuple(receipts), 0, 0.0)


def _context(sky: Sky) -> Context:
    config = sky.config
    return Context(config, sky.work, load_column_map(config.survey.preset), {}, Kept(sky.work))


def _asked(sky: Sky) -> Questions:
    return questions_of(_context(sky))


def _files(sky: Sky) -> dict[Path, int]:
    """List the products with their bytes; those of HATS as one."""
    found = files_below(sky.work.products)
    inside = sum(size for path, size in found.items() if "/dataset/" in str(path))
    beside = {p: size for p, size in found.items() if p.parent == sky.work.products}
    return {Path("HATS"): inside, **beside}


def _group_by(sky: Sky, repeats: int) -> tuple[list[Measurement], Ratio]:
    store, asked = HatsCatalogue(sky.work.products / "catalog"), _asked(sky)
    partitions = [partition for partition, _ in sky.partitions()]
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        with ThreadPoolExecutor(WORKERS) as threads:
            counted = threads.map(lambda each: _cells(store, each, asked), partitions)
            found["ours"] = sum(counted)

    pattern = f"{store.root}/dataset/*/*/*.parquet"
    query = f"""
        SELECT "class", CAST(ceil((CAST(r AS DOUBLE) - 15) / 0.5) AS INT),
               CAST(floor(CAST(p_max AS DOUBLE) * 50) AS INT), count(*)
        FROM read_parquet('{pattern}', hive_partitioning = false) GROUP BY ALL
    """

    def theirs() -> None:
        with duckdb.connect(config={"threads": WORKERS}) as connection:
            found["theirs"] = connection.execute(query).fetchnumpy()

    taken = seconds_in_turn({"kidsclf": ours, "DuckDB": theirs}, repeats)
    columns = list(found["theirs"].values())
    for code, name in enumerate(CLASSES):
        for slot in range(1, 17):
            same = (columns[0] == name) & (columns[1] == slot)
            assert columns[3][same].sum() == found["ours"][code, slot], (name, slot)
    measured = [Measurement(f"group-by {k}", "time", "s", v) for k, v in taken.items()]
    return measured, ratio(*measured, 5.0, at_least=False)


def _cells(store: HatsCatalogue, partition: Partition, asked: Questions) -> np.ndarray:
    """Count by class and magnitude slot, and by class and fiftieth of p_max."""
    table = store.read(partition, ["r", "class", "p_max"])
    codes = pc.index_in(table["class"], pa.array(CLASSES)).to_numpy()
    slots = magnitude_slots(table["r"].to_numpy(), asked)
    bins = np.minimum((table["p_max"].to_numpy() * np.float32(50)).astype(np.int64), 49)
    by_magnitude = np.bincount(codes * asked.slots + slots, minlength=3 * asked.slots)
    by_p_max = np.bincount(codes * 50 + bins, minlength=150)
    return np.hstack([by_magnitude.reshape(3, asked.slots), by_p_max.reshape(3, 50)])


def _write(sky: Sky, repeats: int) -> tuple[list[Measurement], list[Ratio]]:
    """Write rows that lie in memory; a rate is in bytes of the finished file."""
    store, parts, held = HatsCatalogue(sky.work.products / "catalog"), [], 0
    for partition, rows in sky.partitions():
        if held and held + rows > DUMPED:
            break
        parts.append(store.read(partition))
        held += rows
    table = pa.concat_tables(parts)
    columns = describe(table.schema, Shape.of(table))
    records = records_of(table, [each for each in columns if each.name != SPATIAL_INDEX])
    out = sky.root / "dump"

    def ours(form: str) -> Callable[[], None]:
        def write() -> None:
            with open_product(form, out / form, table.schema, columns, {}) as append:
                for part in parts:
                    append(part)

        return write

    subjects = {
        "write FITS kidsclf": ours("fits"),
        "write FITS NumPy": lambda: _bare_bytes(out / "numpy", records),
        "write FITS astropy": lambda: _bare_fits(out / "astropy", records),
        "write Parquet kidsclf": ours("parquet"),
        "write Parquet pyarrow": lambda: _bare_parquet(out / "pyarrow", table),
    }
    taken = seconds_in_turn(subjects, repeats)
    names = dict(zip(subjects, ("fits", "numpy", "astropy", "parquet", "pyarrow"), strict=True))
    measured = {
        name: rates(name, "speed", "MB/s", (out / names[name]).stat().st_size / 1e6, seconds)
        for name, seconds in taken.items()
    }
    fits_ours, bare, astropy, parquet_ours, pyarrow = measured.values()
    ratios = [
        ratio(fits_ours, bare, 0.5),
        ratio(fits_ours, astropy, 0.5),
        ratio(parquet_ours, pyarrow, 0.5),
    ]
    return list(measured.values()), ratios


def _bare_bytes(path: Path, records: np.ndarray) -> None:
    header = fits.BinTableHDU(records[:0]).header
    header["NAXIS2"] = len(records)
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        file.write(header.tostring().encode("ascii"))
        file.write(records.data)
        file.write(bytes(-records.nbytes % 2880))
        os.fsync(file.fileno())


def _bare_fits(path: Path, records: np.ndarray) -> None:
    with path.open("wb") as file:
        fits.BinTableHDU(records).writeto(file)
        os.fsync(file.fileno())


def _bare_parquet(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", **column_encodings(table.schema))
        os.fsync(file.fileno())


def _drawn(sky: Sky, workers: ProcessPoolExecutor) -> Sky:
    """Write the catalogue, the scores, the labels, and the receipts of a run that has made them."""
    partitions, rows = zip(*sky.partitions(), strict=True)
    list(workers.map(_draw, repeat(sky), partitions, rows))
    context = _context(sky)
    labels = {partition.label: partition.label for partition, _ in sky.partitions()}
    facts = {
        "asked": ingest_settings(context),
        "partitions": labels,
        "cuts": [["coordinates", "none is off the sphere", sky.rows, 0]],
        "rows_out": sky.rows,
    }
    receipts = [Receipt("ingest", "summary", "drawn", sky.rows, 0.0, facts=facts)]
    for partition, rows in sky.partitions():
        receipts.append(Receipt("ingest", partition.label, "drawn", rows, 0.0))
        receipts.append(Receipt("infer", f"{NETWORK}@{partition.label}", "drawn", rows, 0.0))
    for receipt in receipts:
        write_receipt(sky.work.receipts, receipt)
    card = Card(
        *(NETWORK, "classification", "drawn", InputDescription(BANDS, ("r",), 41, CLASSES)),
        *({}, 1, "drawn", {"train_rows": 0}, None, None),
    )
    record = {"format": FORMAT, **asdict(card), "description": card.description.as_dict()}
    write_json(sky.work.model(NETWORK) / CARD, record)
    said = np.random.default_rng(1).dirichlet(np.ones(len(CLASSES)), 500).astype(np.float32)
    answers = pa.table({"code": said.argmax(axis=1), "probabilities": list(said)})
    write_table(sky.work.model(NETWORK) / VALIDATION, answers)
    return sky


def _draw(sky: Sky, partition: Partition, rows: int) -> None:
    rng = np.random.default_rng(partition.pixel)
    index = np.sort(rng.integers(partition.first_index, partition.last_index, rows))
    ra, dec = healpy.pix2ang(1 << 29, index, nest=True, lonlat=True)
    numbers = pa.array(np.arange(rows) + partition.pixel * sky.per_partition)
    names = pc.binary_join_element_wise(
        "KiDSDR5 J", pc.utf8_lpad(numbers.cast(pa.string()), 9, "0"), ""
    )
    source = {SPATIAL_INDEX: index, "name": names, "ra": ra, "dec": dec}
    magnitudes = rng.uniform(15.5, 23.0, rows)[:, None] + rng.normal(0, 0.5, (rows, len(BANDS)))
    magnitudes = np.minimum(magnitudes.astype(np.float32), 23)
    photometry = {f"mag_{band}": magnitudes[:, k] for k, band in enumerate(BANDS)}
    photometry |= {f"mag_err_{band}": np.full(rows, 0.05, np.float32) for band in BANDS}
    HatsCatalogue(sky.work.catalogue).write(partition, pa.table(source | photometry))
    said = rng.dirichlet((0.3, 0.1, 0.6), rows).astype(np.float32)
    code = said.argmax(axis=1)
    kinds = np.array(CLASSES, object)[code]
    p_max = said.max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(np.where(said > 0, said * np.log(said), 0), axis=1)
    scores = {"class": kinds}
    scores |= {f"p_{name.lower()}": said[:, k] for k, name in enumerate(CLASSES)}
    scores |= {"p_max": p_max, "entropy": entropy.astype(np.float32)}
    scores |= {f"p_{name.lower()}_calibrated": said[:, k] for k, name in enumerate(CLASSES)}
    sets = np.where(p_max < 0.6, "STAR+GALAXY", kinds.astype(str)).astype(object)
    scores |= {"prediction_set": sets}
    novelty = rng.random(rows).astype(np.float32)
    scores |= {"training_distance": 3 * novelty, "novelty": novelty}
    scores |= {"flags": rng.integers(0, 2, rows).astype(np.int32)}
    HatsCatalogue(sky.work.scores(NETWORK)).write(partition, pa.table(source | scores))
    labelled = slice(0, rows, LABELLED)
    sample = {name: pa.array(values)[labelled] for name, values in source.items()}
    sample["label"] = pa.array(kinds[labelled])
    HatsCatalogue(sky.work.sample(SAMPLE)).write(partition, pa.table(sample))
