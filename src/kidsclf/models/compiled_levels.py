"""The first levels of a tree asked of many sources at once, without looking anything up.

Every source is held against all nodes of a level, and the answer of its own is kept: chosen among
two neighbours by whether it went right a level before, among the two that are left by the level
before that, and so on. Of an answer only the highest bit counts. It is that of the mean of a rank
and of the complement of the rank from which on a source goes right, rounded up, which overflows
from there on. Mean and choice are an instruction each for 64 sources where a processor has
AVX-512 (VPAVGB, VPTERNLOG).
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kidsclf.models.vectors import INT64, NOTHING, all_of, loaded, repeated, stored, vector_of

LANES = 256
"""Sources of a block; what is known of them fits into the fastest memory."""

MOST_LEVELS = 8
"""Places at the end of so many are bytes."""

_LEVELS_OF_A_GROUP = 3
_TOGETHER = 2
"""Vectors of sources that a node is asked of at once."""


def _ask_levels(_: Any, ranks: Any, rows: Any, limits: Any, levels: Any, places: Any) -> Any:
    vector = vector_of(ranks.dtype.bitwidth)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        ranks, rows, limits, levels, places = arguments
        with cgutils.for_range(
            builder, ir.Constant(INT64, LANES // (_TOGETHER * vector.count))
        ) as loop:
            start = builder.mul(loop.index, ir.Constant(INT64, _TOGETHER * vector.count))
            starts = [
                builder.add(start, ir.Constant(INT64, k * vector.count)) for k in range(_TOGETHER)
            ]
            tree = _Tree(builder, vector, (ranks, rows, limits), starts)
            for level in range(MOST_LEVELS):
                is_there = builder.icmp_signed(">", levels, ir.Constant(INT64, level))
                with builder.if_then(is_there):
                    tree.ask(level)
            for place, at in zip(tree.places, starts, strict=True):
                stored(builder, builder.load(place), places, at)
        return NOTHING

    return types.void(ranks, rows, limits, levels, places), generate


ask_levels: Any = intrinsic(_ask_levels)
"""Finds the place of each source at the end of some levels of a tree, from the left.

It takes the address of ``ranks``, unsigned, ``LANES`` of each row; of ``rows``, int32, where the
row that each node compares starts; of ``limits``, int32, the complement of the rank from which on a
source goes right, repeated to 32 bits; the number of levels; and the address of ``places``, of the
type of the ranks.
"""


class _Tree:
    """Writes down the instructions for one tree, level by level."""

    def __init__(self, builder: Any, vector: Any, tables: tuple[Any, Any, Any], starts: Any):
        self.builder, self.vector, self.starts = builder, vector, starts
        self.ranks, self.rows, self.limits = tables
        self.answers = [self._room() for _ in range(MOST_LEVELS)]
        self.places = self._room()
        for place in self.places:
            builder.store(all_of(vector, 0), place)

    def _room(self) -> list[Any]:
        return [
            cgutils.alloca_once(self.builder, self.vector)  # type: ignore[no-untyped-call]
            for _ in self.starts
        ]

    def ask(self, level: int) -> None:
        """Go a level down."""
        builder = self.builder
        ways = [[builder.load(each) for each in self.answers[k]] for k in range(level)]
        first = ir.Constant(INT64, 2**level - 1)
        if level <= _LEVELS_OF_A_GROUP:
            chosen = self._chosen(ways, 0, lambda place: self._asked(first, place))
        else:
            chosen = self._chosen_of_groups(ways, first)
        highest = all_of(self.vector, self.vector.element.width - 1)
        for answer, kept, place in zip(chosen, self.answers[level], self.places, strict=True):
            builder.store(answer, kept)
            before = builder.load(place)
            right = builder.lshr(answer, highest)
            builder.store(builder.or_(builder.add(before, before), right), place)

    def _chosen_of_groups(self, ways: list[list[Any]], first: Any) -> list[Any]:
        """Choose in groups of nodes one after the other, then among the groups.

        A loop, so that the instructions of many nodes are not all in flight, and their number
        stays small.
        """
        builder = self.builder
        above, within = ways[:-_LEVELS_OF_A_GROUP], ways[-_LEVELS_OF_A_GROUP:]
        groups = ir.Constant(INT64, 2 ** len(above))
        rooms = [
            cgutils.alloca_once(builder, self.vector, size=groups)  # type: ignore[no-untyped-call]
            for _ in self.starts
        ]
        with cgutils.for_range(builder, groups) as loop:
            nodes = builder.mul(loop.index, ir.Constant(INT64, 2**_LEVELS_OF_A_GROUP))
            node = builder.add(first, nodes)
            chosen = self._chosen(within, 0, lambda place: self._asked(node, place))
            for answer, room in zip(chosen, rooms, strict=True):
                builder.store(answer, builder.gep(room, [loop.index]))

        def kept(group: int) -> list[Any]:
            return [builder.load(builder.gep(room, [ir.Constant(INT64, group)])) for room in rooms]

        return self._chosen(above, 0, kept)

    def _chosen(
        self, ways: list[list[Any]], place: int, answers_of: Callable[[int], list[Any]]
    ) -> list[Any]:
        """Choose by the ways that sources went, from one of some nodes side by side on."""
        if not ways:
            return answers_of(place)
        right_here, *further_down = ways
        left, right = (self._chosen(further_down, 2 * place + k, answers_of) for k in (0, 1))
        builder, ones = self.builder, all_of(self.vector, -1)
        return [
            builder.or_(builder.and_(b, way), builder.and_(a, builder.xor(way, ones)))
            for a, b, way in zip(left, right, right_here, strict=True)
        ]

    def _asked(self, first: Any, offset: int) -> list[Any]:
        """Ask one node: the one so many after ``first``."""
        builder = self.builder
        place = builder.add(first, ir.Constant(INT64, offset))
        row = builder.sext(builder.load(builder.gep(self.rows, [place])), INT64)
        limit = repeated(builder, builder.load(builder.gep(self.limits, [place])), self.vector)
        wide = ir.VectorType(ir.IntType(2 * self.vector.element.width), self.vector.count)
        one = all_of(wide, 1)
        answers = []
        for start in self.starts:
            rank = loaded(builder, self.ranks, builder.add(row, start), self.vector)
            total = builder.add(builder.zext(rank, wide), builder.zext(limit, wide))
            mean = builder.lshr(builder.add(total, one), one)
            answers.append(builder.trunc(mean, self.vector))
        return answers
