"""The answer of one partition to a question: only row groups that may hold some are read."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.pipeline.infer import CLASS, FLAGS, P_MAX
from kidsclf.places import open_parquet
from kidsclf.schema import DEC, RA, SPATIAL_INDEX
from kidsclf.sky.cone import Cone
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.row_groups import place_of, row_groups_touching


@dataclass(frozen=True)
class Range:
    """Values of a column of numbers, both ends included; None is no end, and NaN is in none."""

    column: str
    low: float | None = None
    high: float | None = None

    def holds(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Say which values lie in it, compared in their own precision."""
        held: NDArray[np.bool_] = ~np.isnan(values)
        if self.low is not None:
            held &= values >= values.dtype.type(self.low)
        if self.high is not None:
            held &= values <= values.dtype.type(self.high)
        return held


@dataclass(frozen=True)
class Question:
    """Which sources are asked for; None asks for all.

    Attributes
    ----------
    cone : Cone or None
    class_name : str or None
        Most probable class, in letters of either case; "" asks for unclassified sources.
    p_min : float or None
        Least ``p_max``.
    flags, without_flags : int
        Bits of ``ScoreFlag``, added up: all of the first are set, none of the others.
    columns : tuple of str or None
        Those of the answer, in their order; None: all but the spatial index.
    ranges : tuple of Range
        All of which a source is in.
    """

    cone: Cone | None = None
    class_name: str | None = None
    p_min: float | None = None
    flags: int = 0
    without_flags: int = 0
    columns: tuple[str, ...] | None = None
    ranges: tuple[Range, ...] = ()


def find_rows(
    store: HatsCatalogue, question: Question, names: tuple[str, ...], partition: Partition
) -> pa.Table:
    """Read the answer of one partition: first what decides, then the rest of those row groups.

    Parameters
    ----------
    store : HatsCatalogue
    question : Question
    names : tuple of str
        Columns of the answer.
    partition : Partition

    Raises
    ------
    StoreError
        When the file is missing or damaged.
    """
    path = store.path(partition)
    deciding = _deciding(question)
    try:
        with open_parquet(path) as file:
            groups = _groups(file, question)
            if not deciding:
                return file.read_row_groups(groups, columns=list(names)).select(names)
            return _answers(file, question, names, deciding, groups)
    except StoreError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"partition {partition.label} of the catalogue was expected at {path}, but it cannot "
            f"be read ({error}); run the same command of the run again to make it anew"
        ) from error


def _deciding(question: Question) -> list[str]:
    """List the columns that decide whether a source is an answer."""
    asked = {
        RA: question.cone,
        DEC: question.cone,
        CLASS: question.class_name,
        P_MAX: question.p_min,
        FLAGS: (question.flags | question.without_flags) or None,
    }
    ranged = (each.column for each in question.ranges)
    named = (name for name, what in asked.items() if what is not None)
    return list(dict.fromkeys((*named, *ranged)))


def _groups(file: pq.ParquetFile, question: Question) -> list[int]:
    """Number the row groups that may hold an answer, by what their statistics say."""
    groups = list(range(file.num_row_groups))
    if question.cone is not None:
        stretches = question.cone.stretches()
        groups = [*row_groups_touching(file.metadata, SPATIAL_INDEX, stretches).tolist()]
    for asked in _ranges(question):
        place = place_of(file.metadata, asked.column)
        if place is not None:
            groups = [group for group in groups if _reaches(file, group, place, asked)]
    return groups


def _ranges(question: Question) -> tuple[Range, ...]:
    """List the ranges that are asked for, the least ``p_max`` among them."""
    surely = () if question.p_min is None else (Range(P_MAX, low=question.p_min),)
    return (*surely, *question.ranges)


def _reaches(file: pq.ParquetFile, group: int, place: int, asked: Range) -> bool:
    statistics = file.metadata.row_group(group).column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    above = asked.low is None or np.float32(statistics.max) >= np.float32(asked.low)
    below = asked.high is None or np.float32(statistics.min) <= np.float32(asked.high)
    return bool(above and below)


def _answers(
    file: pq.ParquetFile,
    question: Question,
    names: tuple[str, ...],
    deciding: list[str],
    groups: list[int],
) -> pa.Table:
    kept, masks = [], []
    for group in groups:
        chosen = _chosen(file.read_row_group(group, columns=deciding), question)
        if chosen.any():
            kept.append(group)
            masks.append(chosen)
    table = file.read_row_groups(kept, columns=list(names)).select(names)
    return table.filter(pa.array(np.concatenate([np.zeros(0, np.bool_), *masks])))


def _chosen(rows: pa.Table, question: Question) -> NDArray[np.bool_]:
    chosen = np.ones(rows.num_rows, np.bool_)
    if question.cone is not None:
        chosen &= question.cone.holds(rows[RA].to_numpy(), rows[DEC].to_numpy())
    if question.class_name is not None:
        same = pc.equal(pc.utf8_lower(rows[CLASS]), question.class_name.lower())
        chosen &= same.to_numpy()
    for each in _ranges(question):
        chosen &= each.holds(rows[each.column].to_numpy())
    decisive = question.flags | question.without_flags
    if decisive:
        chosen &= (rows[FLAGS].to_numpy() & decisive) == question.flags
    return chosen
