"""What the paper publishes, read from a small file beside this module."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from kidsclf.experiments.variants import Magnitudes

CLASSES = ("STAR", "QSO", "GALAXY")

ClassScores = Mapping[str, tuple[float, float, float]]
"""Precision, recall and F1 of each class."""


@dataclass(frozen=True)
class PublishedNetwork:
    """A row of Table 1, and the network of ours that answers it."""

    title: str
    network: str
    scores: ClassScores


@dataclass(frozen=True)
class PublishedSplit:
    """A row of Table 2, with what is to be said of how it is printed."""

    train: Magnitudes
    test: Magnitudes
    scores: ClassScores
    remark: str


@dataclass(frozen=True)
class PublishedExternal:
    """The numbers of section 4.1.2, shares of 1; see the file for what each is."""

    stars: float
    galaxies: Mapping[str, float]
    galaxies_cut: Mapping[str, float]
    redshift_cut: float
    quasar_redshift: float
    quasars_agree: float
    sure: float
    quasars_disagree_when_sure: float


@cache
def _file() -> dict[str, Any]:
    text = (resources.files("kidsclf.experiments") / "feng_dr5.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def citation() -> str:
    """Name the paper."""
    return str(_file()["citation"])


def table1() -> tuple[PublishedNetwork, ...]:
    """List Table 1, row by row."""
    return tuple(
        PublishedNetwork(row["title"], row["network"], _scores(row)) for row in _file()["table1"]
    )


def table2() -> tuple[PublishedSplit, ...]:
    """List Table 2, row by row, its seventh test range as we read it."""
    return tuple(
        PublishedSplit(
            Magnitudes(**row["train"]),
            Magnitudes(**row["test"]),
            _scores(row),
            row.get("remark", ""),
        )
        for row in _file()["table2"]
    )


def training_sizes() -> tuple[int, ...]:
    """List the sizes of training samples between the ends of Figure 13."""
    return tuple(_file()["training_size"]["sizes"])


def threshold_remarks() -> Mapping[float, str]:
    """Give what section 4.1.1 says of a threshold."""
    return {float(row["threshold"]): str(row["remark"]) for row in _file()["thresholds"]}


def external() -> PublishedExternal:
    """Give the numbers of section 4.1.2."""
    return PublishedExternal(**_file()["external"])


def _scores(row: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    return {name: (row[name][0], row[name][1], row[name][2]) for name in CLASSES}
