"""How wrong probabilities are, in one number: calibration error, likelihood, Brier score.

All three follow from the cells that `kidsclf.reduce.reliability` counts.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.law import FIXED_POINT, Reduction, State, add_states
from kidsclf.reduce.metrics import ratio
from kidsclf.reduce.reliability import (
    BRIER,
    CALIBRATED,
    COUNT,
    NLL,
    RAW,
    SUM,
    TRUE,
    cell_places,
    count_cells,
    spread_cells,
)

SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("class", pa.string()),
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("count", pa.int64()),
        ("ece", pa.float64()),
        ("ece_calibrated", pa.float64()),
        ("ece_by_chance", pa.float64()),
        ("nll", pa.float64()),
        ("nll_calibrated", pa.float64()),
        ("brier", pa.float64()),
        ("brier_calibrated", pa.float64()),
    ]
)


def calibration(context: Context) -> Reduction:
    """Ask how wrong the probabilities are: expected calibration error, likelihood, Brier score.

    With n sources in bin b of N in all, ``ece`` = sum_b n/N abs(fraction - p_mean) (Naeini et al.
    2015; Guo et al. 2017, eq. 3). ``ece_by_chance`` is what perfectly calibrated probabilities
    would show with as few sources: the mean of abs(fraction - p_mean) of n draws, in the normal
    approximation sqrt(2 p (1 - p) / (pi n)), with the calibrated p.
    ``nll`` is the mean -ln of the probability given to what is true (nats), ``brier`` the mean
    squared error (Brier 1950); for `ALL` summed over the classes, otherwise of the class alone.
    """
    local = partial(count_cells, context=context)
    return Reduction("calibration", {}, local, add_states, _finish)


def _finish(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        raw, calibrated = (spread_cells(state[sample][kind], context) for kind in (RAW, CALIBRATED))
        for here, number, what in cell_places(context):
            count = int(raw[here, number, :, COUNT].sum())
            if count:
                before, after = _errors(raw[here, number]), _errors(calibrated[here, number])
                rows.append(
                    {
                        "sample": sample,
                        **what,
                        "count": count,
                        **before,
                        **{f"{name}_calibrated": value for name, value in after.items()},
                        "ece_by_chance": _ece_by_chance(calibrated[here, number]),
                    }
                )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _errors(bins: NDArray[np.int64]) -> dict[str, float]:
    count, sums = int(bins[:, COUNT].sum()), bins.sum(axis=0) / FIXED_POINT
    off = np.abs(bins[:, TRUE] - bins[:, SUM] / FIXED_POINT).sum()
    return {
        "ece": float(off) / count,
        "nll": float(sums[NLL]) / count,
        "brier": float(sums[BRIER]) / count,
    }


def _ece_by_chance(bins: NDArray[np.int64]) -> float:
    n = bins[:, COUNT]
    p = np.nan_to_num(np.clip(ratio(bins[:, SUM], n * FIXED_POINT), 0.0, 1.0))
    return float(np.sqrt(2 * p * (1 - p) * n / math.pi).sum() / n.sum())
