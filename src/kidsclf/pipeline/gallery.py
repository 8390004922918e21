"""Put stamps beside the sources that the gallery chose."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.pipeline.context import Context, finished_partitions
from kidsclf.pipeline.inputs import rows_of
from kidsclf.schema import NAME, SPATIAL_INDEX
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore


def with_stamps(context: Context, table: pa.Table) -> pa.Table:
    """Add ``size_px``, ``band`` and ``image`` (row-major maggies; empty without a stamp).

    Parameters
    ----------
    table : pyarrow.Table
        With ``name`` and ``index29``.
    """
    images: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * table.num_rows
    bands, size = context.config.cutouts.bands, 0
    if context.has_images:
        index, names = table["index29"].to_numpy(), table[NAME].to_pylist()
        for partition in finished_partitions(context, "products"):
            wanted = np.flatnonzero(partition.contains(index))
            if len(wanted) == 0:
                continue
            known = HatsCatalogue(context.work.catalogue).read(partition, [SPATIAL_INDEX, NAME])
            all_names = known[NAME].to_numpy(zero_copy_only=False)
            chosen = pa.table({SPATIAL_INDEX: index[wanted], NAME: [names[k] for k in wanted]})
            rows = rows_of(known, chosen, partition)
            stamps = CutoutStore(context.work.cutouts).read(partition, all_names, bands[:1], rows)[
                bands[0]
            ]
            size = stamps.shape[1]
            for k, stamp in zip(wanted, stamps, strict=True):
                images[k] = stamp.reshape(-1)
    columns = {
        "size_px": pa.array([size] * table.num_rows, pa.int64()),
        "band": pa.array([bands[0] if size else ""] * table.num_rows, pa.string()),
        "image": pa.array([image.tolist() for image in images], pa.list_(pa.float32())),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table
