"""The checkpoint of one training task: a file of arrays that appears whole, by rename."""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.places import Place, local_file
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.publish import published_file
from kidsclf.train.checkpoint import Arrays


@dataclass(frozen=True)
class CheckpointFile:
    """Where a task keeps how far it has come; its name is that of the task and its fingerprint."""

    path: Place

    @classmethod
    def of(cls, work: WorkDirectory, task: str, made_from: str) -> "CheckpointFile":
        """Name the file of a training task."""
        return cls(work.checkpoints / f"{task}@{made_from}.npz")

    def save(self, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
        """Write named arrays, one in memory at a time, as ``numpy.load`` reads them."""
        with (
            published_file(self.path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            for name, values in arrays:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, values, allow_pickle=False)

    @contextmanager
    def opened(self) -> Iterator[Arrays | None]:
        """Give what was kept last; None where nothing was. Nothing of the file is executed.

        Raises
        ------
        StoreError
            When it cannot be read.
        """
        if not self.path.exists():
            yield None
            return
        try:
            with local_file(self.path) as local, np.load(local, allow_pickle=False) as arrays:
                yield arrays
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"training was to go on from {self.path}, but that cannot be read ({error}); "
                f"remove it, and training begins anew"
            ) from error

    def remove(self) -> None:
        """Forget it; nothing there is no error."""
        self.path.unlink(missing_ok=True)
