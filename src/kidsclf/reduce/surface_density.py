"""The Stripe 82 method: what random fields say of a density, as a table, also of any positions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from kidsclf.reduce.fields import (
    FIELD_SQ_DEG,
    FIELDS,
    Coverage,
    Fields,
    count_in_cells,
    random_fields,
)

Integers = NDArray[np.int64]

SCHEMA = pa.schema(
    [
        ("r_low", pa.float64()),
        ("r_high", pa.float64()),
        ("count", pa.int64()),
        ("footprint_sq_deg", pa.float64()),
        ("field_sq_deg", pa.float64()),
        ("fields", pa.int64()),
        ("independent", pa.float64()),
        ("median", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("poisson", pa.float64()),
        ("mean_error", pa.float64()),
        ("cumulative_median", pa.float64()),
        ("cumulative_low", pa.float64()),
        ("cumulative_high", pa.float64()),
        ("cumulative_poisson", pa.float64()),
        ("cumulative_mean_error", pa.float64()),
    ]
)


def surface_density(
    ra: ArrayLike,
    dec: ArrayLike,
    magnitude: ArrayLike,
    edges: Sequence[float],
    coverage: Coverage,
    *,
    field_sq_deg: float = FIELD_SQ_DEG,
    fields: int = FIELDS,
    seed: int = 1,
) -> pa.Table:
    """Estimate the surface density of a list of sources, as Feng et al. do of Stripe 82.

    Parameters
    ----------
    ra, dec : array_like (n,)
        Degrees, ICRS; each source once.
    magnitude : array_like (n,)
        AB.
    edges : sequence of float
        Of the bins, ascending; a bin is ``low < magnitude <= high``.
    coverage : Coverage
        Where the survey has looked; sources elsewhere are left out.
    field_sq_deg, fields, seed
        Of the random fields.

    Returns
    -------
    pyarrow.Table
        See `density_table`.
    """
    slots = np.searchsorted(np.asarray(edges), np.asarray(magnitude, np.float64), side="left")
    positions = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    counts = count_in_cells(*positions, slots, len(edges), coverage)
    rng = np.random.default_rng(seed)
    return density_table(coverage, counts, edges, rng, field_sq_deg=field_sq_deg, fields=fields)


def density_table(
    coverage: Coverage,
    counts: Integers,
    edges: Sequence[float],
    rng: np.random.Generator,
    *,
    field_sq_deg: float = FIELD_SQ_DEG,
    fields: int = FIELDS,
) -> pa.Table:
    """Write what random fields say of the densities in magnitude bins, per square degree.

    Parameters
    ----------
    coverage : Coverage
    counts : int64 array (cells, 1 + bins)
        The first column is brighter than the first edge; it enters the cumulative densities only.
    edges : sequence of float, (bins + 1,)
    rng, field_sq_deg, fields
        As of `random_fields`.

    Returns
    -------
    pyarrow.Table
        ``median``, and ``low`` to ``high`` between which the central 68 % of the fields lie;
        ``poisson``: the standard deviation that sources without clustering would give;
        ``mean_error``: standard deviation of the fields over sqrt(``independent``), the number of
        them that fit side by side: that of the whole footprint's mean. ``cumulative_`` the same for
        all sources brighter than ``r_high``. ``count`` is of the footprint. Where fields cannot be
        drawn all but ``count`` and ``footprint_sq_deg`` are NaN and ``fields`` is 0.
    """
    brighter = np.cumsum(counts, axis=1)
    drawn = random_fields(
        coverage,
        np.concatenate([counts[:, 1:], brighter[:, 1:]], axis=1),
        rng,
        field_sq_deg=field_sq_deg,
        fields=fields,
    )
    bins = len(edges) - 1
    rows = []
    for k in range(bins):
        row: dict[str, Any] = {
            "r_low": float(edges[k]),
            "r_high": float(edges[k + 1]),
            "count": int(counts[:, k + 1].sum()),
            "footprint_sq_deg": coverage.area_sq_deg,
            "field_sq_deg": drawn.field_sq_deg if drawn else np.nan,
            "fields": len(drawn.densities) if drawn else 0,
            "independent": drawn.independent if drawn else np.nan,
        }
        row |= _spread(drawn, k, "") | _spread(drawn, bins + k, "cumulative_")
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _spread(drawn: Fields | None, column: int, prefix: str) -> dict[str, float]:
    if drawn is None:
        names = ("median", "low", "high", "poisson", "mean_error")
        return {prefix + name: float("nan") for name in names}
    densities = drawn.densities[:, column]
    low, median, high = np.percentile(densities, [16.0, 50.0, 84.0])
    return {
        f"{prefix}median": float(median),
        f"{prefix}low": float(low),
        f"{prefix}high": float(high),
        f"{prefix}poisson": float(np.sqrt(densities.mean() / drawn.covered_sq_deg.mean())),
        f"{prefix}mean_error": float(densities.std(ddof=1) / np.sqrt(drawn.independent)),
    }
