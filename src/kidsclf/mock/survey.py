"""Write a whole mock survey: tiles in parallel, then the tables that span them."""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kidsclf.errors import InputError
from kidsclf.mock.fits_tables import Columns, write_table
from kidsclf.mock.layout import Tile, random_generator, survey_tiles
from kidsclf.mock.settings import MockSettings
from kidsclf.mock.sources import CLASS_NAMES
from kidsclf.mock.spectra import spectrum_names
from kidsclf.mock.tile_product import TileProduct, write_tile

OUTSIDE_SHARE: Final = 0.05
"""Spectra beyond the footprint, relative to those within."""
FOLDERS: Final = ("catalogues", "labels", "tiles")


@dataclass(frozen=True)
class MockSurvey:
    """What was written: paths, and how many rows stand in each kind of table."""

    folder: Path
    catalogues: tuple[Path, ...]
    images: tuple[Path, ...]
    sdss: Path
    gaia: Path
    gama: Path
    truth: Path
    catalogue_rows: int
    shared_rows: int
    sdss_rows: int
    gaia_rows: int
    gama_rows: int


def write_survey(settings: MockSettings, out: Path) -> MockSurvey:
    """Write a synthetic survey to a new or empty folder.

    Raises
    ------
    InputError
        If the folder holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"A mock survey was to be written to {out}, which holds something already; "
            "name a new or empty folder."
        )
    for name in FOLDERS if settings.catalogue_rows is None else FOLDERS[:2]:
        (out / name).mkdir(parents=True, exist_ok=True)
    products, truth = _write_tiles(settings, out)
    labels = {
        name: _join([getattr(product, name) for product in products])
        for name in ("sdss", "gaia", "gama")
    }
    labels["sdss"] = _join([labels["sdss"], _spectra_outside(settings, labels["sdss"])])
    names = {"sdss": "specObj", "gaia": "gaia", "gama": "gama"}
    paths = {name: out / "labels" / f"{file}-mock.fits" for name, file in names.items()}
    rows = {name: write_table(paths[name], labels[name], names[name].upper()) for name in names}
    survey = MockSurvey(
        folder=out,
        catalogues=tuple(product.catalogue for product in products),
        images=tuple(path for product in products for path in product.images),
        truth=truth,
        catalogue_rows=sum(product.rows for product in products),
        shared_rows=sum(product.shared_rows for product in products),
        sdss=paths["sdss"],
        gaia=paths["gaia"],
        gama=paths["gama"],
        sdss_rows=rows["sdss"],
        gaia_rows=rows["gaia"],
        gama_rows=rows["gama"],
    )
    _write_summary(survey, settings)
    return survey


def _write_tiles(settings: MockSettings, out: Path) -> tuple[list[TileProduct], Path]:
    """Write the tiles, adding each one's truth to one Parquet file as it comes in, in order."""
    products: list[TileProduct] = []
    path = out / "truth.parquet"
    writer: pq.ParquetWriter | None = None
    for product in _run_tiles(settings, out):
        writer = writer or pq.ParquetWriter(path, product.truth.schema)
        writer.write_table(product.truth)
        products.append(replace(product, truth=pa.table({})))
    if writer is not None:
        writer.close()
    return products, path


def _run_tiles(settings: MockSettings, out: Path) -> Iterator[TileProduct]:
    tiles = survey_tiles(settings)
    workers = min(settings.workers, len(tiles))
    if workers == 1:
        for tile in tiles:
            yield write_tile(settings, tiles, tile, out)
        return
    # Fresh interpreters: a forked one would inherit the threads and locks of the caller.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(write_tile, settings, tiles, tile, out) for tile in tiles]
        futures.reverse()
        while futures:
            yield futures.pop().result()


def _join(tables: list[Columns]) -> Columns:
    return {
        name: (np.concatenate([table[name][0] for table in tables]), unit)
        for name, (_, unit) in tables[0].items()
    }


def _spectra_outside(settings: MockSettings, inside: Columns) -> Columns:
    """Return spectra north of the footprint: copies of others' values at places of their own."""
    rng = random_generator(settings, None, "outside")
    tiles: tuple[Tile, ...] = survey_tiles(settings)
    count = round(OUTSIDE_SHARE * len(inside["Z"][0]))
    rows = rng.integers(0, len(inside["Z"][0]), count)
    copied: Columns = {name: (values[rows], unit) for name, (values, unit) in inside.items()}
    top = tiles[-1].dec_deg + tiles[-1].side_deg
    changed: dict[str, Any] = {
        "SPECOBJID": spectrum_names(0, count),
        "PLUG_RA": (settings.ra_deg + rng.uniform(-1.0, 1.0, count)) % 360.0,
        "PLUG_DEC": top + rng.uniform(0.1, 1.0, count),
    }
    return {name: (changed.get(name, values), unit) for name, (values, unit) in copied.items()}


def _write_summary(survey: MockSurvey, settings: MockSettings) -> None:
    # The number of workers is left out: it must not change a byte.
    chosen = {key: value for key, value in asdict(settings).items() if key != "workers"}
    counts = {key: value for key, value in asdict(survey).items() if key.endswith("_rows")}
    summary = {"settings": chosen, "counts": counts, "classes": CLASS_NAMES}
    path = survey.folder / "survey.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
