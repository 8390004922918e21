"""The sources of a view, and those round a source: bounded in number, and said so where cut."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from kidsclf.explorer.catalogue import Explored
from kidsclf.pipeline.infer import CLASS, P_MAX
from kidsclf.pipeline.query import concerned
from kidsclf.pipeline.query_partition import Question, find_rows
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX
from kidsclf.sky.cap import separation_deg
from kidsclf.sky.cone import Cone


@dataclass(frozen=True)
class Found:
    """Sources, and whether there are more of them than were to be given."""

    rows: pa.Table
    cut: bool


def listed_columns(explored: Explored) -> tuple[str, ...]:
    """Name the columns of a source in a list or on the sky."""
    return (SPATIAL_INDEX, NAME, RA, DEC, explored.band, CLASS, P_MAX)


def sources_in(
    explored: Explored, cone: Cone, question: Question, most: int, columns: tuple[str, ...]
) -> Found:
    """Read the sources in a cone that a question asks for, in the order of the sky.

    No further partition is opened once there are more than ``most``; those are left out.
    """
    asked, parts, held = replace(question, cone=cone), [], 0
    for partition in concerned(explored.partitions, cone):
        rows = find_rows(explored.store, asked, columns, partition)
        parts.append(rows)
        held += rows.num_rows
        if held > most:
            break
    nothing = explored.schema.empty_table().select(columns)
    table = pa.concat_tables([_plain(each) for each in (nothing, *parts)])
    return Found(table.slice(0, most), held > most)


def neighbours(explored: Explored, ra: float, dec: float, radius_deg: float, most: int) -> Found:
    """Read the sources round a place, the nearest first, with their ``distance_arcsec``."""
    cone = Cone(ra, dec, radius_deg)
    found = sources_in(explored, cone, Question(), most, listed_columns(explored))
    apart = separation_deg(found.rows[RA].to_numpy(), found.rows[DEC].to_numpy(), ra, dec) * 3600.0
    rows = found.rows.append_column("distance_arcsec", pa.array(apart))
    return Found(rows.take(np.argsort(apart, kind="stable")), found.cut)


def _plain(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)
