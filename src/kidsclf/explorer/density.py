"""How many sources of each class lie in each HEALPix cell of a view.

Wide views are answered from ``metrics/sky``, which the run has counted. Cells finer than those, or
of sources that a filter chooses, are counted from the row groups that a view touches: two columns
of a partition, remembered. A question may take so long and no longer; what it did not come to is
said, and asking again goes on from there.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.explorer.catalogue import Explored
from kidsclf.pipeline.infer import CLASS
from kidsclf.pipeline.query import concerned
from kidsclf.pipeline.query_partition import Question, find_rows
from kidsclf.reduce.cells import add_rows
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.cone import Cone
from kidsclf.sky.outline import outline
from kidsclf.sky.partition import INDEX_ORDER, Partition
from kidsclf.store.tables import read_table

CELLS_ACROSS = 36
"""Of a view: finer ones are too small to be told apart, and too many to draw."""
FINEST_ORDER = 12
"""Cells of 52 arcsec; closer than that, sources are shown."""
_COUNTED_ORDERS = 2
"""Counts are kept this much finer than asked: zooming in does not read the same rows again."""
_REMEMBERED = 512
"""Counts of a partition, or twice as many as there are partitions: whoever asks on must find all
that was counted before. Those of 100,000 sources take at most 3 MB, and of a wide view few kB."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Counts of the cells of a view.

    Attributes
    ----------
    order : int
    pixels : int64 array (n,)
        NESTED, ascending.
    counts : int64 array (n, classes + 1)
        By class, those without one at the end.
    looked_at, partitions : int
        How many of the partitions that the view touches are in the counts.
    """

    order: int
    pixels: Integers
    counts: Integers
    looked_at: int
    partitions: int

    @property
    def complete(self) -> bool:
        """Whether all partitions are in the counts."""
        return self.looked_at == self.partitions

    @property
    def total(self) -> int:
        """All sources counted."""
        return int(self.counts.sum())


def order_for(radius_deg: float) -> int:
    """Choose the order of cells for a view of a radius.

    >>> order_for(180.0), order_for(1.0), order_for(0.001)
    (3, 11, 12)
    """
    width = 2 * radius_deg / CELLS_ACROSS
    order = np.ceil(np.log2(np.degrees(np.sqrt(np.pi / 3)) / width))
    return int(np.clip(order, 2, FINEST_ORDER))


class Density:
    """Counts the cells of one catalogue."""

    def __init__(self, explored: Explored) -> None:
        self._explored = explored
        remembered = max(_REMEMBERED, 2 * len(explored.partitions))
        self._count = lru_cache(remembered)(self._count_partition)
        self._whole = _counted_by_the_run(explored)

    def cells(self, cone: Cone, question: Question, seconds: float) -> Cells:
        """Count the sources that a question asks for, in the cells that a cone touches.

        Parameters
        ----------
        cone : Cone
        question : Question
            Without a cone.
        seconds : float
            After which no further partition is opened; at least one is.
        """
        order = order_for(cone.radius_deg)
        whole = self._whole
        of_all = question == Question(class_name=question.class_name)
        if whole is not None and of_all and whole.order >= order:
            found = _coarsened(self._of_class(whole, question.class_name), order)
        else:
            found = self._counted(cone, question, order, seconds)
        return _touched(found, cone)

    def widest(self, seconds: float) -> Cells:
        """Count all sources, in the finest cells that the run has counted."""
        if self._whole is not None:
            return self._whole
        return self.cells(Cone(0.0, 0.0, 180.0), Question(), seconds)

    def _of_class(self, cells: Cells, name: str | None) -> Cells:
        """Keep the sources of one class, "" being none; None: of all."""
        if name is None:
            return cells
        place = [*self._explored.classes, ""].index(name)
        counts = np.zeros_like(cells.counts)
        counts[:, place] = cells.counts[:, place]
        held = counts[:, place] > 0
        return replace(cells, pixels=cells.pixels[held], counts=counts[held])

    def _counted(self, cone: Cone, question: Question, order: int, seconds: float) -> Cells:
        partitions = concerned(self._explored.partitions, cone)
        finer = min(order + _COUNTED_ORDERS - order % _COUNTED_ORDERS, FINEST_ORDER)
        pixels = [np.zeros(0, np.int64)]
        counts: list[NDArray[Any]] = [np.zeros((0, len(self._explored.classes) + 1), np.int64)]
        until, looked_at = time.monotonic() + seconds, 0
        for partition in partitions:
            if looked_at and time.monotonic() > until:
                break
            some, counted = self._count(partition, question, finer)
            pixels.append(some >> (2 * (finer - order)))
            counts.append(counted)
            looked_at += 1
        cells = add_rows(np.concatenate(pixels), np.concatenate(counts))
        return Cells(order, *cells, looked_at, len(partitions))

    def _count_partition(
        self, partition: Partition, question: Question, order: int
    ) -> tuple[Integers, NDArray[np.int32]]:
        names = (SPATIAL_INDEX, CLASS)
        rows = find_rows(self._explored.store, question, names, partition)
        classes = self._explored.classes
        codes = pc.index_in(rows[CLASS], pa.array(classes, pa.string()))
        codes = pc.fill_null(codes, len(classes)).to_numpy()
        pixels = rows[SPATIAL_INDEX].to_numpy() >> (2 * (INDEX_ORDER - order))
        firsts = np.flatnonzero(np.diff(pixels, prepend=-1))
        place = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(pixels))))
        width = len(classes) + 1
        counts = np.bincount(place * width + codes, minlength=len(firsts) * width)
        return pixels[firsts], counts.reshape(len(firsts), width).astype(np.int32)


def corners(order: int, pixels: Sequence[int], around_ra: float) -> list[list[float]]:
    """Give the corners of cells, degrees: four right ascensions, then four declinations."""
    found = []
    for pixel in pixels:
        ra, dec = outline(Partition(order, pixel), around_ra)
        found.append([*ra.round(6).tolist(), *dec.round(6).tolist()])
    return found


def _counted_by_the_run(explored: Explored) -> Cells | None:
    """Read ``metrics/sky``, which is of the catalogue; None where the run has not made it."""
    path = explored.work.metrics / "sky.parquet"
    if not path.exists():
        return None
    table = read_table(path)
    if table.num_rows == 0:
        return None
    classed = np.stack([table[name.lower()].to_numpy() for name in explored.classes], axis=1)
    others = table["count"].to_numpy() - classed.sum(axis=1)
    counts = np.column_stack([classed, others]).astype(np.int64)
    parts = len(explored.partitions)
    return Cells(int(table["order"][0].as_py()), table["pixel"].to_numpy(), counts, parts, parts)


def _coarsened(cells: Cells, order: int) -> Cells:
    pixels, counts = add_rows(cells.pixels >> (2 * (cells.order - order)), cells.counts)
    return Cells(order, pixels, counts, cells.looked_at, cells.partitions)


def _touched(cells: Cells, cone: Cone) -> Cells:
    """Keep the cells that a cone touches."""
    shift = 2 * (INDEX_ORDER - cells.order)
    stretches = cone.stretches()
    firsts, stops = cells.pixels << shift, (cells.pixels + 1) << shift
    nearest = np.searchsorted(stretches[:, 1], firsts, side="right")
    begins = np.append(stretches[:, 0], np.iinfo(np.int64).max)
    inside = begins[nearest] < stops
    return replace(cells, pixels=cells.pixels[inside], counts=cells.counts[inside])
