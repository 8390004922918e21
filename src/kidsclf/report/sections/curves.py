"""Metrics along an axis, for each network: by magnitude and by threshold."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.report.blocks import Block, Folded, drawing, grid, missing, without_pdf
from kidsclf.report.figures.accuracy import draw_magnitude_bins, draw_thresholds
from kidsclf.report.numbers import decimal
from kidsclf.report.palette import class_look, in_order
from kidsclf.report.tables import POOLED_FOLD, distinct, numbers, present, rows_of, select


def labelled(classification: pa.Table) -> pa.Table:
    """Leave out classes without labels: Gaia knows no galaxies, and theirs are no metrics."""
    return classification.filter(pc.greater(classification["support"], 0))


def per_network(
    table: pa.Table | None,
    first: str | None,
    what: str,
    draw: Callable[[pa.Table, str], list[Block]],
) -> list[Block]:
    """Draw the network of the catalogue first; the others open on demand, and have no PDF."""
    if present(table) is None:
        why = "no network was scored on labelled sources"
        return [missing(f"Accuracy by {what}", why)]
    networks = sorted(distinct(table, "network"), key=lambda name: name != first)
    shown: list[Block] = draw(table, networks[0])
    rest = [without_pdf(block) for network in networks[1:] for block in draw(table, network)]
    if rest:
        shown.append(Folded(f"Other networks: {what}", tuple(rest)))
    return shown


def magnitude_curves(classification: pa.Table, network: str) -> list[Block]:
    """Draw the metrics of one network in bins of magnitude, per sample."""
    of_network = labelled(select(classification, {"network": network, "fold": POOLED_FOLD}))
    binned = of_network.filter(pa.array(np.isfinite(numbers(of_network, "r_low"))))
    if not binned.num_rows:
        return [missing(f"Accuracy by magnitude for {network}", "no labelled source has r")]
    return [
        drawing(
            _anchor("bins", network, number),
            partial(draw_magnitude_bins, select(binned, {"sample": sample})),
            title=f"Accuracy by magnitude: {network}, sample {sample}",
            caption="Look where the curves fall off: fainter than that, and fainter than the "
            "labels reach, classes are extrapolated.",
            alt="Precision, recall and F1 of each class against r magnitude.",
            data=select(binned, {"sample": sample}),
        )
        for number, sample in enumerate(distinct(binned, "sample"))
    ]


def threshold_curves(thresholds: pa.Table, network: str) -> list[Block]:
    """Draw the metrics of one network against the threshold of p_max, per sample."""
    of_network = select(thresholds, {"network": network})
    blocks: list[Block] = []
    for number, sample in enumerate(distinct(of_network, "sample")):
        rows = select(of_network, {"sample": sample})
        blocks.append(
            drawing(
                _anchor("thresholds", network, number),
                partial(draw_thresholds, rows),
                title=f"What a threshold buys: {network}, sample {sample}",
                caption="A higher threshold on the largest probability gives purer classes of "
                "fewer sources. The grey band, 0.9 to 0.99, is what Feng recommends; the "
                "fraction kept falls steeply beyond it.",
                alt="F1 score, fraction kept, precision and recall against the threshold.",
                data=rows,
            )
        )
        blocks.append(_threshold_grid(rows, network, str(sample)))
    return blocks


def _threshold_grid(rows: pa.Table, network: str, sample: str) -> Block:
    classes = in_order(distinct(rows, "class"))
    known = {(row["threshold"], row["class"]): row for row in rows_of(rows)}
    every = sorted({threshold for threshold, _ in known})
    picked = sorted({min(every, key=lambda t: abs(t - want)) for want in (0.0, 0.5, 0.9, 0.99)})
    body = [
        [decimal(threshold, 3)]
        + [
            decimal(known.get((threshold, name), {}).get(column), 3)
            for name in classes
            for column in ("precision", "completeness")
        ]
        for threshold in picked
    ]
    headings = [
        f"{class_look(name).label} {what}"
        for name in classes
        for what in ("purity", "completeness")
    ]
    caption = f"Purity and completeness at a few thresholds: {network}, sample {sample}"
    return grid(caption, ["Threshold", *headings], body)


def _anchor(what: str, network: str, number: int) -> str:
    """Make an address out of a name that may hold anything."""
    return f"fig-{what}-{network.encode().hex()}-{number}"
