"""Receipts of what the client itself writes: metadata of catalogues, merged tables, the FITS table.

Tasks leave receipts of what they wrote; without these a damaged table of metrics would be taken
for a sound one. The page is not among them: it is made anew by every run, and tells its time.
"""

from kidsclf.places import files_below, name_below
from kidsclf.store.checksums import checksum
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import Receipt, receipt_path, write_receipt

FILES = "files"
"""Task name of these receipts."""
_FOLDERS = {
    "ingest": ("catalog",),
    "features": ("features",),
    "match": ("samples",),
    "infer": ("scores",),
    "reduce": ("metrics", "products"),
}
_OF_OTHERS = ("Npix=", "/states/", "stages.parquet", "workers.parquet")
"""What is in these folders and written by tasks, or by the report."""


def forget_files(work: WorkDirectory, stage: str) -> None:
    """Forget what a stage's client wrote before: it is about to write it anew.

    A page of reduced tables goes with them: one that tells of others is worse than none.
    """
    receipt_path(work.receipts, stage, FILES).unlink(missing_ok=True)
    if stage == "reduce":
        work.report.unlink(missing_ok=True)


def record_files(work: WorkDirectory, stage: str) -> None:
    """Leave a receipt of what a stage's client wrote."""
    outputs, checksums = {}, {}
    for folder in _FOLDERS.get(stage, ()):
        for path, size in files_below(work.root / folder).items():
            name = name_below(work.root, path)
            if not any(mark in name for mark in _OF_OTHERS):
                outputs[name], checksums[name] = size, checksum(path)
    if outputs:
        receipt = Receipt(stage, FILES, "", 0, 0.0, outputs, {}, checksums)
        write_receipt(work.receipts, receipt)
