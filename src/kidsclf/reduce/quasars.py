"""The surface density of quasars by magnitude, which can be held against surveys made for them.

Feng et al., section 4.1.2, compare it with Stripe 82 and quasar luminosity functions.
"""

import math
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from kidsclf.reduce.area import area_sq_deg, merge_occupancy, occupancy_of
from kidsclf.reduce.block import ScoredBlock
from kidsclf.reduce.context import Context
from kidsclf.reduce.law import FIXED_POINT, Reduction, State, add_states, fixed_point

SCHEMA = pa.schema(
    [
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("count", pa.int64()),
        ("count_probability", pa.float64()),
        ("area_sq_deg", pa.float64()),
        ("per_sq_deg", pa.float64()),
        ("per_sq_deg_error", pa.float64()),
        ("cumulative_per_sq_deg", pa.float64()),
        ("cumulative_per_sq_deg_error", pa.float64()),
        ("probability_per_sq_deg", pa.float64()),
        ("probability_per_sq_deg_error", pa.float64()),
        ("cumulative_probability_per_sq_deg", pa.float64()),
    ]
)


def quasar_counts(context: Context) -> Reduction:
    """Ask for the number of quasars per square degree in each magnitude bin.

    ``count`` is of sources whose most probable class is quasar; ``count_probability`` sums the
    calibrated probability of being one over all sources of the bin. ``per_sq_deg`` is count / area
    of the bin (not per magnitude), its error Poisson's: sqrt(count) / area.
    ``cumulative_per_sq_deg`` has all quasars with r <= ``r_high``, those brighter than the first
    bin too. The same of ``count_probability`` has ``probability`` in its name; its error is
    Poisson's too, as a source that is one with probability p adds p (1 - p) + p^2 = p to the
    variance.
    Densities are NaN where the area is. No quasar class: no row.
    """
    return Reduction("quasar_counts", {}, partial(_local, context=context), _merge, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    if context.quasar_class not in context.classes or len(block) == 0:
        return {}
    code = context.classes.index(context.quasar_class)
    slots = block.slots(context)
    probability = fixed_point(np.nan_to_num(block.calibrated[:, code]))
    summed = np.zeros(context.slots, np.int64)
    np.add.at(summed, slots, probability)
    counts = np.bincount(slots[block.scores.codes == code], minlength=context.slots)
    return {
        "sums": {"counts": counts.tolist(), "probability_e9": summed.tolist()},
        "occupancy": occupancy_of(block),
    }


def _merge(left: State, right: State) -> State:
    if not left or not right:
        return left or right
    return {
        "sums": add_states(left["sums"], right["sums"]),
        "occupancy": merge_occupancy(left["occupancy"], right["occupancy"]),
    }


def _finish(state: State, context: Context) -> pa.Table:
    if not state:
        return SCHEMA.empty_table()
    sky = area_sq_deg(state["occupancy"])
    counts = state["sums"]["counts"]
    likely = [each / FIXED_POINT for each in state["sums"]["probability_e9"]]
    brighter, likely_brighter = list(accumulate(counts)), list(accumulate(likely))
    rows: list[dict[str, Any]] = [
        {
            "r_low": low,
            "r_high": high,
            "count": counts[slot],
            "count_probability": likely[slot],
            "area_sq_deg": sky,
            "per_sq_deg": counts[slot] / sky,
            "per_sq_deg_error": math.sqrt(counts[slot]) / sky,
            "cumulative_per_sq_deg": brighter[slot] / sky,
            "cumulative_per_sq_deg_error": math.sqrt(brighter[slot]) / sky,
            "probability_per_sq_deg": likely[slot] / sky,
            "probability_per_sq_deg_error": math.sqrt(likely[slot]) / sky,
            "cumulative_probability_per_sq_deg": likely_brighter[slot] / sky,
        }
        for slot, low, high in context.bins
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
