"""The numbers of quasars that Feng et al. print, beside those of a run and of our integrals."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from kidsclf.reduce.luminosity import LUMINOSITY_FUNCTIONS, expected_counts

FENG_SQ_DEG = 1350.0
"""To which the numbers of Feng et al. are scaled, section 4.1.2."""

Kind = Literal["spectra", "network", "luminosity function"]


@dataclass(frozen=True)
class Printed:
    """A number of quasars brighter than r (AB) on `FENG_SQ_DEG`, as Feng et al. print it."""

    source: str
    kind: Kind
    r: float
    number: float
    model: str = ""
    slope: float = math.nan
    note: str = ""


_NO_LIU = (
    "quoted only: the parameters of Liu et al. 2022 could not be had, and no function of "
    "quasar_models comes near"
)
_SIGN = "matches with f_nu ~ nu^-0.5"

FENG = (
    Printed("SDSS Stripe 82", "spectra", 21.0, 112.5e3, note="printed as 83 per square degree"),
    Printed("SDSS Stripe 82", "spectra", 22.0, 209.5e3),
    Printed("Feng, KiDS DR5", "network", 21.0, 119.5e3),
    Printed("Feng, KiDS DR5", "network", 22.0, 394.5e3),
    Printed("Feng, KiDS DR5", "network", 23.0, 2_804_654, note="the whole catalogue, section 4.3"),
    Printed(
        source="QLF of Palanque-Delabrouille 2016",
        kind="luminosity function",
        r=22.0,
        number=226.8e3,
        model="PD16 PLE",
        slope=-0.5,
        note=_SIGN,
    ),
    Printed(
        source="QLF of Palanque-Delabrouille 2016",
        kind="luminosity function",
        r=22.0,
        number=226.8e3,
        model="PD16 PLE+LEDE",
        slope=-0.5,
        note="named too; 3 % lower",
    ),
    Printed(
        source="QLF of Palanque-Delabrouille 2016",
        kind="luminosity function",
        r=22.0,
        number=226.8e3,
        model="PD16 PLE",
        slope=0.5,
        note="the slope as printed in footnote 5: probably a slip of sign",
    ),
    Printed("QLF of Liu 2022", "luminosity function", 22.0, 584.2e3, note=_NO_LIU),
    Printed(
        source="QLF of Liu 2022",
        kind="luminosity function",
        r=23.0,
        number=788.7e3,
        note=_NO_LIU + "; on 1350 square degrees it is 584.2 per square degree, the same digits as "
        "the number for r < 22",
    ),
)
"""Section 4.1.2 with footnotes 4 and 5, and section 4.3."""

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("kind", pa.string()),
        ("r", pa.float64()),
        ("printed", pa.float64()),
        ("printed_per_sq_deg", pa.float64()),
        ("ours", pa.float64()),
        ("ours_per_sq_deg", pa.float64()),
        ("ours_from", pa.string()),
        ("note", pa.string()),
    ]
)


def quasar_published(counts: pa.Table, fields: pa.Table, sample: str) -> pa.Table:
    """Put what Feng et al. print beside what this run finds.

    Parameters
    ----------
    counts, fields : pyarrow.Table
        Columns of ``quasar_counts`` and ``quasar_fields`` of the network of the catalogue.
    sample : str
        Of spectra, for the Stripe 82 method.

    Returns
    -------
    pyarrow.Table
        ``printed`` and ``ours``: quasars on `FENG_SQ_DEG`. What this run has not, such as a
        limit that is no edge of a bin, is NaN. Luminosity functions are the same in every run.
    """
    rows = []
    for each in FENG:
        density, origin = _ours(each, counts, fields, sample)
        rows.append(
            {
                "source": each.source,
                "kind": each.kind,
                "r": each.r,
                "printed": float(each.number),
                "printed_per_sq_deg": each.number / FENG_SQ_DEG,
                "ours": density * FENG_SQ_DEG,
                "ours_per_sq_deg": density,
                "ours_from": origin,
                "note": each.note,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _ours(each: Printed, counts: pa.Table, fields: pa.Table, sample: str) -> tuple[float, str]:
    if each.model:
        model = next(model for model in LUMINOSITY_FUNCTIONS if model.name == each.model)
        edges = np.array([-np.inf, each.r])
        found = float(expected_counts(model, edges, slope=each.slope)[0])
        return found, f"{each.model}, slope {each.slope:+.1f}, M1450 < -19"
    if each.kind == "spectra":
        density = _at(fields, each.r, "cumulative_median", {"source": sample})
        return density, f"median field of the sample {sample}"
    if each.kind == "network":
        return _at(counts, each.r, "cumulative_per_sq_deg", {}), "the catalogue of this run"
    return math.nan, ""


def _at(table: pa.Table, limit: float, column: str, equal: dict[str, str]) -> float:
    for row in table.to_pylist():
        if row["r_high"] == limit and all(row[key] == value for key, value in equal.items()):
            return float(row[column])
    return math.nan
