"""Stamps of 41 x 41 out of a tile, to disk and back, against a Cutout2D loop, Zarr and tensorstore.

Cutting: all sources of one open float32 image, against ``astropy.nddata.Cutout2D`` in a loop over
the same image, and against ``astrocut.fits_cut`` on the file. To disk: the same through encoding to
a published group (two threads, as in a run). From file to disk: with choice of tile and reading of
the file besides, plain or packed (RICE); the tile is also read whole and thrown away, which no
cutter can do without. Back: ``CutoutStore.read``
against a bare ``zarr`` read and ``tensorstore`` of the same arrays. tensorstore and astrocut are
measured where they are installed.
"""

import importlib.util
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zarr
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS

from benchmarks.record import Measurement, Record, machine, rates, ratio, seconds_in_turn
from kidsclf.ingest.stamps import cut_stamps
from kidsclf.pipeline.cut_band import cut_band
from kidsclf.sky.partition import Partition
from kidsclf.store.cutouts import CutoutStore
from kidsclf.surveys.tile_names import pair_tiles
from kidsclf.surveys.tile_pixels import open_tile
from kidsclf.surveys.tiles import TileHeader, read_tile_header

SIZE_PX = 41
NOISE = 2e-12
"""Maggies: a KiDS tile in r (5 sigma in 2 arcsec at 25)."""
SCALE_DEG = 0.2 / 3600
BLOCK = 256
PEERS = {"tiny": 20, "small": 2_000, "full": 4_000}
"""Sources that the loop is given; astrocut gets a tenth."""
TILES = {"tiny": (600, 300), "small": (6_000, 20_000), "full": (12_000, 100_000)}
"""Side of the tile in pixels, and its sources."""
PARTITION = Partition(0, 0)


def measure(size: str, repeats: int) -> Record:
    side, rows = TILES[size]
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="kidsclf-cutouts-") as name:
        folder = Path(name)
        plain, packed = write_tiles(folder, side, random)
        x, y = random.uniform(SIZE_PX, side - SIZE_PX, (2, rows))
        cutting = _cutting(plain, packed, x, y, PEERS[size], folder, repeats)
        reading = _reading(folder, repeats)
    cut = _stamps(cutting, rows, PEERS[size])
    read = {name: rates(name, "read", "stamps/s", rows, taken) for name, taken in reading.items()}
    loop, bare = cut["Cutout2D loop"], read["zarr"]
    ratios = [
        ratio(cut["cut"], loop, 20.0),
        ratio(cut["to disk"], loop, 5.0),
        ratio(cut["file to disk"], loop),
        *(ratio(cut["file to disk"], cut[peer]) for peer in ("astrocut",) if peer in cut),
        ratio(cut["file to disk"], cut["read file"]),
        ratio(cut["packed file to disk"], cut["read packed file"]),
        ratio(read["CutoutStore float32"], read["zarr float32"], 0.8),
        ratio(read["CutoutStore"], bare, 0.8),
    ]
    if "tensorstore" in read:
        ratios.append(ratio(read["CutoutStore"], read["tensorstore"], 0.8))
        ratios.append(ratio(read["CutoutStore float32"], read["tensorstore float32"], 0.8))
    facts = {"tile": f"{side} x {side} float32", "sources": rows, "stamp": f"{SIZE_PX} x {SIZE_PX}"}
    facts |= {"versions": machine(("astropy", "zarr"))["versions"]}
    return Record("cutouts", size, (*cut.values(), *read.values()), tuple(ratios), facts)


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
    plain: TileHeader,
    packed: TileHeader,
    x: np.ndarray,
    y: np.ndarray,
    few: int,
    folder: Path,
    repeats: int,
) -> dict[str, tuple[float, ...]]:
    with fits.open(plain.path, memmap=False) as file:
        image = np.asarray(file[0].data, np.float32)
    ra, dec = WCS(fits.Header.fromstring(plain.wcs_header)).all_pix2world(x, y, 0)
    order = np.argsort(y)
    sorted_x, sorted_y = x[order], y[order]

    def cut() -> None:
        for k in range(0, len(x), BLOCK):
            cut_stamps(image, sorted_x[k : k + BLOCK], sorted_y[k : k + BLOCK], SIZE_PX)

    def loop() -> None:
        for at in zip(sorted_x[:few], sorted_y[:few], strict=True):
            Cutout2D(image, at, SIZE_PX, mode="partial", fill_value=0.0)

    subjects: dict[str, Callable[[], object]] = {
        "cut": cut,
        "Cutout2D loop": loop,
        "to disk": lambda: _write_image(folder / "image.zarr", image, x, y),
        "file to disk": lambda: write_group(folder / "int16.zarr", plain, ra, dec, "int16"),
        "packed file to disk": lambda: write_group(folder / "p.zarr", packed, ra, dec, "int16"),
        "file to disk, float32": lambda: write_group(
            folder / "float32.zarr", plain, ra, dec, "float32"
        ),
        "read file": lambda: read_whole(plain),
        "read packed file": lambda: read_whole(packed),
    }
    if importlib.util.find_spec("astrocut"):
        subjects["astrocut"] = lambda: _astrocut(plain, ra[: few // 10], dec[: few // 10])
    return seconds_in_turn(subjects, repeats)


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

        def cut(rows: np.ndarray) -> None:
            pixels, flags[rows] = cut_stamps(image, x[rows], y[rows], SIZE_PX)
            stamps.put(rows, pixels)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(cut, blocks))
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


def _reading(folder: Path, repeats: int) -> dict[str, tuple[float, ...]]:
    subjects: dict[str, Callable[[], object]] = {}
    for encoding, suffix in (("int16", ""), ("float32", " float32")):
        store = CutoutStore(folder / f"{encoding}.zarr")
        path = store.path(PARTITION) / "r"
        rows = zarr.open_array(str(path), mode="r").shape[0]
        names = np.arange(rows).astype(str).astype(object)
        subjects |= {
            f"CutoutStore{suffix}": lambda s=store, n=names: s.read(PARTITION, n, ["r"]),
            f"zarr{suffix}": lambda p=path: zarr.open_array(str(p), mode="r")[:],
        }
        if importlib.util.find_spec("tensorstore"):
            subjects[f"tensorstore{suffix}"] = lambda p=path: _tensorstore(p)
    return seconds_in_turn(subjects, repeats)


def _tensorstore(path: Path) -> object:
    import tensorstore

    where = {"driver": "file", "path": f"{path}/"}
    return tensorstore.open({"driver": "zarr3", "kvstore": where}).result().read().result()


def _stamps(seconds: dict[str, tuple[float, ...]], rows: int, few: int) -> dict[str, Measurement]:
    """Count stamps a second: reading a tile whole would serve all its sources."""
    counts = {"Cutout2D loop": few, "astrocut": few // 10}
    return {
        name: rates(name, "cut", "stamps/s", counts.get(name, rows), taken)
        for name, taken in seconds.items()
    }
