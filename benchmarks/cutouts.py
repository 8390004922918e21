"""Stamps of 41 x 41 out of a tile, to disk and back, against a Cutout2D loop, Zarr and tensorstore.

Cutting: all sources of one open float32 image, against ``astropy.nddata.Cutout2D`` in a loop over
the same image, and against ``astrocut.fits_cut`` on the file. To disk: the same through encoding to
a published group (two threads, as in a run; the loop is given one), and beside it what no such
program can do without: the same codes, ready in memory, into a Zarr array. From file to disk: with
choice of tile and reading of the file besides, plain or packed (RICE); the tile is also read whole
and thrown away. Back: ``CutoutStore.read`` against a bare ``zarr`` read and ``tensorstore`` of the
same arrays, as codes and, as a user would do it, multiplied by their steps. Beside the time stands
processor time of all threads, which other programs on the machine disturb less. tensorstore and
astrocut are measured where they are installed.
"""

import importlib.util
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from benchmarks.record import Measurement, Ratio, Record, machine, rates, ratio, seconds_in_turn
from kidsclf.ingest.stamps import cut_stamps
from kidsclf.pipeline.cut_band import cut_band
from kidsclf.sky.partition import Partition
from kidsclf.store.cutouts import CutoutStore, write_array
from kidsclf.surveys.tile_names import pair_tiles
from kidsclf.surveys.tile_pixels import open_tile
from kidsclf.surveys.tiles import TileHeader, read_tile_header

SIZE_PX = 41
NOISE = 2e-12
"""Maggies: a KiDS tile in r (5 sigma in 2 arcsec at 25)."""
SCALE_DEG = 0.2 / 3600
BLOCK = 128
PEERS = {"tiny": 20, "small": 2_000, "full": 4_000}
"""Sources that the loop is given; astrocut gets a tenth."""
TILES = {"tiny": (600, 300), "small": (6_000, 20_000), "full": (12_000, 100_000)}
"""Side of the tile in pixels, and its sources."""
PARTITION = Partition(0, 0)
GOALS: Mapping[str, tuple[tuple[str, str, float | None], ...]] = {
    "cut": (
        ("cut", "Cutout2D loop", 20.0),
        ("to disk", "Cutout2D loop", 5.0),
        ("to disk", "bare zarr write", None),
        ("file to disk", "Cutout2D loop", None),
        ("file to disk", "astrocut", None),
        ("file to disk", "read file", None),
        ("packed file to disk", "read packed file", None),
    ),
    "read": (
        ("CutoutStore", "zarr", 0.8),
        ("CutoutStore", "zarr, decoded", None),
        ("CutoutStore", "tensorstore", 0.8),
        ("CutoutStore", "tensorstore, decoded", None),
        ("CutoutStore float32", "zarr float32", 0.8),
        ("CutoutStore float32", "tensorstore float32", 0.8),
    ),
}
"""Who is put over whom, and what the ratio should be."""


@dataclass(frozen=True)
class Subject:
    """What is timed, and how many stamps it does."""

    work: Callable[[], object]
    stamps: int


def measure(size: str, repeats: int) -> Record:
    side, rows = TILES[size]
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="kidsclf-cutouts-") as name:
        folder = Path(name)
        plain, packed = write_tiles(folder, side, random)
        x, y = random.uniform(SIZE_PX, side - SIZE_PX, (2, rows))
        cut = _measured(_cutting(plain, packed, x, y, PEERS[size], folder), "cut", repeats)
        read = _measured(_reading(folder), "read", repeats)
    facts = {"tile": f"{side} x {side} float32", "sources": rows, "stamp": f"{SIZE_PX} x {SIZE_PX}"}
    facts |= {"versions": machine(("astropy", "zarr"))["versions"]}
    measurements = (*cut.values(), *read.values())
    return Record("cutouts", size, measurements, tuple(_ratios(cut | read)), facts)


def _ratios(measured: Mapping[tuple[str, str], Measurement]) -> Iterator[Ratio]:
    for kind in ("cut", "read"):
        for quantity in (kind, f"{kind}, of one core"):
            for subject, peer, goal in GOALS[kind]:
                if {(subject, quantity), (peer, quantity)} <= measured.keys():
                    reached = goal if quantity == kind else None
                    yield ratio(measured[subject, quantity], measured[peer, quantity], reached)


def _measured(
    subjects: Mapping[str, Subject], quantity: str, repeats: int
) -> dict[tuple[str, str], Measurement]:
    """Time subjects in turn, by the wall clock and by the processor."""
    cpu: dict[str, list[float]] = {name: [] for name in subjects}

    def keeping(name: str, work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            before = time.process_time()
            work()
            cpu[name].append(time.process_time() - before)

        return run

    works = {name: keeping(name, subject.work) for name, subject in subjects.items()}
    taken = seconds_in_turn(works, repeats)
    kept = {name: tuple(values[-repeats:]) for name, values in cpu.items()}
    return {
        (name, of): rates(name, of, "stamps/s", subjects[name].stamps, seconds)
        for of, each in ((quantity, taken), (f"{quantity}, of one core", kept))
        for name, seconds in each.items()
    }


def write_tiles(
    folder: Path, side: int, random: np.random.Generator
) -> tuple[TileHeader, TileHeader]:
    """Write one image of noise and stars plain and packed."""
    image = random.normal(0.0, NOISE, (side, side)).astype(np.float32)
    at = random.integers(0, side, (2, side * side // 400))
    image[at[0], at[1]] += NOISE * 10 ** random.uniform(0.0, 3.0, at.shape[1])
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [180.0, 0.5]
    wcs.wcs.crpix = [side / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-SCALE_DEG, SCALE_DEG]
    header = wcs.to_header()
    header["MAGZERO"] = 0.0
    plain, packed = folder / "plain_r_sci.fits", folder / "packed_r_sci.fits.fz"
    fits.PrimaryHDU(image, header).writeto(plain)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, header)]).writeto(packed)
    headers = map(read_tile_header, pair_tiles([plain, packed]))
    first, second = headers
    return first, second


def _cutting(
    plain: TileHeader, packed: TileHeader, x: np.ndarray, y: np.ndarray, few: int, folder: Path
) -> dict[str, Subject]:
    with fits.open(plain.path, memmap=False) as file:
        image = np.asarray(file[0].data, np.float32)
    ra, dec = WCS(fits.Header.fromstring(plain.wcs_header)).all_pix2world(x, y, 0)
    order = np.argsort(y)
    sorted_x, sorted_y = x[order], y[order]
    room = np.empty((BLOCK, SIZE_PX, SIZE_PX), np.float32)
    _write_image(folder / "image.zarr", image, x, y)
    path = CutoutStore(folder / "image.zarr").path(PARTITION) / "r"
    codes = zarr.open_array(str(path), mode="r")[:]
    number = itertools.count()

    def cut() -> None:
        for k in range(0, len(x), BLOCK):
            at = sorted_x[k : k + BLOCK], sorted_y[k : k + BLOCK]
            cut_stamps(image, *at, SIZE_PX, out=room[: len(at[0])])

    def loop() -> None:
        for at in zip(sorted_x[:few], sorted_y[:few], strict=True):
            Cutout2D(image, at, SIZE_PX, mode="partial", fill_value=0.0)

    def fresh() -> Path:
        """Name a group that is not there yet: to replace one is to wait for its removal."""
        return folder / f"{next(number)}.zarr"

    works: dict[str, Callable[[], object]] = {
        "cut": cut,
        "to disk": lambda: _write_image(fresh(), image, x, y),
        "bare zarr write": lambda: write_array(zarr.open_group(str(fresh()), mode="w"), "r", codes),
        "file to disk": lambda: write_group(fresh(), plain, ra, dec, "int16"),
        "packed file to disk": lambda: write_group(fresh(), packed, ra, dec, "int16"),
        "file to disk, float32": lambda: write_group(fresh(), plain, ra, dec, "float32"),
        "read file": lambda: read_whole(plain),  # which would serve all its sources
        "read packed file": lambda: read_whole(packed),
    }
    subjects = {"Cutout2D loop": Subject(loop, few)}
    subjects |= {name: Subject(work, len(x)) for name, work in works.items()}
    if importlib.util.find_spec("astrocut"):
        some = few // 10
        subjects["astrocut"] = Subject(lambda: _astrocut(plain, ra[:some], dec[:some]), some)
    return subjects


def _astrocut(tile: TileHeader, ra: np.ndarray, dec: np.ndarray) -> None:
    from astrocut import fits_cut

    for at in SkyCoord(ra * units.deg, dec * units.deg):
        fits_cut(str(tile.path), at, SIZE_PX, memory_only=True)


def _write_image(root: Path, image: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    order = np.argsort(y)
    blocks = [order[k : k + BLOCK] for k in range(0, len(order), BLOCK)]
    names = np.arange(len(x)).astype(str).astype(object)
    with CutoutStore(root).writing(PARTITION, names, encoding="int16", attributes={}) as group:
        stamps, flags = group.buffer(SIZE_PX), np.zeros(len(x), np.uint8)

        def cut(some: Sequence[np.ndarray]) -> None:
            room = np.empty((BLOCK, SIZE_PX, SIZE_PX), np.float32)
            for rows in some:
                pixels, flags[rows] = cut_stamps(
                    image, x[rows], y[rows], SIZE_PX, out=room[: len(rows)]
                )
                stamps.put(rows, pixels)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(cut, (blocks[::2], blocks[1::2])))
        group.add("r", stamps, flags)


def write_group(
    root: Path, tile: TileHeader, ra: np.ndarray, dec: np.ndarray, encoding: str
) -> None:
    """Cut, encode and publish as a task of the stage does."""
    names = np.arange(len(ra)).astype(str).astype(object)
    store = CutoutStore(root)
    with store.writing(PARTITION, names, encoding=encoding, attributes={}) as group:
        stamps = group.buffer(SIZE_PX)
        group.add("r", stamps, cut_band([tile], ra, dec, SIZE_PX, stamps))


def read_whole(tile: TileHeader) -> None:
    """Read all pixels, in strips of 16 million."""
    ny, nx = tile.shape
    step = max(1, 16_000_000 // nx)
    with open_tile(tile) as pixels:
        for first in range(0, ny, step):
            pixels.read(first, min(ny, first + step))


def _reading(folder: Path) -> dict[str, Subject]:
    works: dict[str, Callable[[], object]] = {}
    rows = 0
    for encoding, suffix in (("int16", ""), ("float32", " float32")):
        store = _one_of(folder, encoding)
        path = store.path(PARTITION) / "r"
        rows = zarr.open_array(str(path), mode="r").shape[0]
        names = np.arange(rows).astype(str).astype(object)
        readers: dict[str, Callable[[Path], np.ndarray]] = {"zarr": _zarr}
        if importlib.util.find_spec("tensorstore"):
            readers["tensorstore"] = _tensorstore
        works[f"CutoutStore{suffix}"] = lambda s=store, n=names: s.read(PARTITION, n, ["r"])
        works |= {f"{name}{suffix}": lambda p=path, r=r: r(p) for name, r in readers.items()}
        if encoding == "int16":
            works |= {
                f"{name}, decoded": lambda p=path, r=r: _decoded(p, r)
                for name, r in readers.items()
            }
    return {name: Subject(work, rows) for name, work in works.items()}


def _one_of(folder: Path, encoding: str) -> CutoutStore:
    stores = (CutoutStore(path) for path in sorted(folder.glob("*.zarr")))
    there = (store for store in stores if store.path(PARTITION).exists())
    return next(s for s in there if s.open(PARTITION).attrs["encoding"] == encoding)


def _zarr(path: Path) -> np.ndarray:
    return zarr.open_array(str(path), mode="r")[:]


def _decoded(path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
    return read(path).astype(np.float32) * read(Path(f"{path}_step"))[:, None, None]


def _tensorstore(path: Path) -> np.ndarray:
    import tensorstore

    where = {"driver": "file", "path": f"{path}/"}
    return tensorstore.open({"driver": "zarr3", "kvstore": where}).result().read().result()
