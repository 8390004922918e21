"""From the answers of many trainings to one table: each seed by itself, then mean and spread."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.experiments.published import ClassScores
from kidsclf.reduce.metrics import count_cube, matrix_scores

MEASURES = ("precision", "recall", "f1")
_ACCURACY = "accuracy"

Key = tuple[str, str]
"""A row of a table: variant and network."""

SEEDS_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("variant", "title", "network")),
        *((name, pa.int64()) for name in ("seed", "train_rows", "test_rows")),
        ("class", pa.string()),
        ("support", pa.int64()),
        *((name, pa.float64()) for name in (*MEASURES, "accuracy", "balanced_accuracy")),
    ]
)

TABLE_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("variant", "title", "network", "class")),
        *((name, pa.int64()) for name in ("seeds", "train_rows", "test_rows", "support")),
        *(
            (f"{name}{suffix}", pa.float64())
            for name in (*MEASURES, "accuracy", "balanced_accuracy")
            for suffix in ("", "_std")
        ),
        *((f"published_{name}", pa.float64()) for name in MEASURES),
        ("note", pa.string()),
    ]
)

DIFFERENCE_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("network", "variant", "less_network", "less_variant")),
        ("measure", pa.string()),
        ("seeds", pa.int64()),
        *((name, pa.float64()) for name in ("difference", "difference_std", "published")),
    ]
)


@dataclass(frozen=True)
class Line:
    """One row of a table: what was asked, what the paper has, and why there may be no answer."""

    variant: str
    title: str
    network: str
    published: ClassScores
    note: str = ""


@dataclass(frozen=True)
class Judged:
    """The answers of one trained network for its test sources.

    Attributes
    ----------
    variant, network : str
    seed, train_rows : int
    codes, predicted : int64 arrays (n,)
        True and predicted class; -1 is no class.
    """

    variant: str
    network: str
    seed: int
    train_rows: int
    codes: NDArray[np.int64]
    predicted: NDArray[np.int64]


def score_seeds(
    judged: Iterable[Judged], lines: Sequence[Line], classes: tuple[str, ...]
) -> pa.Table:
    """Score each training by itself, one row a class (Feng §3.2); ``SEEDS_SCHEMA``."""
    titles = {(line.variant, line.network): line.title for line in lines}
    rows = [
        {"title": titles[each.variant, each.network], **scores}
        for each in judged
        for scores in _of_one(each, classes)
    ]
    return pa.Table.from_pylist(rows, schema=SEEDS_SCHEMA)


def _of_one(each: Judged, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    k = len(classes)
    predicted = np.where(each.predicted < 0, k, each.predicted)
    nowhere = np.zeros(len(each.codes), np.int64)
    matrix = np.array(count_cube(nowhere, each.codes, predicted, (1, k)), np.int64)[0]
    scores = matrix_scores(matrix)
    return [
        {
            "variant": each.variant,
            "network": each.network,
            "seed": each.seed,
            "train_rows": each.train_rows,
            "test_rows": len(each.codes),
            "class": name,
            "support": int(scores.support[code]),
            **{measure: float(getattr(scores, measure)[code]) for measure in MEASURES},
            "accuracy": scores.accuracy,
            "balanced_accuracy": scores.balanced_accuracy,
        }
        for code, name in enumerate(classes)
    ]


def summarise_seeds(seeds: pa.Table, lines: Sequence[Line], classes: tuple[str, ...]) -> pa.Table:
    """Take mean and standard deviation over seeds, beside what is published; ``TABLE_SCHEMA``.

    The deviation is that of a sample (n - 1), NaN for one seed. A score that some training has not
    (the precision of a class that it gives to no source) is NaN. Numbers of sources are means,
    rounded. A line without an answer keeps its note, and its numbers are NaN or 0.
    """
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in seeds.to_pylist():
        found.setdefault((row["variant"], row["network"], row["class"]), []).append(row)
    rows = [
        _summary(line, name, found.get((line.variant, line.network, name), []))
        for line in lines
        for name in classes
    ]
    return pa.Table.from_pylist(rows, schema=TABLE_SCHEMA)


def _summary(line: Line, name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "variant": line.variant,
        "title": line.title,
        "network": line.network,
        "class": name,
        "seeds": len(rows),
        "note": line.note,
    }
    for count in ("train_rows", "test_rows", "support"):
        summary[count] = round(float(np.mean([row[count] for row in rows]))) if rows else 0
    for measure in (*MEASURES, "accuracy", "balanced_accuracy"):
        middle, spread = mean_and_spread([row[measure] for row in rows])
        summary |= {measure: middle, f"{measure}_std": spread}
    published = line.published.get(name, (float("nan"),) * len(MEASURES))
    return summary | {
        f"published_{measure}": value for measure, value in zip(MEASURES, published, strict=True)
    }


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Give the mean and the standard deviation (n - 1) of numbers, NaN if one of them is.

    >>> mean_and_spread([0.9, 0.8])
    (0.8500000000000001, 0.07071067811865474)
    >>> mean_and_spread([0.9])
    (0.9, nan)
    >>> mean_and_spread([0.9, 0.8, float("nan")])
    (nan, nan)
    """
    middle = float(np.mean(values)) if values else float("nan")
    return middle, float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def differences(
    seeds: pa.Table, lines: Sequence[Line], pairs: Sequence[tuple[Key, Key]]
) -> pa.Table:
    """Subtract one row from another, seed by seed, and take mean and deviation.

    Both are judged by the same sources at each seed, so what these add to the spread of each row
    is gone from that of the difference. Seeds of which either has no value do not count.

    Parameters
    ----------
    seeds : pyarrow.Table
        ``SEEDS_SCHEMA``.
    lines : sequence of Line
    pairs : sequence of pairs of (variant, network)
        The second less the first.

    Returns
    -------
    pyarrow.Table
        ``DIFFERENCE_SCHEMA``: of the accuracy, and of the F1 score of each class; ``published`` is
        the same of what is published.
    """
    values: dict[Key, dict[str, dict[int, float]]] = {}
    for row in seeds.to_pylist():
        of_row = values.setdefault((row["variant"], row["network"]), {})
        for measure, value in ((_ACCURACY, row["accuracy"]), (f"F1 {row['class']}", row["f1"])):
            of_row.setdefault(measure, {})[row["seed"]] = value
    known = {(line.variant, line.network): line.published for line in lines}
    rows = [
        _difference(pair, measure, values, known)
        for pair in pairs
        if pair[0] in values and pair[1] in values
        for measure in values[pair[1]]
    ]
    return pa.Table.from_pylist(rows, schema=DIFFERENCE_SCHEMA)


def _difference(
    pair: tuple[Key, Key],
    measure: str,
    values: Mapping[Key, Mapping[str, Mapping[int, float]]],
    published: Mapping[Key, ClassScores],
) -> dict[str, Any]:
    first, second = (values[key][measure] for key in pair)
    apart = [second[seed] - first[seed] for seed in sorted(first.keys() & second.keys())]
    apart = [value for value in apart if np.isfinite(value)]
    middle, spread = mean_and_spread(apart)
    name, nothing = measure.removeprefix("F1 "), (float("nan"),) * len(MEASURES)
    in_print = [published.get(key, {}).get(name, nothing)[MEASURES.index("f1")] for key in pair]
    return {
        "network": pair[1][1],
        "variant": pair[1][0],
        "less_network": pair[0][1],
        "less_variant": pair[0][0],
        "measure": measure,
        "seeds": len(apart),
        "difference": middle,
        "difference_std": spread,
        "published": in_print[1] - in_print[0],
    }
