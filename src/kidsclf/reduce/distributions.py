"""How catalogue and labels spread over magnitude and colour (Feng et al., figure 1).

Where the labels of a sample end and the catalogue goes on, a network extrapolates.
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import ALL, Context, ordered_samples
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.metrics import count_each
from kidsclf.reduce.planes import CATALOGUE, Axis

MAGNITUDE, COLOUR = "magnitude", "u-g"
AXES = {MAGNITUDE: Axis(12.0, 0.2, 70), COLOUR: Axis(-1.0, 0.1, 60)}
"""The reference magnitude and u - g, mag."""

SCHEMA = pa.schema(
    [
        ("quantity", pa.string()),
        ("sample", pa.string()),
        ("class", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("count", pa.int64()),
    ]
)


def distributions(context: Context) -> Reduction:
    """Ask for histograms of the reference magnitude and of u - g.

    The sample "catalogue" has all sources, under the class ``ALL``; every labelled sample has its
    own by true class. Only bins that hold a source have a row. A survey without u or g has no
    colour.
    """
    return Reduction("distributions", {}, partial(_local, context=context), add_states, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    values = {MAGNITUDE: block.reference_magnitude.astype(np.float64)}
    if {"u", "g"} <= set(block.bands):
        values[COLOUR] = block.magnitude("u").astype(np.float64) - block.magnitude("g")
    return {name: _counted(value, AXES[name], block, context) for name, value in values.items()}


def _counted(
    values: NDArray[np.float64], axis: Axis, block: ScoredBlock, context: Context
) -> State:
    place = np.floor((values - axis.low) / axis.step)
    inside = (place >= 0) & (place < axis.cells)  # False for NaN
    cells = np.where(inside, place, -1).astype(np.int64)
    state: State = {CATALOGUE: {ALL: count_each(cells)}}
    for sample, label in block.labels.items():
        state[sample] = {
            name: count_each(cells[label.codes == code])
            for code, name in enumerate(context.classes)
        }
    return state


def _finish(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for quantity in (name for name in AXES if name in state):
        samples, axis = state[quantity], AXES[quantity]
        for sample in [CATALOGUE, *ordered_samples(set(samples) - {CATALOGUE}, context)]:
            for name in (n for n in (ALL, *context.classes) if n in samples[sample]):
                for cell, count in sorted((int(k), n) for k, n in samples[sample][name].items()):
                    rows.append(
                        {"quantity": quantity, "sample": sample, "class": name}
                        | {"low": axis.edge(cell), "high": axis.edge(cell + 1), "count": count}
                    )
    return pa.Table.from_pylist(rows, schema=SCHEMA)
