"""Do corrected numbers of quasars hold the truth of mock skies?

A SURVEY is a folder of ``kidsclf.mock``, a RUN the work directory of its run. The natural sky is
counted, without the sources that the mock adds with labels; the labels are those of the run.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from kidsclf.config_file import load_config
from kidsclf.pipeline.scored_blocks import read_block
from kidsclf.places import place
from kidsclf.reduce import Context, ScoredBlock, context_of, reductions_for
from kidsclf.reduce.context import magnitude_slots
from kidsclf.reduce.law import State, merge_all
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory

CUT = 0.9
QSO = "QSO"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each sky and bin, then how often the bounds hold the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("places", metavar="SURVEY RUN", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    surveys, runs = given.places[::2], given.places[1::2]
    if len(surveys) != len(runs):
        parser.error(f"{surveys[-1]} has no RUN beside it; give both of each sky")
    rows = []
    for number, (survey, run) in enumerate(zip(surveys, runs, strict=True), start=1):
        found = checked(given.network, survey, run)
        rows.append(found.assign(sky=number))
    table = pd.concat(rows, ignore_index=True)
    shown = table[(table.p_min == CUT) & np.isfinite(table.estimate)]
    print(shown.round(2).to_string(index=False))
    for cut, group in table[np.isfinite(table.estimate)].groupby("p_min"):
        held = (group.estimate_low <= group.true) & (group.true <= group.estimate_high)
        bias = (group.estimate / group.true - 1).median()
        print(
            f"p >= {cut}: {held.sum()} of {len(held)} bins hold the truth ({held.mean():.0%}), "
            f"median of estimate / truth - 1: {bias:+.2f}"
        )
    last = shown[np.isfinite(shown.brighter)].groupby("sky").tail(1)
    print(last[["sky", "r_high", "brighter", "brighter_low", "brighter_high", "truth_brighter"]])


def checked(network: str, survey: Path, run: Path) -> pd.DataFrame:
    """Correct the counts of one natural sky, with the truth beside."""
    config = load_config(run / "run.toml", [])
    asked = context_of(
        config.reduce, classes=config.train.classes, training_sample=config.train.sample
    )
    truth = pq.read_table(survey / "truth.parquet").to_pandas()
    truth = truth[truth.in_catalogue].drop_duplicates("ID").set_index("ID")
    work = WorkDirectory(place(run, config.store).resolve())
    catalogue = HatsCatalogue(work.catalogue)
    reduction = next(each for each in reductions_for(asked) if each.name == "quasar_corrected")
    states: list[State] = []
    true = np.zeros(asked.slots, np.int64)
    for partition in catalogue.partitions():
        columns = catalogue.read(partition).column_names
        bands = tuple(
            c[4:] for c in columns if c.startswith("mag_") and not c.startswith("mag_err")
        )
        block = read_block(
            work, partition, network, asked, tuple(config.samples), config, bands, "r"
        )
        known = truth.loc[block.name]
        natural = ~known.labelled.to_numpy()
        states += [
            reduction.local(natural_sky(block, natural)),
            reduction.local(_judging(block, asked)),
        ]
        slots = magnitude_slots(block.reference_magnitude, asked)
        quasar = natural & (known["class"] == QSO).to_numpy()
        true += np.bincount(slots[quasar], minlength=asked.slots)
    table = reduction.finish(merge_all(reduction, states), asked).to_pandas()
    slots_of_rows = np.searchsorted(asked.magnitude_edges, table.r_high)
    area = table.estimate / table.per_sq_deg
    table["true"], table["truth_brighter"] = true[slots_of_rows], np.cumsum(true)[slots_of_rows]
    for bound in ("", "_low", "_high"):
        table[f"brighter{bound}"] = table[f"cumulative_per_sq_deg{bound}"] * area
    names = ["estimate", "estimate_low", "estimate_high", "true"]
    sums = ["brighter", "brighter_low", "brighter_high", "truth_brighter"]
    return table[["p_min", "r_low", "r_high", "labels", "count", "purity", *names, *sums]]


def natural_sky(block: ScoredBlock, rows: np.ndarray) -> ScoredBlock:
    """Keep some rows, and no labels."""
    return replace(block.take(rows), labels={}, shapes={})


def _judging(block: ScoredBlock, asked: Context) -> ScoredBlock:
    """Make all rows judge only, as those of cross-validation do."""
    labels = block.labels[asked.training_sample]
    fold = np.zeros(len(block), np.int64)
    return replace(block, labels={asked.training_sample: replace(labels, fold=fold)})


if __name__ == "__main__":
    main()
