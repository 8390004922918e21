"""How a network judges sources of other surveys (Feng §4.1.2): shares, redshifts, agreement.

The state of a partition is counts, so that states merge by sums. Which sample answers which
question is told by its labels: stars of Gaia, galaxies of GAMA, quasars of another catalogue.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.reduce.context import UNCLASSIFIED
from kidsclf.reduce.law import State
from kidsclf.reduce.metrics import binomial_interval

STAR, GALAXY, QUASAR = "STAR", "GALAXY", "QSO"
ALL, CUT, FAR = "all", "cut", "far"
"""Every source of a sample; those beyond the redshift cut; those beyond that of quasars alone."""

REDSHIFT_EDGES = tuple(round(-0.05 + 0.05 * k, 2) for k in range(82))
"""From -0.05 to 4 in steps of 0.05: a bin is ``low <= z < high``."""
THRESHOLDS = (0.0, *(round(0.34 + 0.02 * k, 2) for k in range(33)), 0.99)
"""Of the largest probability, at which agreement is told."""

SHARES_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("network", "sample", "class", "of", "predicted_class")),
        *((name, pa.int64()) for name in ("sources", "count")),
        *((name, pa.float64()) for name in ("share", "share_low", "share_high", "published")),
    ]
)
REDSHIFTS_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("network", "sample", "class", "predicted_class")),
        *((name, pa.float64()) for name in ("z_low", "z_high")),
        ("count", pa.int64()),
    ]
)
AGREEMENT_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("network", "sample", "class")),
        ("threshold", pa.float64()),
        *((name, pa.int64()) for name in ("kept", "agree")),
        *((name, pa.float64()) for name in ("kept_fraction", "agreement")),
    ]
)


@dataclass(frozen=True)
class Members:
    """Sources of a sample in one partition, and what a network says of them.

    Attributes
    ----------
    codes : int64 array (n,)
        Class that the sample gives them.
    predicted : int64 array (n,)
        Class that the network gives them; -1 is none.
    p_max : float32 array (n,)
    redshift : float32 array (n,)
        NaN where the sample has none.
    """

    codes: NDArray[np.int64]
    predicted: NDArray[np.int64]
    p_max: NDArray[np.float32]
    redshift: NDArray[np.float32]


@dataclass(frozen=True)
class Cuts:
    """Redshifts that divide a sample: the Galaxy below one, only quasars above another."""

    galactic: float
    quasars: float


def count_members(samples: Mapping[str, Members], classes: tuple[str, ...], cuts: Cuts) -> State:
    """Count what a network says of the samples of one partition."""
    return {
        sample: {
            name: _count_class(members, code, len(classes), cuts)
            for code, name in enumerate(classes)
            if (members.codes == code).any()
        }
        for sample, members in samples.items()
    }


def _count_class(members: Members, code: int, classes: int, cuts: Cuts) -> State:
    member = members.codes == code
    predicted, redshift = members.predicted[member], members.redshift[member]
    predicted = np.where(predicted < 0, classes, predicted)
    subsets = {
        ALL: np.ones(len(predicted), np.bool_),
        CUT: redshift >= np.float32(cuts.galactic),
        FAR: redshift > np.float32(cuts.quasars),
    }
    slots = np.searchsorted(np.array(REDSHIFT_EDGES, np.float32), redshift, side="right")
    slots = np.where(np.isnan(redshift), 0, slots)
    width = classes + 1
    by_redshift = np.bincount(
        slots * width + predicted, minlength=(len(REDSHIFT_EDGES) + 1) * width
    )
    reached = np.searchsorted(np.array(THRESHOLDS, np.float32), members.p_max[member], side="right")
    reached = np.where(predicted == classes, 0, reached)
    agree = predicted == code
    return {
        **{key: np.bincount(predicted[some], minlength=width).tolist()
           for key, some in subsets.items()},
        "redshifts": by_redshift.reshape(-1, width).tolist(),
        "reached": np.bincount(reached, minlength=len(THRESHOLDS) + 1).tolist(),
        "agreed": np.bincount(reached[agree], minlength=len(THRESHOLDS) + 1).tolist(),
    }  # fmt: skip


def tabulate_shares(
    state: State, network: str, classes: tuple[str, ...], published: Mapping[tuple[str, str], Any]
) -> pa.Table:
    """Tell how many sources of a sample got which class; ``SHARES_SCHEMA``.

    Parameters
    ----------
    published : mapping of (class of the sample, subset) to mapping of predicted class to share
    """
    rows = []
    for sample, name, counted in _counted(state):
        for subset in (ALL, CUT, FAR):
            total = sum(counted[subset])
            beside = published.get((name, subset), {})
            for predicted, count in zip((*classes, UNCLASSIFIED), counted[subset], strict=True):
                low, high = binomial_interval(count, total)
                rows.append(
                    {
                        "network": network,
                        "sample": sample,
                        "class": name,
                        "of": subset,
                        "predicted_class": predicted,
                        "sources": total,
                        "count": count,
                        "share": count / total if total else float("nan"),
                        "share_low": low,
                        "share_high": high,
                        "published": beside.get(predicted, float("nan")),
                    }
                )
    return pa.Table.from_pylist(rows, schema=SHARES_SCHEMA)


def tabulate_redshifts(state: State, network: str, classes: tuple[str, ...]) -> pa.Table:
    """Tell how redshifts are spread, by the class that the network gives (Feng 6)."""
    rows = []
    for sample, name, counted in _counted(state):
        for slot, low in enumerate(REDSHIFT_EDGES[:-1], start=1):
            counts = counted["redshifts"][slot]
            for predicted, count in zip((*classes, UNCLASSIFIED), counts, strict=True):
                rows.append(
                    {
                        "network": network,
                        "sample": sample,
                        "class": name,
                        "predicted_class": predicted,
                        "z_low": low,
                        "z_high": REDSHIFT_EDGES[slot],
                        "count": count,
                    }
                )
    table = pa.Table.from_pylist(rows, schema=REDSHIFTS_SCHEMA)
    return table.filter(pa.array(table["count"].to_numpy() > 0))


def tabulate_agreement(state: State, network: str) -> pa.Table:
    """Tell how often the network agrees with a sample, by its largest probability."""
    rows = []
    for sample, name, counted in _counted(state):
        kept = np.cumsum(counted["reached"][::-1])[::-1]
        agree = np.cumsum(counted["agreed"][::-1])[::-1]
        for slot, threshold in enumerate(THRESHOLDS, start=1):
            rows.append(
                {
                    "network": network,
                    "sample": sample,
                    "class": name,
                    "threshold": threshold,
                    "kept": int(kept[slot]),
                    "agree": int(agree[slot]),
                    "kept_fraction": kept[slot] / kept[0],
                    "agreement": agree[slot] / kept[slot] if kept[slot] else float("nan"),
                }
            )
    return pa.Table.from_pylist(rows, schema=AGREEMENT_SCHEMA)


def _counted(state: State) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for sample in sorted(state):
        for name in sorted(state[sample]):
            yield sample, name, state[sample][name]
