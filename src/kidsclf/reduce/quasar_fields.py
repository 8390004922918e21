"""How the density of quasars differs from field to field: of the catalogue's, and of spectra.

What a partition leaves is a set of covered pixels and counts by cell, so fields need no rows.
"""

from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.area import ENOUGH_SOURCES, area_sq_deg, merge_occupancy, occupancy_of
from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.cells import cell_state, cells_at, distinct, merge_cells, numbered
from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.fields import Coverage, in_cells
from kidsclf.reduce.law import Reduction, State
from kidsclf.reduce.surface_density import SCHEMA as DENSITIES
from kidsclf.reduce.surface_density import density_table
from kidsclf.sky.partition import INDEX_ORDER

Integers = NDArray[np.int64]

CATALOGUE = "catalogue"

FINEST_COVERAGE = 11
"""Pixels of 1.7 arcmin: smaller holes count as covered."""
MOST_PIXELS = 200_000
"""Covered pixels kept; KiDS is then known to 7 arcmin, the whole sky to 28."""
FINEST_CELLS = 10
"""Cells of 0.003 square degrees."""
MOST_CELLS = 20_000
"""Of KiDS they become 0.2 square degrees large, 19 in a field of 4."""

SCHEMA = pa.schema([("source", pa.string()), *DENSITIES])


def quasar_fields(context: Context) -> Reduction:
    """Ask how the surface density of quasars differs from field to field.

    ``source`` is "catalogue" (the sources classified as quasars) or a sample that holds labels of
    the class: its sources of the class, whatever the network says (the Stripe 82 method of Feng et
    al.). The footprint is where the catalogue has sources, of a sample only the part in which it
    has labels of any class. Columns are those of `density_table`. The same seed in every run.
    """
    return Reduction("quasar_fields", {}, partial(_local, context=context), _merge, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    if context.quasar_class not in context.classes or len(block) == 0:
        return {}
    code = context.classes.index(context.quasar_class)
    fine = distinct(block.index29 >> (2 * (INDEX_ORDER - FINEST_COVERAGE)))
    state: State = {
        "rows": len(block),
        "occupancy": occupancy_of(block),
        "coverage": _pixel_state(FINEST_COVERAGE, fine),
        "samples": {},
    }
    everything = np.ones(len(block), bool)
    state["catalogue"] = _counts(block, block.scores.codes == code, everything, context)
    for sample, labels in block.labels.items():
        quasar, member = labels.codes == code, labels.codes >= 0
        if member.any():
            state["samples"][sample] = _counts(block, quasar, member, context)
    return state


def _counts(
    block: ScoredBlock, quasar: NDArray[np.bool_], member: NDArray[np.bool_], context: Context
) -> State:
    """Count members, and quasars in each magnitude slot, by cell."""
    pixels, place = numbered(block.index29[member] >> (2 * (INDEX_ORDER - FINEST_CELLS)))
    columns, among = context.slots + 1, quasar[member]
    which = place[among] * columns + 1 + block.slots(context)[member][among]
    counts = np.bincount(which, minlength=len(pixels) * columns).reshape(-1, columns)
    counts[:, 0] = np.bincount(place)
    return cell_state(FINEST_CELLS, pixels, counts, MOST_CELLS)


def _pixel_state(order: int, pixels: Integers) -> State:
    """Write a set of pixels (ascending) as stretches, first and one past the last."""
    while len(pixels) > MOST_PIXELS:
        order, pixels = order - 1, distinct(pixels >> 2)
    first = np.flatnonzero(np.diff(pixels, prepend=-2) > 1)
    last = np.append(first[1:], len(pixels)) - 1
    stretches = np.stack([pixels[first], pixels[last] + 1], axis=1)
    return {"order": order, "stretches": stretches.ravel().tolist()}


def _pixels_of(state: State, order: int) -> Integers:
    pairs = np.array(state["stretches"], np.int64).reshape(-1, 2)
    lengths = pairs[:, 1] - pairs[:, 0]
    starts = np.repeat(pairs[:, 0] - np.cumsum(lengths) + lengths, lengths)
    return distinct((starts + np.arange(lengths.sum())) >> (2 * (state["order"] - order)))


def _merge(left: State, right: State) -> State:
    if not left or not right:
        return left or right
    order = min(left["coverage"]["order"], right["coverage"]["order"])
    pixels = [_pixels_of(state["coverage"], order) for state in (left, right)]
    names = {*left["samples"], *right["samples"]}
    return {
        "rows": left["rows"] + right["rows"],
        "occupancy": merge_occupancy(left["occupancy"], right["occupancy"]),
        "coverage": _pixel_state(order, distinct(np.concatenate(pixels))),
        "catalogue": merge_cells(left["catalogue"], right["catalogue"], MOST_CELLS),
        "samples": {
            name: merge_cells(
                left["samples"].get(name, {}), right["samples"].get(name, {}), MOST_CELLS
            )
            for name in sorted(names)
        },
    }


def _finish(state: State, context: Context) -> pa.Table:
    if not state:
        return SCHEMA.empty_table()
    fine_order, fine = _crowded(state)
    # The same area as under the other densities, which knows of pixels covered in part.
    sky = Coverage.of_pixels(fine, fine_order, fine_order).shrunk_to(
        area_sq_deg(state["occupancy"])
    )
    tables = [_table(CATALOGUE, state["catalogue"], sky, context)]
    for sample in ordered_samples(state["samples"], context):
        counted = state["samples"][sample]
        if any(any(row[1:]) for row in counted["cells"].values()):
            tables.append(_table(sample, counted, sky, context))
    return pa.concat_tables(tables)


def _crowded(state: State) -> tuple[int, Integers]:
    """Coarsen the covered pixels until they hold enough sources to be empty only where unseen."""
    order = state["coverage"]["order"]
    pixels = _pixels_of(state["coverage"], order)
    while order > 0 and state["rows"] < ENOUGH_SOURCES * len(pixels):
        order, pixels = order - 1, distinct(pixels >> 2)
    return order, pixels


def _table(source: str, counted: State, sky: Coverage, context: Context) -> pa.Table:
    order = min(counted["order"], sky.order)
    coverage = sky.coarsened(order)
    pixels, rows = cells_at(counted, order)
    if source != CATALOGUE:
        coverage = coverage.within(*_labelled(pixels, rows[:, 0], order))
    counts = in_cells(coverage, pixels, rows[:, 1:-1])
    rng = np.random.default_rng(list(source.encode()))
    table = density_table(coverage, counts, context.magnitude_edges, rng)
    names = pa.array([source] * table.num_rows, pa.string())
    return table.add_column(0, SCHEMA.field("source"), names)


def _labelled(pixels: Integers, labels: Integers, order: int) -> tuple[int, Integers]:
    """Find the finest pixels that hold enough labels each, where there are any."""
    while order > 0 and labels.sum() < ENOUGH_SOURCES * len(pixels):
        order, pixels = order - 1, distinct(pixels >> 2)
    return order, pixels
