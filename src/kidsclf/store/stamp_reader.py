"""The stamps of a partition read back: all, a stretch of rows, or some."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import Store
from zarr.buffer.cpu import NDBuffer
from zarr.storage import FsspecStore, LocalStore

from kidsclf.errors import StoreError
from kidsclf.places import Place, is_local
from kidsclf.schema import PackedStamps
from kidsclf.store.shards import is_plain, packed_chunks, unpack
from kidsclf.store.stamp_encoding import STEP, codes_within, decode_stamps

DAMAGE = (OSError, ValueError, KeyError, TypeError, RuntimeError)
"""What Zarr and its codecs raise for damaged files, themselves or by a derived class."""


@dataclass(frozen=True)
class StampReader:
    """The open group of a partition."""

    path: Place
    group: Any

    def read(
        self, bands: Sequence[str], rows: NDArray[np.int64] | slice
    ) -> dict[str, NDArray[np.float32]]:
        """Read stamps in maggies, float32 (n, size, size) by band.

        Raises
        ------
        StoreError
            When a band was not cut, or is damaged; but a bit that flipped within packed pixels is
            found by ``kidsclf check`` alone.
        """
        with self._held(bands):
            return {band: self._stamps(band, rows) for band in bands}

    def read_packed(
        self, bands: Sequence[str], rows: NDArray[np.int64] | slice
    ) -> Mapping[str, PackedStamps | NDArray[np.float32]]:
        """Read stamps as they are stored, so that others may turn codes to maggies.

        Those of a store of float32 come as ``read`` gives them. Raises what ``read`` does.
        """
        if self.group.attrs["encoding"] != "int16":
            return self.read(bands, rows)
        with self._held(bands):
            return {band: self._packed(band, rows) for band in bands}

    @contextmanager
    def _held(self, bands: Sequence[str]) -> Iterator[None]:
        """Make sure that bands were cut, and name damage."""
        with _damage_named(self.path):
            for band in bands:
                if band not in self.group.attrs["bands"]:
                    raise StoreError(
                        f"cutouts of band {band} were asked for, but {self.path} holds "
                        f"{self.group.attrs['bands']}; add it to cutouts.bands"
                    )
            yield

    def _packed(self, band: str, rows: NDArray[np.int64] | slice) -> PackedStamps:
        array, codes = self.group[band], None
        if isinstance(rows, slice):
            codes = _whole_rows(self.path / band, array, rows)
        codes = _take(array, rows) if codes is None else codes
        return PackedStamps(codes, np.asarray(_take(self.group[f"{band}{STEP}"], rows)))

    def _stamps(self, band: str, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        if self.group.attrs["encoding"] == "int16":
            codes, step = self.group[band], self.group[f"{band}{STEP}"]
            return np.asarray(_decoded(self.path / band, codes, step, rows))
        stamps = None
        if isinstance(rows, slice):
            stamps = _whole_rows(self.path / band, self.group[band], rows)
        return np.asarray(_take(self.group[band], rows) if stamps is None else stamps)

    def flags(self) -> NDArray[np.uint8]:
        """Read the ``CutoutFlag`` bits, uint8 (n,); what is damaged is told as by ``read``."""
        with _damage_named(self.path):
            return np.asarray(_take(self.group["flags"], slice(None)), np.uint8)


@contextmanager
def _damage_named(path: Place) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except DAMAGE as error:
        said = " ".join(str(error).split())
        raise StoreError(
            f"stamps were expected at {path}, but they cannot be read ({said:.200}); remove that "
            f"folder and run the stage 'cutouts' again"
        ) from error


def zarr_store(path: Place) -> Store:
    """Open a folder, local or not, for Zarr to read."""
    if is_local(path):
        return LocalStore(path, read_only=True)
    options = dict(path.storage_options)
    return FsspecStore.from_url(str(path), storage_options=options, read_only=True)


def _take(array: Any, rows: NDArray[np.int64] | slice) -> Any:
    if isinstance(rows, slice):
        return array[rows]
    if len(rows) == 0:
        return np.empty((0, *array.shape[1:]), array.dtype)
    return array.oindex[rows]


def _whole_rows(folder: Place, array: Any, rows: slice) -> NDArray[Any] | None:
    """Read a stretch of an array as it is stored; None where only Zarr can."""
    if not (is_local(folder) and is_plain(array)):
        return None
    start, stop, _ = rows.indices(array.shape[0])
    out = np.empty((max(0, stop - start), *array.shape[1:]), array.dtype)
    spare: NDArray[Any] | None = None
    for first, packed in packed_chunks(Path(folder), array, start, stop):
        last = first + array.chunks[0]
        if first >= start and last <= stop:
            unpack(packed, out[first - start : last - start])
            continue
        spare = np.empty(array.chunks, array.dtype) if spare is None else spare
        unpack(packed, spare)
        some = slice(max(first, start), min(last, stop))
        out[some.start - start : some.stop - start] = spare[some.start - first : some.stop - first]
    return out


def _decoded(folder: Place, codes: Any, step: Any, rows: NDArray[np.int64] | slice) -> Any:
    """Read stamps in maggies; chunk by chunk, so that codes are turned while the cache has them."""
    if not isinstance(rows, slice):
        return decode_stamps(_take(codes, rows), _take(step, rows))
    start, stop, _ = rows.indices(codes.shape[0])
    stamps = np.empty((max(0, stop - start), *codes.shape[1:]), np.float32)
    steps = step[rows]
    if not (is_local(folder) and is_plain(codes)):
        within = codes_within(stamps)
        codes.get_basic_selection(rows, out=NDBuffer.from_numpy_array(within))
        return decode_stamps(within, steps, stamps)
    spare = np.empty(codes.chunks, codes.dtype)
    for first, packed in packed_chunks(Path(folder), codes, start, stop):
        unpack(packed, spare)
        begin, end = max(first, start), min(first + len(spare), stop)
        some = slice(begin - start, end - start)
        decode_stamps(spare[begin - first : end - first], steps[some], stamps[some])
    return stamps
