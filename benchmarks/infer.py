"""The stage ``infer`` against the bare network, and that against Keras: sources a second.

For each network, in turn: (a) ``keras.Model.predict`` in float32, or XGBoost's ``inplace_predict``,
on arrays in memory, as a user without this package would ask it; (b) the network made ready to
answer, on the same sources, their stamps as the stage shows them, packed: the limit; (c)
``score_partition`` over partitions of a work directory in one process; (d) the stage over a cluster
of one worker, and over the two workers of the default settings beside two bare networks in the same
two processes. A worker computes with one thread. What networks say does not matter, how many
sources are close calls does, and is told: their last layer is scaled so that the classes' odds vary
as much as those of a trained one. Of photometry alone they are taught for some epochs, as training
leaves smooth functions, whose tables are small; of stamps they have random weights. For networks of
photometry the same columns of the catalogue are read by pyarrow alone, too. Beside the time stands
processor time of all threads of the workers, which other programs on the machine disturb less.

Operations are two for each multiplication of the network as it was trained; what was made ready
needs a fifth fewer. Beside them stands what a plain matrix product in the same precision reaches in
the same process: the most that the device can be expected to do. The cost is what a million sources
take of a core (of a card, where there is one) in the whole stage; times the price of its hour it is
that of the sources.

``KERAS_BACKEND=jax python -m benchmarks infer`` measures that backend of Keras instead of
TensorFlow, ``INFER_BACKEND=openvino`` OpenVINO beside Keras on TensorFlow. Where there is an NVIDIA
card, one worker has it: then ``mnn_fast`` is measured too, the bare network and the store in
float32 beside bfloat16, and how much of the stage's time the card worked. Its goal is 0.9 of the
bare network.
"""

import collections
import functools
import importlib
import itertools
import logging
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, LocalCluster

from benchmarks.card import cards, watched
from benchmarks.engine import Silent
from benchmarks.record import Measurement, Ratio, Record, machine, rates, ratio
from kidsclf.config import Config, NeuralSettings, TreeSettings
from kidsclf.features.colours import photometry_features
from kidsclf.features.images import stack_stamps
from kidsclf.models.backend import Precision, choose_precision, prepare_backend
from kidsclf.models.description import InputDescription
from kidsclf.models.files import installed_versions, load_network, save_network
from kidsclf.models.speed import PACKAGES
from kidsclf.models.table import network_entry
from kidsclf.pipeline.fitting import BRIGHTEST, NOVELTY, VALIDATION
from kidsclf.pipeline.infer import ready, score_partition
from kidsclf.pipeline.inputs import columns_read, open_sources
from kidsclf.pipeline.mapping import Engine, Task
from kidsclf.places import files_below
from kidsclf.schema import (
    DEC,
    LABEL,
    NAME,
    RA,
    SPATIAL_INDEX,
    PackedStamps,
    error_column,
    magnitude_column,
)
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.stamp_encoding import decode_stamps
from kidsclf.store.tables import write_table
from kidsclf.train.novelty import learn_novelty

BACKEND = os.environ.get("INFER_BACKEND") or os.environ.get("KERAS_BACKEND", "tensorflow")
"""As ``infer.backend`` has it; Keras itself reads the second variable."""
NETWORKS = ("mnn", "mlp", "xgboost")
ON_A_CARD = ("mnn", "mnn_fast", "mlp")
SIZES = {
    "tiny": (300, 300, 100),
    "small": (5_000, 100_000, 2_000),
    "full": (50_000, 100_000, 5_000),
}
"""Rows of a partition with stamps and without, and rows that Keras is given."""
BANDS = tuple("ugriZYJHK")
CLASSES = ("STAR", "QSO", "GALAXY")
PARTITIONS = (Partition(2, 88), Partition(2, 91))
SIZE_PX = 41
NOISE = 2e-12
"""Maggies: a KiDS tile in r (5 sigma in 2 arcsec at 25)."""
LABELLED = 0.02
TAUGHT, EPOCHS = 2_000, 10
"""Rows that trees are grown on, networks of photometry taught, and the odds scaled by."""
OVERLAP = {"xgboost": 0.5, "keras": 0.1}
"""Magnitudes of scatter in the colour that decides the class: trees have work, networks few
close calls."""
LOG_ODDS = 4.0
"""Standard deviation of the logarithm of a class's odds."""
OF_THE_BARE, OF_THE_BARE_ON_A_CARD, OF_KERAS = 0.95, 0.9, 1.5
BIAS = 0.1
"""Standard deviation of the biases of layers of photometry: tables of several hundred pieces."""
SIDE, SIDE_ON_A_CARD, PRODUCTS = 1024, 8192, 16
"""Of the matrices that are multiplied for the most that the device can do."""
Sources = tuple[np.ndarray, Any]
"""Photometry, and stamps as (n, size, size, bands) or None."""
CLOCKS = {"sources": "wall", "of one core": "cpu"}
"""Which clock a quantity is of."""
_MIB = 1024.0**2


@dataclass(frozen=True)
class Taken:
    """Seconds by the wall clock, and of the processor by all threads of the workers."""

    wall: float
    cpu: float


def measure(size: str, repeats: int) -> Record:
    rows, more_rows, few = SIZES[size]
    names = ON_A_CARD if cards() else NETWORKS
    facts: dict[str, Any] = {"load": machine()["load_1min"], "backend": BACKEND}
    measured: dict[tuple[str, str], Measurement] = {}
    with (
        tempfile.TemporaryDirectory(prefix="kidsclf-infer-") as folder,
        workers(1) as one,
        nullcontext() if cards() else workers(2) as two,
    ):
        for name in names:
            root = Path(folder) / name
            count = rows if network_entry(name).images else more_rows
            made = one.submit(make_work, root, name, count, pure=False).result()
            memory = _largest_worker(one if two is None else two, root, name)
            found = _speeds(
                name, _in_turn(_subjects(one, two, root, name, few), repeats), made, few
            )
            if network_entry(name).images:  # the first, so nothing else has grown the processes
                of = f"{name}: stage, {1 if two is None else 2} workers"
                found[of, "memory"] = Measurement(of, "memory", "MiB", (memory,) * repeats)
            measured |= {(each.subject, each.quantity): each for each in found.values()}
            if cards():
                measured |= _of_the_card(one, root, name, repeats)
            facts[name] = made
    facts |= installed_versions((*PACKAGES, "xgboost-cpu"))
    ratios = tuple(_ratios(names, measured))
    return Record("infer", size, tuple(measured.values()), ratios, facts)


def _of_the_card(
    one: Client, root: Path, name: str, repeats: int
) -> dict[tuple[str, str], Measurement]:
    """Watch the card while the stage runs: what share of the time it works, and its memory."""
    seen = []
    for number in range(repeats):
        with watched() as watch:
            stage(one, root, name, -2 - number)
        seen.append(watch)
    of = f"{name}: card during the stage"
    busy = Measurement(of, "busy", "of the time", tuple(each.mean_busy for each in seen))
    memory = Measurement(of, "memory", "MiB", tuple(each.peak_mib for each in seen))
    return {(of, each.quantity): each for each in (busy, memory)}


@contextmanager
def workers(count: int) -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # of processes that end slowly
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _in_turn(
    subjects: Mapping[str, Callable[[], Taken]], repeats: int
) -> dict[str, tuple[Taken, ...]]:
    """Let subjects say what they took in turn, after one round that is not counted."""
    rounds = [{name: work() for name, work in subjects.items()} for _ in range(repeats + 1)]
    return {name: tuple(each[name] for each in rounds[1:]) for name in subjects}


def _subjects(
    one: Client, two: Client | None, root: Path, name: str, few: int
) -> dict[str, Callable[[], Taken]]:
    """Name what is timed."""
    numbers = itertools.count()

    def within(work: Callable[..., Taken], *arguments: object) -> Callable[[], Taken]:
        return lambda: one.submit(work, root, name, *arguments, pure=False).result()

    def bare_twice(two: Client) -> Taken:
        addresses = list(two.scheduler_info(n_workers=-1)["workers"])
        asked = [two.submit(bare, root, name, workers=[at], pure=False) for at in addresses]
        taken = [each.result() for each in asked]
        return Taken(max(each.wall for each in taken), sum(each.cpu for each in taken))

    subjects = {
        "bare": within(bare),
        "from the store": within(from_store),
        "stage, 1 worker": lambda: stage(one, root, name, next(numbers)),
        "reading": within(reading),
        "writing": within(writing),
    }
    if two is not None:
        subjects["bare, in 2 processes"] = lambda: bare_twice(two)
        subjects["stage, 2 workers"] = lambda: stage(two, root, name, next(numbers))
    else:
        subjects["bare, float32"] = within(bare, "float32")
        subjects["from the store, float32"] = within(from_store, "float32")
    if not network_entry(name).images:
        subjects["pyarrow"] = within(pyarrow_alone)
    else:
        subjects["matrix product"] = within(matrix_product)
    if network_entry(name).family == "keras":
        subjects["Keras"] = within(keras_alone, few)
    else:
        subjects["XGBoost"] = within(xgboost_alone, few)
    return subjects


def _speeds(
    name: str, taken: Mapping[str, tuple[Taken, ...]], made: Mapping[str, Any], few: int
) -> dict[tuple[str, str], Measurement]:
    """Turn seconds into sources a second, shares of (c), and operations a second."""
    done = dict.fromkeys(taken, made["rows"])
    done |= {"Keras": few, "XGBoost": few, "bare, in 2 processes": 2 * made["rows"]}
    found = {}
    for each, seconds in taken.items():
        if each == "matrix product":
            continue
        for quantity, clock in CLOCKS.items():
            of_clock = [getattr(one, clock) for one in seconds]
            speed = rates(f"{name}: {each}", quantity, "sources/s", done[each], of_clock)
            found[each, quantity] = speed
    of_stage = next(each for each in ("stage, 2 workers", "stage, 1 worker") if each in taken)
    speed = found[of_stage, "sources" if cards() else "of one core"]
    hours = tuple(1e6 / 3600 / each for each in speed.values)
    unit = f"{'card' if cards() else 'core'} hours a million"
    found[of_stage, "cost"] = Measurement(f"{name}: {of_stage}", "cost", unit, hours)
    for part in ("reading", "writing"):
        pairs = zip(taken[part], taken["from the store"], strict=True)
        shares = tuple(one.cpu / whole.cpu for one, whole in pairs)
        found[part, "share"] = Measurement(f"{name}: {part}", "share of one core", "of c", shares)
    if network_entry(name).images:  # what photometry costs is looked up in tables
        speed = found["bare", "sources" if cards() else "of one core"]
        giga = tuple(2e-9 * made["multiply_adds"] * each for each in speed.values)
        found["bare", "operations"] = Measurement(f"{name}: bare", "operations", "GFLOP/s", giga)
        of = f"{name}: matrix product"
        took = [each.wall if cards() else each.cpu for each in taken["matrix product"]]
        giga = tuple(2e-9 * PRODUCTS * _side() ** 3 / each for each in took)
        found["matrix product", "operations"] = Measurement(of, "operations", "GFLOP/s", giga)
    return found


def _ratios(
    names: Sequence[str], measured: Mapping[tuple[str, str], Measurement]
) -> Iterator[Ratio]:
    least = OF_THE_BARE_ON_A_CARD if cards() else OF_THE_BARE
    for name, quantity in itertools.product(names, CLOCKS):
        for subject, peer, goal in (
            ("from the store", "bare", least),
            ("from the store, float32", "bare, float32", least),
            ("stage, 1 worker", "bare", least),
            ("stage, 2 workers", "bare, in 2 processes", OF_THE_BARE),
            ("bare", "Keras", OF_KERAS),
            ("stage, 1 worker", "Keras", OF_KERAS),
            ("bare", "XGBoost", None),
            ("stage, 1 worker", "XGBoost", None),
            ("from the store", "pyarrow", None),
        ):
            above, below = ((f"{name}: {each}", quantity) for each in (subject, peer))
            if {above, below} <= measured.keys():
                yield ratio(measured[above], measured[below], goal)
    for name in names:
        above, below = ((f"{name}: {each}", "operations") for each in ("bare", "matrix product"))
        if below in measured:
            yield ratio(measured[above], measured[below])


def keras_alone(root: Path, name: str, few: int) -> Taken:
    """(a) Let Keras answer for some sources in float32."""
    model, (photometry, stamps) = _trained(root, name).model, _in_memory(root, name)
    given = {"photometry": photometry[:few]}
    if stamps is not None:
        codes, steps = stamps.codes[:few, ..., 0], stamps.steps[:few, 0]
        given["stamps"] = decode_stamps(codes, steps)[..., None]
    return _taken(lambda: model.predict(given, batch_size=_batch(name), verbose=0))


def xgboost_alone(root: Path, name: str, few: int) -> Taken:
    """(a) Let XGBoost answer for some sources, all at once."""
    booster, (photometry, _) = _trained(root, name).booster, _in_memory(root, name)
    booster.set_param({"nthread": 1})
    return _taken(lambda: booster.inplace_predict(photometry[:few]))


def bare(root: Path, name: str, precision: Precision | None = None) -> Taken:
    """(b) Let the network that was made ready answer for all sources."""
    network, inputs = _ready(root, name, precision), _in_memory(root, name)
    return _taken(lambda: network.predict(*inputs, _batch(name)))


def matrix_product(root: Path, name: str) -> Taken:
    """Multiply square matrices in the precision of the network, and do nothing else."""
    _ready(root, name)  # brings the backend
    import keras

    settings = _config(name).infer
    precision = choose_precision(settings.precision, settings.answering_backend)
    values = np.random.default_rng(1).normal(0, _side() ** -0.5, (_side(), _side()))
    square = keras.ops.cast(keras.ops.convert_to_tensor(values.astype(np.float32)), precision)

    def multiply(times: int) -> None:
        product = square
        for _ in range(times):
            product = keras.ops.matmul(product, square)
        keras.ops.convert_to_numpy(product[0])  # waits for it

    multiply(1)
    return _taken(lambda: multiply(PRODUCTS))


def _side() -> int:
    return SIDE_ON_A_CARD if cards() else SIDE


def from_store(root: Path, name: str, precision: Precision | None = None) -> Taken:
    """(c) Score all partitions in this process."""
    asked = [arguments(root, name, at, precision) for at in PARTITIONS]
    if cards():  # a worker keeps one network: that of the other precision is made ready first
        score_partition(*asked[0])
    return _taken(lambda: [score_partition(*each) for each in asked])


def stage(client: Client, root: Path, name: str, number: int) -> Taken:
    """(d) Score all partitions over a cluster, with receipts and the catalogue's metadata."""
    work = WorkDirectory(root)
    engine = Engine(client, work, Silent())
    rows = pq.read_metadata(HatsCatalogue(work.catalogue).path(PARTITIONS[0])).num_rows
    tasks = [
        Task("infer", f"{name}@{at.label}", f"{number}", score_partition, given, rows, name)
        for at, given in ((at, arguments(root, name, at)) for at in PARTITIONS)
    ]
    before, started = sum(client.run(time.process_time).values()), time.perf_counter()
    engine.map(tasks)
    HatsCatalogue(work.scores(name)).finish(name, [(at, rows) for at in PARTITIONS])
    wall = time.perf_counter() - started
    return Taken(wall, sum(client.run(time.process_time).values()) - before)


def _largest_worker(client: Client, root: Path, name: str) -> float:
    """Run the stage for the first time; give the largest memory that a worker has had, MiB."""
    stage(client, root, name, -1)
    return max(client.run(peak_mib).values())


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MIB


def reading(root: Path, name: str) -> Taken:
    """Read and unpack what (c) reads, and nothing else; codes become maggies in the network."""
    description, config = _ready(root, name).description, _config(name)

    def read() -> None:
        for at in PARTITIONS:
            sources = open_sources(WorkDirectory(root), at, description, stamps=config.has_images)
            collections.deque(sources.blocks(_batch(name)), maxlen=0)

    return _taken(read)


def writing(root: Path, name: str) -> Taken:
    """Write again what (c) has written."""
    scores = HatsCatalogue(WorkDirectory(root).scores(name))
    tables = {at: scores.read(at) for at in PARTITIONS}
    return _taken(lambda: [scores.write(at, table) for at, table in tables.items()])


def pyarrow_alone(root: Path, _: str) -> Taken:
    """Read the columns that (c) reads by pyarrow, and nothing else."""
    catalogue, columns = HatsCatalogue(WorkDirectory(root).catalogue), columns_read(BANDS)
    paths = [catalogue.path(at) for at in PARTITIONS]
    return _taken(lambda: [pq.ParquetFile(path).read(columns) for path in paths])


def _taken(work: Callable[[], object]) -> Taken:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def arguments(
    root: Path, name: str, partition: Partition, precision: Precision | None = None
) -> tuple[Any, ...]:
    return WorkDirectory(root), partition, name, "benchmark", _config(name, precision), "r"


@functools.cache
def _config(name: str, precision: Precision | None = None) -> Config:
    stamps = {"stamps": "none", "names": "none", "zero_point": 0.0, "pixel_scale_arcsec": 0.2}
    images = {"ready_made": {"r": stamps}} if network_entry(name).images else {}
    infer = {"backend": BACKEND, "precision": precision or "auto"}
    settings = {"survey": {"preset": "kids_dr5"}, "cutouts": images, "infer": infer}
    return Config.model_validate({**settings, "train": {"networks": [name]}})


def _batch(name: str) -> int:
    return _config(name).infer.batch_size


@functools.lru_cache(maxsize=1)
def _trained(root: Path, name: str) -> Any:
    if network_entry(name).family == "keras":
        prepare_backend(BACKEND, 1)
    return load_network(WorkDirectory(root).model(name))


@functools.lru_cache(maxsize=2)
def _ready(root: Path, name: str, precision: Precision | None = None) -> Any:
    return ready(_trained(root, name), _config(name, precision).infer)


@functools.lru_cache(maxsize=1)
def _in_memory(root: Path, name: str) -> Sources:
    return _features(root, _trained(root, name).description, packed=True)


def make_work(root: Path, name: str, rows: int) -> dict[str, Any]:
    """Write what the stage reads: catalogue, stamps, labels and a network; say what they are."""
    work, entry, random = WorkDirectory(root), network_entry(name), np.random.default_rng(1)
    drawn = [write_partition(work, at, rows, random, entry.images) for at in PARTITIONS]
    HatsCatalogue(work.sample("sdss")).finish("sdss", [(at, labelled) for at, labelled in drawn])
    description = InputDescription(BANDS, ("r",) if entry.images else (), SIZE_PX, CLASSES)
    network = _make_network(root, name, description)
    folder = work.model(name)
    folder.mkdir(parents=True)
    scores = {BRIGHTEST: 16.0}
    card = save_network(network, folder, settings={}, seed=1, fingerprint="", scores=scores)
    said = random.dirichlet([1, 1, 1], 500).astype(np.float32)
    codes = said.argmax(axis=1)
    write_table(folder / VALIDATION, pa.table({"code": codes, "probabilities": list(said)}))
    taught = random.normal(21, 1.2, (2, 500, len(BANDS))).astype(np.float32)
    novelty = learn_novelty(taught[0], codes, taught[1], BANDS, seed=1)
    write_table(folder / NOVELTY, novelty.as_table())
    stored = sum(files_below(work.catalogue).values()) + sum(files_below(work.cutouts).values())
    made = {
        "rows": rows * len(PARTITIONS),
        "multiply_adds": card.multiply_adds,
        "stored bytes a source": round(stored / (rows * len(PARTITIONS)), 1),
    }
    _trained.cache_clear()
    inputs = _in_memory(root, name)
    others = [None if each is None else each[-TAUGHT:] for each in inputs]
    lead = np.sort(_ready(root, name).predict(*others, _batch(name)), axis=1)
    made["close calls"] = round(float((lead[:, -1] - lead[:, -2] < 0.05).mean()), 4)
    return made


def write_partition(
    work: WorkDirectory, at: Partition, rows: int, random: np.random.Generator, images: bool
) -> tuple[Partition, int]:
    """Draw the sources of a partition; say how many have labels."""
    magnitudes = random.normal(21, 1.2, (rows, 1)) + random.normal(0, 0.5, (rows, len(BANDS)))
    magnitudes[random.random(magnitudes.shape) < 0.02] = np.nan
    names = np.array([f"KiDSDR5 J{at.pixel:03d}.{row:013d}" for row in range(rows)], object)
    columns = {
        SPATIAL_INDEX: np.sort(random.integers(at.first_index, at.last_index, rows)),
        NAME: names,
        RA: random.uniform(0, 360, rows),
        DEC: random.uniform(-35, 5, rows),
    }
    columns |= dict(zip(map(magnitude_column, BANDS), np.float32(magnitudes.T), strict=True))
    errors = random.uniform(0.01, 0.2, (len(BANDS), rows)).astype(np.float32)
    columns |= dict(zip(map(error_column, BANDS), errors, strict=True))
    table = pa.table(columns)
    HatsCatalogue(work.catalogue).write(at, table)
    labelled = table.slice(0, int(LABELLED * rows)).select([SPATIAL_INDEX, NAME])
    labels = pa.array(random.choice(CLASSES, len(labelled)))
    HatsCatalogue(work.sample("sdss")).write(at, labelled.append_column(LABEL, labels))
    if images:
        _write_stamps(work, at, names, random)
    return at, len(labelled)


def _write_stamps(
    work: WorkDirectory, at: Partition, names: np.ndarray, random: np.random.Generator
) -> None:
    """Draw stamps of noise with a round source of some size and flux in the middle."""
    pixel = np.arange(SIZE_PX) - SIZE_PX // 2
    radius = np.hypot(*np.meshgrid(pixel, pixel))
    cutouts = CutoutStore(work.cutouts)
    with cutouts.writing(at, names, encoding="int16", attributes={}) as group:
        buffer = group.buffer(SIZE_PX)
        for rows in np.array_split(np.arange(len(names)), max(1, len(names) // 1000)):
            width, flux = (
                random.uniform(1.5, 4, len(rows)),
                10 ** random.uniform(-11, -9, len(rows)),
            )
            stamps = flux[:, None, None] * np.exp(-0.5 * (radius / width[:, None, None]) ** 2)
            stamps += random.normal(0, NOISE, stamps.shape)
            buffer.put(rows, stamps.astype(np.float32))
        group.add("r", buffer, np.zeros(len(names), np.uint8))


def _make_network(root: Path, name: str, description: InputDescription) -> Any:
    """Make a network whose answers are as decided as those of a trained one."""
    random = np.random.default_rng(2)
    photometry, stamps = (
        None if each is None else each[:TAUGHT] for each in _features(root, description)
    )
    family = network_entry(name).family
    blurred = photometry[:, -1] + random.normal(0, OVERLAP[family], len(photometry))
    codes = np.digitize(blurred, [-0.4, 0.4])
    if family == "xgboost":
        from kidsclf.models.trees import TreeNetwork, grow_trees

        booster, _ = grow_trees(
            (photometry, photometry),
            (codes, codes),
            len(CLASSES),
            TreeSettings(),
            threads=1,
            seed=1,
        )
        return TreeNetwork(network_entry(name), description, booster)
    prepare_backend(BACKEND, 1)
    from kidsclf.models.neural import NeuralNetwork

    module, _, builder = network_entry(name).builder.partition(":")
    model = getattr(importlib.import_module(module), builder)(description, 0.001)
    centre, width = np.nanmedian(photometry, axis=0), np.nanstd(photometry, axis=0)
    model.get_layer("standardise").set_weights([centre, width])
    if stamps is None:
        _teach(model, photometry, codes)
    else:
        model.get_layer("stretch").set_weights([np.array([NOISE])])
        _bend(model, random)
    network = NeuralNetwork(network_entry(name), description, model)
    last = model.get_layer("probabilities")
    kernel, bias = last.get_weights()
    logits = np.log(network.predict(photometry, stamps, 100))
    logits -= logits.mean(axis=1, keepdims=True)
    factor = LOG_ODDS / logits.std(axis=0).mean()
    last.set_weights([factor * kernel, factor * (bias - logits.mean(axis=0))])
    return network


def _teach(model: Any, photometry: np.ndarray, codes: np.ndarray) -> None:
    """Train as the stage ``train`` does by default, but for the choice of the epoch."""
    import keras

    settings = NeuralSettings()
    keras.utils.set_random_seed(1)
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    taught = keras.models.clone_model(model)  # a model that is kept has no optimizer
    taught.set_weights(model.get_weights())
    taught.compile(optimizer, "sparse_categorical_crossentropy")
    taught.fit({"photometry": photometry}, codes, settings.batch_size, EPOCHS, verbose=0)
    model.set_weights(taught.get_weights())


def _bend(model: Any, random: np.random.Generator) -> None:
    """Give the layers of photometry biases, as training does.

    Without, all that they make of a magnitude bends at the same place, and its table is two pieces
    instead of several hundred.
    """
    for layer in model.layers:
        if layer.name.startswith("photometry_") and len(layer.weights) == 2:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.normal(0, BIAS, bias.shape)])


def _features(root: Path, description: InputDescription, *, packed: bool = False) -> Sources:
    """Read photometry and stamps of all partitions into memory; stamps in maggies, or packed."""
    work, bands = WorkDirectory(root), description.image_bands
    parts = [open_sources(work, at, description, stamps=bool(bands)) for at in PARTITIONS]
    photometry = photometry_features(np.concatenate([each.magnitudes for each in parts]))
    if not bands:
        return photometry, None
    readers, everything = [each.stamps for each in parts if each.stamps], slice(None)
    if not packed:
        read = [stack_stamps(each.read(bands, everything), bands) for each in readers]
        return photometry, np.concatenate(read)
    kept = [stack_stamps(each.read_packed(bands, everything), bands) for each in readers]
    codes, steps = ([getattr(each, of) for each in kept] for of in ("codes", "steps"))
    return photometry, PackedStamps(np.concatenate(codes), np.concatenate(steps))
