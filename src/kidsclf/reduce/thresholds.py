"""What is gained in purity and lost in number when only confident sources are kept.

Feng et al., section 3.2 and figure 3. How the text is read here: a source is kept when its
largest probability reaches the threshold. Those below are ignored altogether (they are neither
negatives nor positives), so precision and recall are those of the kept sources alone. The loss
stands in ``frac_thre``, the fraction of the true members of a class that is kept; and what the
survey has found of the class is ``completeness = frac_thre * recall``.
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from kidsclf.reduce.block import ScoredBlock, evaluated, predicted_codes
from kidsclf.reduce.context import Context, ordered_samples
from kidsclf.reduce.law import Reduction, State, add_states
from kidsclf.reduce.metrics import count_cube, matrix_scores, ratio

SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("threshold", pa.float64()),
        ("class", pa.string()),
        ("precision", pa.float64()),
        ("recall", pa.float64()),
        ("f1", pa.float64()),
        ("frac_thre", pa.float64()),
        ("completeness", pa.float64()),
        ("count", pa.int64()),
    ]
)


def thresholds(context: Context) -> Reduction:
    """Ask for the scores of the sources that reach each threshold; folds are pooled.

    ``count`` is the number of kept true members of the class. Where nothing of a class is kept,
    its recall is NaN and its completeness 0.
    """
    return Reduction("thresholds", {}, partial(_local, context=context), add_states, _finish)


def _local(block: ScoredBlock, context: Context) -> State:
    # Compared as float32: p_max is one, and a network's 0.9 must reach the threshold 0.9.
    edges = np.array(context.thresholds, np.float32)
    reached = np.searchsorted(edges, block.scores.p_max, side="right")
    reached = np.where(np.isnan(block.scores.p_max) | (block.scores.codes < 0), 0, reached)
    predicted = predicted_codes(block)
    state: State = {}
    for sample, label in block.labels.items():
        judged = evaluated(block, sample, context)
        if judged.any():
            shape = (len(edges) + 1, len(context.classes))
            state[sample] = count_cube(
                reached[judged], label.codes[judged], predicted[judged], shape
            )
    return state


def _finish(state: State, context: Context) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for sample in ordered_samples(state, context):
        cube = np.array(state[sample], np.int64)
        members = cube.sum(axis=(0, 2))
        for reached, threshold in enumerate(context.thresholds, start=1):
            scores = matrix_scores(cube[reached:].sum(axis=0))
            kept_fraction = ratio(scores.support, members)
            completeness = ratio(scores.true_positive, members)
            for code, name in enumerate(context.classes):
                rows.append(
                    {
                        "sample": sample,
                        "threshold": threshold,
                        "class": name,
                        "precision": float(scores.precision[code]),
                        "recall": float(scores.recall[code]),
                        "f1": float(scores.f1[code]),
                        "frac_thre": float(kept_fraction[code]),
                        "completeness": float(completeness[code]),
                        "count": int(scores.support[code]),
                    }
                )
    return pa.Table.from_pylist(rows, schema=SCHEMA)
