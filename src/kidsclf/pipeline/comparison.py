"""What a comparison of two catalogues found, and how it is told.

All questions are sums over one cube of counts, which is added up piece by piece of the sky.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

NOT_THERE = "(not there)"
"""Stands for the class of a source that the other catalogue does not have."""
UNCLASSIFIED = "(none)"

CUBE = pa.schema(
    [
        ("class_a", pa.string()),
        ("class_b", pa.string()),
        ("magnitude_low", pa.float64()),
        ("p_max_low", pa.float64()),
        ("count", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes
    ----------
    rows_a, rows_b : int
        Sources with a position.
    matched : int
    changed : int
        Pairs whose classes differ.
    cube : pandas.DataFrame
        Sources by ``class_a``, ``class_b``, ``magnitude_low`` (bins of a magnitude; NaN: unknown)
        and ``p_max_low`` (bins of 0.1; NaN: unknown), both of A where it has the source, and their
        ``count``.
    """

    rows_a: int
    rows_b: int
    matched: int
    changed: int
    cube: pd.DataFrame = field(repr=False)

    @property
    def agreement(self) -> float:
        """Share of the pairs that have one class in both."""
        return 1.0 - self.changed / self.matched if self.matched else float("nan")


def binned(pairs: pd.DataFrame) -> pd.DataFrame:
    """Count each of some pairs in its cell of the cube."""
    sure = pairs["p_max_a"].where(pairs["class_a"] != NOT_THERE, pairs["p_max_b"])
    tenths = np.clip(np.floor(sure.to_numpy(np.float64) * 10 + 1e-6), 0, 9) / 10
    return pd.DataFrame(
        {
            "class_a": pairs["class_a"],
            "class_b": pairs["class_b"],
            "magnitude_low": np.floor(pairs["magnitude"].to_numpy(np.float64)),
            "p_max_low": tenths,
            "count": np.int64(1),
        }
    )


def add_up(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Add up parts of the cube; of none it is empty."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(CUBE.empty_table().to_pandas())
    cells = pd.concat(filled).groupby(CUBE.names[:-1], dropna=False, as_index=False)
    return pd.DataFrame(cells.sum())


def told(found: Comparison) -> Iterator[str]:
    """Tell a comparison in lines: what was matched, the matrix, and where classes differ."""
    only_a, only_b = found.rows_a - found.matched, found.rows_b - found.matched
    yield f"A has {found.rows_a:,} sources, B {found.rows_b:,}"
    yield f"{found.matched:,} in both, {only_a:,} only in A, {only_b:,} only in B"
    yield f"{found.changed:,} of those in both have another class: {found.agreement:.4%} agree"
    yield from _names_apart(found.cube)
    if found.cube.empty:
        return
    matrix = found.cube.pivot_table(
        index="class_a", columns="class_b", values="count", aggfunc="sum", fill_value=0
    )
    yield "sources by class in A (rows) and in B (columns)"
    yield from _lines(matrix.map("{:,}".format))
    for key, title in (("magnitude_low", "magnitude from"), ("p_max_low", "p_max from")):
        yield f"agreement by {title}"
        yield from _lines(_agreement_by(found.cube, key))


def _names_apart(cube: pd.DataFrame) -> Iterator[str]:
    """Say which classes are one side's alone: a source of such a class cannot agree."""
    a, b = (set(cube[side]) - {NOT_THERE, UNCLASSIFIED} for side in ("class_a", "class_b"))
    alone = [
        f"{side} alone has {', '.join(sorted(names))}"
        for side, names in (("A", a - b), ("B", b - a))
        if names
    ]
    if alone:
        yield f"the classes are not the same, so these cannot agree: {'; '.join(alone)}"


def _agreement_by(cube: pd.DataFrame, key: str) -> pd.DataFrame:
    both = cube[(cube["class_a"] != NOT_THERE) & (cube["class_b"] != NOT_THERE)]
    same = both["count"].where(both["class_a"] == both["class_b"], 0)
    sums = pd.DataFrame({key: both[key], "both": both["count"], "same": same})
    sums = sums.groupby(key, dropna=False).sum()
    share = sums["same"] / sums["both"]
    columns = {"in both": sums["both"].map("{:,}".format), "agree": share.map("{:.2%}".format)}
    named = ["unknown" if np.isnan(each) else f"{each:g}" for each in sums.index]
    return pd.DataFrame(columns).set_axis(named)


def _lines(table: pd.DataFrame) -> Iterator[str]:
    widths = [max(12, len(str(name)) + 2) for name in table.columns]
    first = max([12, *(len(str(name)) for name in table.index)])
    heads = (f"{name:>{width}}" for name, width in zip(table.columns, widths, strict=True))
    yield " " * (first + 2) + "".join(heads)
    for name, row in zip(table.index, table.to_numpy(), strict=True):
        cells = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        yield f"  {name:<{first}}" + "".join(cells)
