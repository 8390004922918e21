"""How many sources of each class lie in each HEALPix cell of a view.

Wide views are answered from ``metrics/sky``, which the run has counted. Cells finer than those, or
of sources that a filter chooses, are counted from the partitions that a view touches: two columns
of each, remembered. A question may take so long and no longer; what it did not come to is
said, and asking again goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.explorer.catalogue import Explored
from kidsclf.explorer.patience import Patience
from kidsclf.explorer.remembered import Counted, Remembered
from kidsclf.pipeline.infer import CLASS
from kidsclf.pipeline.query import concerned
from kidsclf.pipeline.query_partition import Question, find_rows
from kidsclf.reduce.cells import add_rows
from kidsclf.schema import SPATIAL_INDEX
from kidsclf.sky.cone import Cone
from kidsclf.sky.margin import Stretches, stretches_of_pixels
from kidsclf.sky.outline import outline
from kidsclf.sky.partition import INDEX_ORDER, Partition
from kidsclf.store.tables import read_table

CELLS_ACROSS = 36
"""Of a view: finer ones are too small to be told apart, and too many to draw."""
FINEST_ORDER = 12
"""Cells of 52 arcsec; closer than that, sources are shown."""
_COUNTED_ORDERS = 2
"""Counts are kept this much finer than asked: zooming in does not read the same rows again."""
_REMEMBERED_BYTES = 256 * 1024**2
"""Far more than one view needs, so whoever asks on finds all that was counted before: counts of a
partition of 100,000 sources take at most 3 MB where few partitions are in view, else few kB."""

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
    holding : tuple of Partition
        Those of them that hold what was counted, in the order of the sky.
    """

    order: int
    pixels: Integers
    counts: Integers
    looked_at: int
    partitions: int
    holding: tuple[Partition, ...] = ()

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
        self._remembered = Remembered(_REMEMBERED_BYTES)
        self._whole = _counted_by_the_run(explored)

    def cells(self, cone: Cone, question: Question, patience: Patience) -> Cells:
        """Count the sources that a question asks for, in the cells that a cone touches.

        Parameters
        ----------
        cone : Cone
        question : Question
            Without a cone.
        patience : Patience
            When it is over no further partition is opened; at least one is of those not remembered.
        """
        order = order_for(cone.radius_deg)
        whole = self._whole
        of_all = question == Question(class_name=question.class_name)
        if whole is not None and of_all and whole.order >= order:
            counted = self._of_class(whole, question.class_name)
            holding = self._holding(_touched(counted, cone))
            return replace(_touched(_coarsened(counted, order), cone), holding=holding)
        return _touched(self._counted(cone, question, order, patience), cone)

    def widest(self, patience: Patience) -> Cells:
        """Count all sources, in the finest cells that the run has counted."""
        if self._whole is not None:
            return self._whole
        return self.cells(Cone(0.0, 0.0, 180.0), Question(), patience)

    def _of_class(self, cells: Cells, name: str | None) -> Cells:
        """Keep the sources of one class, "" being none; None: of all."""
        if name is None:
            return cells
        place = [*self._explored.classes, ""].index(name)
        counts = np.zeros_like(cells.counts)
        counts[:, place] = cells.counts[:, place]
        held = counts[:, place] > 0
        return replace(cells, pixels=cells.pixels[held], counts=counts[held])

    def _holding(self, cells: Cells) -> tuple[Partition, ...]:
        """List the partitions in which occupied cells lie."""
        stretches = stretches_of_pixels(cells.pixels, 2 * (INDEX_ORDER - cells.order))
        return tuple(self._explored.partitions[k] for k in self._explored.sky.touching(stretches))

    def _counted(self, cone: Cone, question: Question, order: int, patience: Patience) -> Cells:
        partitions = concerned(self._explored.partitions, cone)
        finer = min(order + _COUNTED_ORDERS - order % _COUNTED_ORDERS, FINEST_ORDER)
        pixels = [np.zeros(0, np.int64)]
        counts: list[NDArray[Any]] = [np.zeros((0, len(self._explored.classes) + 1), np.int64)]
        looked_at, read, holding, stretches = 0, False, [], cone.stretches()
        for partition in partitions:
            key = (partition, question, finer)
            found = self._remembered.get(key)
            if found is None:
                if read and patience.over:
                    break
                found, read = self._count_partition(*key), True
                self._remembered.keep(key, found)
            some, counted = found
            if _touching(finer, some, stretches).any():
                holding.append(partition)
            pixels.append(some >> (2 * (finer - order)))
            counts.append(counted)
            looked_at += 1
        cells = add_rows(np.concatenate(pixels), np.concatenate(counts))
        return Cells(order, *cells, looked_at, len(partitions), tuple(holding))

    def _count_partition(self, partition: Partition, question: Question, order: int) -> Counted:
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
    inside = _touching(cells.order, cells.pixels, cone.stretches())
    return replace(cells, pixels=cells.pixels[inside], counts=cells.counts[inside])


def _touching(order: int, pixels: Integers, stretches: Stretches) -> NDArray[np.bool_]:
    """Say which cells touch some stretches of the spatial index."""
    shift = 2 * (INDEX_ORDER - order)
    firsts, stops = pixels << shift, (pixels + 1) << shift
    nearest = np.searchsorted(stretches[:, 1], firsts, side="right")
    begins = np.append(stretches[:, 0], np.iinfo(np.int64).max)
    return np.asarray(begins[nearest] < stops)
