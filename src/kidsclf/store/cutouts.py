"""Stamps of each partition in Zarr 3, row i being row i of the catalogue partition.

``int16`` keeps a stamp at a quarter of its own sky noise a step, so that no pixel moves by more
than an eighth of that noise; ``float32`` keeps every bit. A group records the fingerprint of its
identifiers, and opening it beside other sources is an error, never a silent shift.
"""

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from kidsclf.errors import StoreError
from kidsclf.schema import CutoutFlag
from kidsclf.sky.partition import Partition
from kidsclf.store.publish import published_folder

STEPS_PER_NOISE = 4.0
_LIMIT = 32_767
_NAN_CODE = -32_768
_CHUNK_ROWS = 256
_CHUNKS_PER_SHARD = 64


@dataclass(frozen=True)
class EncodedStamps:
    """int16 codes (n, size, size) and the size of one step in maggies, float32 (n,)."""

    codes: NDArray[np.int16]
    step: NDArray[np.float32]
    coarse: NDArray[np.bool_]
    """Where the brightest pixel asked for steps larger than a quarter of the noise."""


def identifiers_fingerprint(names: Sequence[str] | NDArray[np.object_]) -> str:
    """Hash identifiers in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        encoded = str(name).encode()
        digest.update(len(encoded).to_bytes(4, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def sky_noise(stamps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Estimate each stamp's sky noise from the median absolute deviation of its outer ring.

    Parameters
    ----------
    stamps : float32 array (n, size, size)
        Maggies; NaN pixels are left out.

    Returns
    -------
    float32 array (n,)
        Standard deviation, maggies; NaN for an empty stamp.
    """
    size = stamps.shape[1]
    ring = np.ones((size, size), bool)
    width = max(1, size // 10)
    ring[width:-width, width:-width] = False
    border = stamps[:, ring].astype(np.float64)
    border[border == 0.0] = np.nan  # filled pixels carry no noise
    filled = np.isnan(border).all(axis=1)
    border[filled] = 0.0
    centre = np.nanmedian(border, axis=1, keepdims=True)
    noise = 1.4826 * np.nanmedian(np.abs(border - centre), axis=1)
    noise[filled] = np.nan
    return noise.astype(np.float32)


def encode_stamps(stamps: NDArray[np.float32]) -> EncodedStamps:
    """Quantise stamps to int16 at a quarter of their own sky noise.

    A stamp with pixels above 8,191 times the noise gets larger steps and is told as coarse; one
    without measurable noise uses the whole range for its brightest pixel.
    """
    noise = sky_noise(stamps).astype(np.float64)
    present = ~np.isnan(stamps)
    peak = np.max(np.abs(stamps), axis=(1, 2), initial=0.0, where=present).astype(np.float64)
    fine = noise / STEPS_PER_NOISE
    least = peak / _LIMIT
    measured = np.isfinite(fine) & (fine > 0)
    step64 = np.where(measured, np.maximum(fine, least), least)
    step64[step64 == 0] = 1.0
    step = np.nextafter(step64.astype(np.float32), np.float32(np.inf))
    scaled = np.rint(stamps / step[:, None, None])
    codes = np.where(np.isnan(scaled), _NAN_CODE, scaled).astype(np.int16)
    return EncodedStamps(codes, step, measured & (least > fine))


def decode_stamps(codes: NDArray[np.int16], step: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn codes back to maggies; NaN where the stamp had NaN."""
    stamps = codes.astype(np.float32)
    stamps *= step[:, None, None]
    empty = codes[:, 0, 0] == _NAN_CODE  # cheap: NaN pixels occur as whole stamps
    if empty.any():
        some = codes[empty]
        stamps[empty] = np.where(some == _NAN_CODE, np.nan, stamps[empty])
    return stamps


@dataclass(frozen=True)
class CutoutStore:
    """All stamps of a run."""

    root: Path

    def path(self, partition: Partition) -> Path:
        """Say where a partition's group lies."""
        return self.root / f"norder-{partition.order}" / f"npix-{partition.pixel}"

    def write(
        self,
        partition: Partition,
        names: NDArray[np.object_],
        stamps: dict[str, NDArray[np.float32]],
        flags: NDArray[np.uint8],
        *,
        encoding: str,
        attributes: dict[str, Any],
    ) -> Path:
        """Publish a partition's stamps.

        Parameters
        ----------
        names : array of str (n,)
            Identifiers, in the order of the catalogue partition.
        stamps : mapping of band to float32 array (n, size, size)
            Maggies.
        flags : uint8 array (n,)
            ``CutoutFlag`` bits.
        encoding : {"int16", "float32"}
        """
        self._ensure_parents(partition)
        path = self.path(partition)
        flags = flags.copy()
        with published_folder(path) as temporary:
            group = zarr.open_group(str(temporary), mode="w", zarr_format=3)
            for band, values in stamps.items():
                if encoding == "int16":
                    encoded = encode_stamps(values)
                    flags[encoded.coarse] |= np.uint8(CutoutFlag.COARSE)
                    _write_array(group, band, encoded.codes)
                    _write_array(group, f"{band}_step", encoded.step)
                else:
                    _write_array(group, band, values)
            _write_array(group, "flags", flags)
            group.attrs.update(
                {
                    "identifiers": identifiers_fingerprint(names),
                    "rows": len(names),
                    "bands": list(stamps),
                    "encoding": encoding,
                    "unit": "maggy",
                    **attributes,
                }
            )
        return path

    def _ensure_parents(self, partition: Partition) -> None:
        for folder in (self.root, self.path(partition).parent):
            if not (folder / "zarr.json").exists():
                zarr.open_group(str(folder), mode="a", zarr_format=3)

    def keep_only(self, partitions: Iterable[Partition]) -> None:
        """Remove the groups of partitions that the catalogue no longer has."""
        wanted = {self.path(partition) for partition in partitions}
        for path in self.root.glob("norder-*/npix-*"):
            if path not in wanted:
                shutil.rmtree(path)

    def open(self, partition: Partition, names: NDArray[np.object_] | None = None) -> zarr.Group:
        """Open a partition's group.

        Raises
        ------
        StoreError
            When it is missing, or belongs to other sources than ``names``.
        """
        path = self.path(partition)
        try:
            group = zarr.open_group(str(path), mode="r")
        except (OSError, ValueError) as error:
            raise StoreError(
                f"cutouts of partition {partition.label} were expected at {path}, but cannot be "
                f"opened; run the stage 'cutouts'"
            ) from error
        if names is not None and group.attrs["identifiers"] != identifiers_fingerprint(names):
            raise StoreError(
                f"cutouts at {path} belong to other sources than partition {partition.label} of "
                f"the catalogue holds; run the stage 'cutouts' again"
            )
        return group

    def read(
        self,
        partition: Partition,
        names: NDArray[np.object_],
        bands: Sequence[str],
        rows: NDArray[np.int64] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Read stamps in maggies, float32 (n, size, size) by band; all or some rows."""
        group = self.open(partition, names)
        found: dict[str, NDArray[np.float32]] = {}
        for band in bands:
            if band not in group:
                raise StoreError(
                    f"cutouts of band {band} were asked for, but {self.path(partition)} holds "
                    f"{group.attrs['bands']}; add it to cutouts.bands"
                )
            values = _take(group[band], rows)
            if group.attrs["encoding"] == "int16":
                values = decode_stamps(values, _take(group[f"{band}_step"], rows))
            found[band] = values
        return found

    def flags(self, partition: Partition, names: NDArray[np.object_]) -> NDArray[np.uint8]:
        """Read the ``CutoutFlag`` bits of a partition, uint8 (n,)."""
        return np.asarray(_take(self.open(partition, names)["flags"], None), np.uint8)


def _take(array: Any, rows: NDArray[np.int64] | None) -> Any:
    if rows is None:
        return array[:]
    if len(rows) == 0:
        return np.empty((0, *array.shape[1:]), array.dtype)
    return array.oindex[rows]


def _write_array(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
    rows = max(1, len(values))
    chunk = min(rows, _CHUNK_ROWS if values.ndim > 1 else 65_536)
    shard = chunk * min(_CHUNKS_PER_SHARD, -(-rows // chunk))
    tail = values.shape[1:]
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(chunk, *tail),
        shards=(shard, *tail),
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        fill_value=0,
    )
    if len(values):
        array[:] = values
