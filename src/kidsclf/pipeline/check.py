"""Whether a work directory is sound: all of it is read, and every fault found is named.

What was written is held against its receipts, bytes and checksums, and then against each other:
rows inside their partition and in order, stamps, scores and samples of the sources that the
catalogue holds. Nothing is mended: the command of the run makes anew what was removed. An object
store that does not answer ends the check; its errors are those of the store that are ``OSError``s.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kidsclf.config import Config
from kidsclf.config_file import load_config
from kidsclf.errors import StoreError
from kidsclf.pipeline.client_files import FILES
from kidsclf.pipeline.context import STAGE_ORDER, SUMMARY
from kidsclf.pipeline.fitting import trained_names
from kidsclf.places import name_below, subfolders
from kidsclf.schema import NAME, SPATIAL_INDEX
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue, in_sky_order
from kidsclf.store.check import (
    Fault,
    metadata_faults,
    output_faults,
    partition_faults,
    stray_faults,
)
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, read_receipt, read_receipts

_EXPERIMENT = "experiment."
"""How the receipts of experiments are called."""

Faults = tuple[Fault, ...]
Tasks = dict[Partition, Receipt]
Compare = Callable[[pa.Table, pa.Table], str]
"""Says what is wrong with rows beside the sources of the catalogue; nothing is an empty string."""


@dataclass(frozen=True)
class Finding:
    """One part of a work directory: what of it was read, and what is wrong with it."""

    part: str
    read: str
    faults: Faults


def check_work_directory(work: WorkDirectory, threads: int) -> Iterator[Finding]:
    """Read everything that the stages of a run have left, part by part.

    Memory holds a few partitions at a time, one a thread. A stage that was not run, or not to its
    end, is no fault; what it did leave is read.

    Parameters
    ----------
    work : WorkDirectory
    threads : int
        Partitions read side by side.

    Raises
    ------
    StoreError
        When the folder holds no catalogue that a run has finished.
    """
    config, catalogued = load_config(work.settings), _catalogued(work)
    checker = _Checker(work, threads, catalogued)
    yield checker.catalogue()
    if (work.receipts / "cutouts").exists():
        yield checker.cutouts()
    if config.has_features:
        yield checker.aligned("features", "features", "")
    for name in config.samples:
        yield checker.sample(name)
    yield checker.models(config)
    for name in config.train.networks:
        yield checker.aligned(f"scores/{name}", "infer", f"{name}@")
    yield checker.products(config)
    for folder in subfolders(work.receipts):
        if folder.name.startswith(_EXPERIMENT):
            yield checker.experiment(folder.name)
    yield checker.other_files()


def _catalogued(work: WorkDirectory) -> Tasks:
    """Read the receipts of the partitions of the catalogue; those that are missing say so."""
    summary = read_receipt(work.receipts, "ingest", SUMMARY)
    if summary is None:
        raise StoreError(
            f"a work directory was to be checked, but {work.root} holds no finished catalogue; "
            f"give the folder of a run whose stage ingest has ended"
        )
    labels = summary.facts["partitions"]
    receipts = read_receipts(work.receipts, "ingest", list(labels))
    found = {
        Partition.parse(label): receipt or Receipt("ingest", label, labels[label], -1, 0.0)
        for label, receipt in zip(labels, receipts, strict=True)
    }
    return {partition: found[partition] for partition in in_sky_order(found)}


class _Checker:
    """Checks the parts of one work directory against its catalogue."""

    def __init__(self, work: WorkDirectory, threads: int, catalogued: Tasks) -> None:
        self._work = work
        self._threads = threads
        self._catalogued = catalogued

    def catalogue(self) -> Finding:
        """Check the photometry: receipts, partitions, metadata, files too many."""
        lost = [
            Fault(f"receipts/ingest/{partition.label.replace('/', '_')}.json", "is missing")
            for partition, receipt in self._catalogued.items()
            if receipt.rows < 0
        ]
        held = {p: receipt for p, receipt in self._catalogued.items() if receipt.rows >= 0}
        rows = {partition: receipt.rows for partition, receipt in held.items()}
        return self._hats("catalog", held, rows, lambda _: (), extra=lost)

    def cutouts(self) -> Finding:
        """Check the stamps: bytes, and that they are of the catalogue's sources."""
        tasks = self._tasks("cutouts", "")
        store = CutoutStore(self._work.cutouts)

        def check(partition: Partition) -> Faults:
            where = name_below(self._work.root, store.path(partition))
            try:
                names = self._sources(partition)[NAME].to_numpy(zero_copy_only=False)
            except OSError:
                raise
            except (StoreError, KeyError):
                return ()  # the catalogue's own fault, told there
            if store.path(partition).exists():
                try:
                    store.open(partition, names)
                except OSError:
                    raise
                except StoreError as error:
                    return (Fault(where, str(error)),)
            return tuple(output_faults(self._work.root, tasks[partition]))

        wanted = {store.path(partition) for partition in self._catalogued}
        stray = [
            Fault(name_below(self._work.root, path), "belongs to no partition of the catalogue")
            for order in subfolders(store.root)
            for path in subfolders(order)
            if path not in wanted
        ]
        rows = {partition: receipt.rows for partition, receipt in tasks.items()}
        return self._finding("cutouts.zarr", rows, check, stray)

    def sample(self, name: str) -> Finding:
        """Check a sample's labels: of sources that the catalogue holds."""
        tasks = self._tasks("match", "")
        rows = {p: int(receipt.facts["matched"].get(name, 0)) for p, receipt in tasks.items()}
        held = {partition: receipt for partition, receipt in tasks.items() if rows[partition]}
        folder = f"samples/{name}"
        return self._hats(folder, held, rows, lambda p: self._held_against(folder, p, _some_of))

    def aligned(self, folder: str, stage: str, prefix: str) -> Finding:
        """Check a catalogue that a stage made of all sources: the same ones, in their order."""
        tasks = self._tasks(stage, prefix)
        rows = {partition: receipt.rows for partition, receipt in tasks.items()}
        return self._hats(folder, tasks, rows, lambda p: self._held_against(folder, p, _all_of))

    def products(self, config: Config) -> Finding:
        """Check the product, and the states of the metrics."""
        tasks, folder = self._tasks("products", ""), "products/catalog"
        rows = {partition: receipt.rows for partition, receipt in tasks.items()}
        states = [
            fault
            for network in config.train.networks
            for receipt in self._tasks("reduce", f"{network}@").values()
            for fault in output_faults(self._work.root, receipt)
        ]
        return self._hats(
            folder, tasks, rows, lambda p: self._held_against(folder, p, _all_of), extra=states
        )

    def models(self, config: Config) -> Finding:
        """Check the networks and those of the folds."""
        names = trained_names(config.train)
        receipts = [read_receipt(self._work.receipts, "train", name) for name in names]
        trained = [receipt for receipt in receipts if receipt is not None]
        faults = [f for receipt in trained for f in output_faults(self._work.root, receipt)]
        return Finding("models", f"{len(trained)} networks", tuple(faults))

    def experiment(self, stage: str) -> Finding:
        """Check the answers that the trainings of an experiment have left."""
        tasks = [path.stem for path in (self._work.receipts / stage).glob("*.json")]
        found = read_receipts(self._work.receipts, stage, sorted(tasks))
        left = [receipt for receipt in found if receipt is not None]
        faults = [f for receipt in left for f in output_faults(self._work.root, receipt)]
        part = f"experiments/{stage.removeprefix(_EXPERIMENT)}"
        return Finding(part, f"{len(left)} files", tuple(faults))

    def other_files(self) -> Finding:
        """Check what the client wrote: metadata, tables, and that nothing unfinished is left."""
        receipts = [read_receipt(self._work.receipts, stage, FILES) for stage in STAGE_ORDER]
        written = [receipt for receipt in receipts if receipt is not None]
        faults = [f for receipt in written for f in output_faults(self._work.root, receipt)]
        files = sum(len(receipt.outputs) for receipt in written)
        return Finding("metadata and tables", f"{files} files", tuple(faults))

    def _tasks(self, stage: str, prefix: str) -> Tasks:
        """Read the receipts that a stage has left of the catalogue's partitions."""
        labels = [f"{prefix}{partition.label}" for partition in self._catalogued]
        found = read_receipts(self._work.receipts, stage, labels)
        held = zip(self._catalogued, found, strict=True)
        return {partition: receipt for partition, receipt in held if receipt is not None}

    def _hats(
        self,
        folder: str,
        tasks: Tasks,
        rows: dict[Partition, int],
        also: Callable[[Partition], Faults],
        extra: Iterable[Fault] = (),
    ) -> Finding:
        """Check a HATS catalogue: each partition, also in another way, then what is beside."""
        root, store = self._work.root, HatsCatalogue(self._work.root / folder)

        def check(partition: Partition) -> Faults:
            path = store.path(partition)
            return also(partition) or partition_faults(
                root, path, partition, rows[partition], tasks[partition]
            )

        held = {partition: rows[partition] for partition in tasks}
        beside = [*extra, *stray_faults(root, store.root, held)]
        if held:
            beside += metadata_faults(root, store.root, held)
        return self._finding(folder, held, check, beside)

    def _finding(
        self,
        part: str,
        rows: Mapping[Partition, int],
        check: Callable[[Partition], Faults],
        beside: Iterable[Fault],
    ) -> Finding:
        with ThreadPoolExecutor(self._threads) as threads:
            faults = [fault for found in threads.map(check, rows) for fault in found]
        read = f"{len(rows)} partitions, {sum(rows.values()):,} rows"
        return Finding(part, read, (*faults, *beside))

    def _sources(self, partition: Partition) -> pa.Table:
        return HatsCatalogue(self._work.catalogue).read(partition, [SPATIAL_INDEX, NAME])

    def _held_against(self, folder: str, partition: Partition, compare: Compare) -> Faults:
        """Hold the sources of a partition against the catalogue's.

        A file that cannot be read is told of elsewhere.
        """
        store = HatsCatalogue(self._work.root / folder)
        try:
            sources = self._sources(partition)
            rows = store.read(partition, [SPATIAL_INDEX, NAME])
            what = compare(rows, sources)
        except OSError:
            raise
        except (StoreError, KeyError):
            return ()
        return (Fault(name_below(self._work.root, store.path(partition)), what),) if what else ()


def _all_of(rows: pa.Table, sources: pa.Table) -> str:
    same = rows.equals(sources)
    return "" if same else "holds other sources, or in another order, than the catalogue"


def _some_of(rows: pa.Table, sources: pa.Table) -> str:
    return "holds sources that the catalogue does not" if _keys(rows) - _keys(sources) else ""


def _keys(table: pa.Table) -> set[tuple[int, str]]:
    index: np.ndarray = table[SPATIAL_INDEX].to_numpy()
    return set(zip(index.tolist(), table[NAME].to_pylist(), strict=True))
