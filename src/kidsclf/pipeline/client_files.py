"""Receipts of what the client itself writes: metadata of catalogues, merged tables, the FITS table.

Tasks leave receipts of what they wrote; without these a damaged table of metrics would be taken
for a sound one. The page is not among them: it is made anew by every run, and tells its time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from kidsclf.errors import KidsclfError
from kidsclf.places import files_below, name_below
from kidsclf.store.checksums import checksum
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, read_receipt, receipt_path, write_receipt

FILES = "files"
"""Task name of these receipts."""
_FOLDERS = {
    "ingest": ("catalog",),
    "features": ("features",),
    "match": ("samples",),
    "infer": ("scores",),
    "reduce": ("metrics", "products"),
}
OF_THE_REPORT = ("stages.parquet", "throughput.parquet", "workers.parquet")
"""Tables in ``metrics/`` of how a run went, which the report writes anew."""
_OF_OTHERS = ("Npix=", "/states/", *OF_THE_REPORT)
"""What is in these folders and written by tasks, or by the report."""


@contextmanager
def files_recorded(work: WorkDirectory, stage: str) -> Iterator[None]:
    """Forget what a stage's client wrote before, which it writes anew, and record it at the end.

    A stage that is refused before it has written keeps the receipt that it had. Where reduced
    tables are others than before, the page goes: one that tells of others is worse than none.
    """
    former = read_receipt(work.receipts, stage, FILES)
    receipt_path(work.receipts, stage, FILES).unlink(missing_ok=True)
    try:
        yield
    except KidsclfError:
        with suppress(OSError, KidsclfError):  # what went wrong counts, not that it cannot be noted
            if former is not None and _still_holds(work, former):
                write_receipt(work.receipts, former)
        raise
    _record(work, stage, former.checksums if former is not None else {})


def _still_holds(work: WorkDirectory, receipt: Receipt) -> bool:
    checksums = receipt.checksums.items()
    return all(checksum(work.root / name) == found for name, found in checksums)


def _record(work: WorkDirectory, stage: str, before: Mapping[str, str]) -> None:
    outputs, checksums = {}, {}
    for folder in _FOLDERS.get(stage, ()):
        for path, size in files_below(work.root / folder).items():
            name = name_below(work.root, path)
            if not any(mark in name for mark in _OF_OTHERS):
                outputs[name], checksums[name] = size, checksum(path)
    if outputs:
        receipt = Receipt(stage, FILES, "", 0, 0.0, outputs, {}, checksums)
        write_receipt(work.receipts, receipt)
    if stage == "reduce" and _tables(before) != _tables(checksums):
        work.report.unlink(missing_ok=True)


def _tables(checksums: Mapping[str, str]) -> dict[str, str]:
    return {name: found for name, found in checksums.items() if name.startswith("metrics/")}
