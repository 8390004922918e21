"""Where a network has no right to speak: sources unlike those that it learnt from."""

from functools import partial

import numpy as np
import pyarrow as pa

from kidsclf.report.blocks import Block, Section, drawing, grid, missing
from kidsclf.report.figures.novelty import draw_novelty
from kidsclf.report.numbers import decimal, is_number, percent, whole
from kidsclf.report.sections.curves import per_network
from kidsclf.report.tables import (
    ReportTables,
    Row,
    distinct,
    headline_network,
    numbers,
    present,
    rows_of,
    select,
)


def novelty(tables: ReportTables) -> Section:
    """Show accuracy and numbers by distance from the training sample."""
    lead = (
        "A network gives a class to anything. Novelty says how unlike the training sample the "
        "photometry of a source is: the share of validation sources that lie closer to it. Sources "
        "like the labels spread evenly over 0 to 1; where a catalogue piles up near 1, its classes "
        "are extrapolated, and promises made on labels do not hold. Flag 256 marks those."
    )
    counts = present(tables.novelty_counts)
    if counts is None:
        why = "no catalogue has been reduced yet"
        return Section("novelty", "Novelty", lead, (missing("The novelty", why),))
    draw = partial(_of_network, accuracy=present(tables.novelty_accuracy))
    blocks = per_network(counts, headline_network(tables), "novelty", draw)
    return Section("novelty", "Novelty", lead, tuple(blocks))


def _of_network(counts: pa.Table, network: str, accuracy: pa.Table | None) -> list[Block]:
    counts = select(counts, {"network": network})
    judged, sample = counts.slice(0, 0), ""
    if accuracy is not None:
        judged = select(accuracy, {"network": network})
        if judged.num_rows:
            sample = str(distinct(judged, "sample")[0])
            judged = select(judged, {"sample": sample})
    if not sample:
        return [
            missing(f"Accuracy by novelty for {network}", "no labelled source judges it"),
            _numbers(counts, [], network, ""),
        ]
    return [
        drawing(
            f"fig-novelty-{network.encode().hex()}",
            partial(draw_novelty, judged, counts),
            title=f"Right where it knows, wrong where it does not? {network}, sample {sample}",
            caption="Left, all magnitudes: where the line of the accuracy falls below what the "
            "network said (mean calibrated probability of its class), it does not know that it "
            "does not know. Middle: at equal magnitude, novel sources should be wrong more often. "
            "Right: from where the dotted line takes over, the catalogue is beyond its labels. "
            "Bars hold 68%.",
            alt="Accuracy against novelty, and accuracy and share of the catalogue against r for "
            "three ranges of novelty.",
            data=judged,
        ),
        _numbers(counts, rows_of(judged), network, sample),
    ]


def _numbers(counts: pa.Table, judged: list[Row], network: str, sample: str) -> Block:
    """Tabulate the bins of novelty over all magnitudes."""
    everywhere = counts.filter(pa.array(np.isnan(numbers(counts, "r_low"))))
    total = numbers(everywhere, "count").sum()
    known = {row["novelty_low"]: row for row in judged if np.isnan(row["r_low"])}
    rows = []
    for low in sorted(low for low in distinct(everywhere, "novelty_low") if is_number(low)):
        some, row = select(everywhere, {"novelty_low": low}), known.get(low, {})
        count = numbers(some, "count").sum()
        bounds = f"{percent(row.get('accuracy_low'))} to {percent(row.get('accuracy_high'))}"
        rows.append(
            [
                f"{low:g} to {some['novelty_high'][0].as_py():g}",
                *(whole(float(count)), percent(float(count / total)), whole(row.get("count"))),
                *(percent(row.get("accuracy")), bounds if row else "–"),
                decimal(row.get("p_mean"), 3),
            ]
        )
    headings = ["Novelty", "Sources", "Share", "Labelled", "Accuracy", "within", "Said"]
    judge = f", labelled: sample {sample}" if sample else ""
    return grid(f"Sources by novelty: {network}, all magnitudes{judge}", headings, rows)
