"""How far the catalogue may be trusted, in words that travel with its files."""

import numpy as np
import pandas as pd

from kidsclf.pipeline.context import Context
from kidsclf.pipeline.infer import read_calibration
from kidsclf.pipeline.products import product_network
from kidsclf.schema import calibrated_column
from kidsclf.store.fits_product import Cards
from kidsclf.store.tables import read_table

MOST_CUTS = 999
"""Cuts that keywords of eight characters can number."""


def named_cuts(context: Context) -> pd.DataFrame:
    """List where to cut the catalogue for a purity or completeness of each class.

    Rows of the metric ``wanted`` for the network of the catalogue and the sample that it learnt
    from; none where no labels judge it.
    """
    table = read_table(context.work.metrics / "wanted.parquet").to_pandas()
    network, sample = product_network(context), context.config.train.sample
    judged: pd.DataFrame = table[(table["network"] == network) & (table["sample"] == sample)]
    return judged


def trust_cards(context: Context) -> Cards:
    """Give what a header says of trust: temperature, coverage of sets, flag of novelty, cuts."""
    settings = context.config.infer
    folder = context.work.model(product_network(context))
    calibration = read_calibration(folder, settings.coverage)
    cards: dict[str, tuple[str | float, str]] = {
        "TEMPERAT": (calibration.temperature, "by which probabilities were calibrated"),
        "SETCOVER": (settings.coverage, "promised coverage of prediction_set"),
        "NOVELMIN": (settings.novel_from, "novelty from which on flag 256 is set"),
    }
    reached = [row for _, row in named_cuts(context).iterrows() if np.isfinite(row["threshold"])]
    for number, row in enumerate(reached[:MOST_CUTS], start=1):
        cards[f"CUT{number}"] = (_cut(row), "68 % bounds")
    return cards


def _cut(row: pd.Series) -> str:
    bounds = f"{known_number(row['threshold_low'])} to {known_number(row['threshold_high'])}"
    keep = f"{calibrated_column(row['class'])} >= {row['threshold']:.6g}"
    return f"{keep} ({bounds}): {row['wanted']} {row['value']:g}"


def known_number(value: float) -> str:
    """Write a bound; a question mark where it is not known."""
    return "?" if np.isnan(value) else f"{value:.4g}"
