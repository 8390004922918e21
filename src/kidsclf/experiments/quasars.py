"""Positions of another survey's quasars, for a comparison of a catalogue that is finished.

A sample of the configuration would do the same, but a new one has labels matched again, and
networks trained again that may have learnt from them.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.config import StoreSettings
from kidsclf.errors import InputError
from kidsclf.ingest.crossmatch import nearest
from kidsclf.pipeline.compared_rows import USUAL_NAMES, find_column
from kidsclf.places import Place, file_fingerprint
from kidsclf.schema import DEC, RA, SPATIAL_INDEX
from kidsclf.sky.margin import stretches_around, within
from kidsclf.sky.partition import Partition, spatial_index
from kidsclf.store.tables import read_table, write_table
from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.tables import column_names, find_files, plan_chunks, read_chunk

RADIUS_ARCSEC = 1.0
"""Feng §2.2."""
_CHUNK_ROWS = 500_000


def stage_positions(
    text: str, named: Mapping[str, str], settings: StoreSettings, path: Place
) -> tuple[int, str]:
    """Read positions and write them in the order of the sky.

    Parameters
    ----------
    text : str
        A file or glob of tables.
    named : mapping of role to column
        ``ra`` and ``dec``; looked for under usual names where they are not named.
    path : Place
        Of the table that is written: spatial index, ``ra``, ``dec`` (degrees, ICRS).

    Returns
    -------
    rows, fingerprint
        How many there are, and a hash of the files.

    Raises
    ------
    ConfigError
        When a column is not there.
    InputError
        When there are no tables, or no position in them.
    """
    paths = find_files([text], settings)
    present = column_names(paths[0])
    columns = {
        role: find_column(role, named, USUAL_NAMES[role], present, text) for role in (RA, DEC)
    }
    column_map = ColumnMap.model_validate(
        {"name": text, "identifier": {"from_rows": True}, "position": columns}
    )
    chunks = plan_chunks(paths, _CHUNK_ROWS)
    parts = [read_chunk(chunk, column_map, ()).select([RA, DEC]) for chunk in chunks]
    table = pa.concat_tables(parts)
    table = table.filter(pa.array(np.isfinite(table[RA].to_numpy() + table[DEC].to_numpy())))
    if not table.num_rows:
        raise InputError(f"quasars were to be read from {text}, but it holds no position")
    index = spatial_index(table[RA].to_numpy(), table[DEC].to_numpy())
    placed = table.append_column(SPATIAL_INDEX, pa.array(index, pa.int64()))
    write_table(path, placed.sort_by(SPATIAL_INDEX))
    return table.num_rows, str([file_fingerprint(each) for each in paths])


def sources_near(path: Place, partition: Partition, sources: pa.Table) -> NDArray[np.int64]:
    """Find the sources of a partition that lie within ``RADIUS_ARCSEC`` of a staged position.

    Returns
    -------
    int64 array
        Rows of ``sources``, ascending; two sources may lie near one position.
    """
    table = read_table(path)
    near = within(table[SPATIAL_INDEX].to_numpy(), stretches_around(partition, RADIUS_ARCSEC))
    some = table.filter(pa.array(near))
    if not some.num_rows or not sources.num_rows:
        return np.empty(0, np.int64)
    rows, _, _ = nearest(
        sources[RA].to_numpy(),
        sources[DEC].to_numpy(),
        some[RA].to_numpy(),
        some[DEC].to_numpy(),
        RADIUS_ARCSEC,
    )
    return rows
