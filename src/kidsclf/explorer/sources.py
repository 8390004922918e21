"""The sources of a view, and those round a source: bounded in number, and said so where cut."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from kidsclf.explorer.catalogue import Explored
from kidsclf.explorer.patience import Patience
from kidsclf.pipeline.infer import CLASS, P_MAX
from kidsclf.pipeline.query import concerned
from kidsclf.pipeline.query_partition import Question, find_rows
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX
from kidsclf.sky.cap import separation_deg
from kidsclf.sky.cone import Cone
from kidsclf.sky.partition import Partition


@dataclass(frozen=True)
class Found:
    """Sources, and whether there are, or may be, more of them than were given."""

    rows: pa.Table
    cut: bool


def listed_columns(explored: Explored) -> tuple[str, ...]:
    """Name the columns of a source in a list or on the sky."""
    return (SPATIAL_INDEX, NAME, RA, DEC, explored.band, CLASS, P_MAX)


def sources_in(
    explored: Explored,
    partitions: Sequence[Partition],
    asked: Question,
    most: int,
    columns: tuple[str, ...],
    patience: Patience,
) -> Found:
    """Read the sources of some partitions that a question asks for, in the order of the sky.

    No further partition is opened once there are more than ``most``, which are left out, or when
    the patience is over.
    """
    parts, held, opened = [], 0, 0
    for partition in partitions:
        if held > most or (opened and patience.over):
            break
        parts.append(find_rows(explored.store, asked, columns, partition))
        held += parts[-1].num_rows
        opened += 1
    nothing = explored.schema.empty_table().select(columns)
    table = pa.concat_tables([_plain(each) for each in (nothing, *parts)])
    return Found(table.slice(0, most), held > most or opened < len(partitions))


def neighbours(explored: Explored, ra: float, dec: float, radius_deg: float, most: int) -> Found:
    """Read the sources round a place, the nearest first, with their ``distance_arcsec``."""
    cone = Cone(ra, dec, radius_deg)
    near, columns = concerned(explored.partitions, cone), listed_columns(explored)
    found = sources_in(explored, near, Question(cone), most, columns, Patience(math.inf))
    apart = separation_deg(found.rows[RA].to_numpy(), found.rows[DEC].to_numpy(), ra, dec) * 3600.0
    rows = found.rows.append_column("distance_arcsec", pa.array(apart))
    return Found(rows.take(np.argsort(apart, kind="stable")), found.cut)


def _plain(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)
