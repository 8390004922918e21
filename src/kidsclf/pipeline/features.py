"""Stage ``features``: the shape of every source, measured on its stamp."""

import difflib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import Config, FeatureSettings
from kidsclf.errors import ConfigError
from kidsclf.features.shapes import measure_shapes
from kidsclf.features.table import COLUMNS, NEEDS_PSF, columns_written
from kidsclf.pipeline.context import (
    Context,
    StageOutcome,
    code_fingerprint,
    finished_partitions,
    settings_of,
    task_fingerprint,
)
from kidsclf.pipeline.sample_receipts import pixel_scale
from kidsclf.pipeline.tasks import Made, Task
from kidsclf.places import remove_tree
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX, CutoutFlag
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.receipts import fingerprint
from kidsclf.store.stamp_reader import StampReader
from kidsclf.surveys.column_map import ColumnMap

BLOCK_BYTES = 64 * 1024**2
"""Of stamps as float32 that are read at once."""
MOST_ROWS = 4096
"""Of a block: as many as the kernels prepare at a time."""

_FILLED = int(CutoutFlag.EDGE | CutoutFlag.BAD_PIXEL)
"""Stamps with pixels of value 0 that were never seen."""


def run(context: Context) -> StageOutcome:
    """Measure all partitions; shapes that are no longer asked for are removed.

    Raises
    ------
    InputError
        When stamps of several pixel scales were cut.
    """
    if not context.config.has_features:
        remove_tree(context.work.features)
        return StageOutcome("features", 0, 0, 0, 0.0, 0.0)
    done = context.engine.map(measuring_tasks(context))
    HatsCatalogue(context.work.features).finish(
        "features", [(Partition.parse(receipt.task), receipt.rows) for receipt in done.receipts]
    )
    return StageOutcome.of("features", done)


def check_settings(config: Config, survey: ColumnMap) -> None:
    """Refuse what cannot be measured.

    Raises
    ------
    ConfigError
        For columns that do not exist or lack a PSF, a band without stamps, or a run without any.
    """
    settings = config.features
    if not settings.measure:
        return
    for name in settings.measure:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]}?" if near else "docs/morphology.md lists them"
            raise ConfigError(
                f"features.measure names {name!r}, which is not a column that can be measured; "
                f"{advice}"
            )
    if not config.has_images:
        raise ConfigError(
            f"features.measure asks for {settings.measure[0]!r}, but this run has no stamps; give "
            f"survey.tiles, or take features.measure out"
        )
    lacking = [name for name in settings.measure if name in NEEDS_PSF]
    if lacking and settings.psf_fwhm_arcsec is None:
        raise ConfigError(
            f"features.measure asks for {lacking[0]!r}, which compares with the PSF, but "
            f"features.psf_fwhm_arcsec is not set; set it to the seeing of the tiles"
        )
    band = measured_band(config, survey)
    if band not in config.cutouts.bands:
        raise ConfigError(
            f"features.band = {band!r} is to be measured, but cutouts.bands holds "
            f"{', '.join(config.cutouts.bands)}; name one of those"
        )


def measured_band(config: Config, survey: ColumnMap) -> str:
    """Name the band whose stamps are measured."""
    reference = survey.reference_band
    stamps = config.cutouts.bands
    return config.features.band or (reference if reference in stamps else None) or stamps[0]


def measuring_tasks(context: Context) -> list[Task]:
    """Plan one task a partition."""
    settings, band = context.config.features, measured_band(context.config, context.survey)
    scale = pixel_scale(context)
    base = fingerprint(code_fingerprint("features"), settings_of(settings), band, scale)
    return [
        Task(
            "features",
            partition.label,
            fingerprint(
                base, receipt.fingerprint, task_fingerprint(context, "cutouts", partition.label)
            ),
            measure_partition,
            (context.work, partition, band, scale, settings),
            receipt.rows,
        )
        for partition, receipt in finished_partitions(context, "features").items()
    ]


def measure_partition(
    work: WorkDirectory,
    partition: Partition,
    band: str,
    pixel_scale_arcsec: float,
    settings: FeatureSettings,
) -> Made:
    """Measure the stamps of one partition and publish the columns."""
    sources = HatsCatalogue(work.catalogue).read(partition, [SPATIAL_INDEX, NAME, RA, DEC])
    reader = CutoutStore(work.cutouts).reader(partition, sources[NAME])
    parts = [
        measure_shapes(
            stamps, masks, settings.measure, pixel_scale_arcsec, settings.psf_fwhm_arcsec
        )
        for stamps, masks in _blocks(reader, band)
    ]
    shapes = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table = _with_words(sources, shapes, settings)
    path = HatsCatalogue(work.features).write(partition, table)
    return Made(table.num_rows, (path,), {"measured": _measured(shapes)})


def _blocks(
    reader: StampReader, band: str
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Give stamps, float32 (n, size, size), and masks of the pixels that were filled, in order."""
    flags = reader.flags()
    side = reader.group[band].shape[-1]
    step = block_rows(side)
    for start in range(0, len(flags), step):
        rows = slice(start, start + step)
        stamps = reader.read((band,), rows)[band]
        filled = (flags[rows] & _FILLED != 0)[:, None, None]
        yield stamps, filled & (stamps == 0)


def block_rows(size_px: int) -> int:
    """Say how many stamps are read at once."""
    return min(MOST_ROWS, max(1, BLOCK_BYTES // (4 * size_px**2)))


def _measured(shapes: dict[str, NDArray[np.generic]]) -> dict[str, int]:
    """Count the numbers of each column, those withheld left out."""
    return {
        name: int(np.isfinite(values).sum())
        for name, values in shapes.items()
        if values.dtype == np.float32
    }


def _with_words(
    sources: pa.Table, shapes: dict[str, NDArray[np.generic]], settings: FeatureSettings
) -> pa.Table:
    """Put the columns beside the sources, unit and meaning where Parquet keeps them."""
    table = sources
    for column in columns_written(settings.measure):
        said = {"unit": column.unit, "description": column.meaning}
        values = pa.array(shapes[column.name])
        words = {key: text for key, text in said.items() if text}
        table = table.append_column(pa.field(column.name, values.type, metadata=words), values)
    return table
