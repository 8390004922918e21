"""How far the classes can be trusted, on sources whose class is known."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.report.blocks import Block, Remark, Section, drawing, grid, missing
from kidsclf.report.figures.accuracy import draw_confusion, draw_networks
from kidsclf.report.numbers import decimal, is_number, percent, whole
from kidsclf.report.palette import class_look
from kidsclf.report.sections.curves import labelled, magnitude_curves, per_network, threshold_curves
from kidsclf.report.tables import (
    POOLED_FOLD,
    ReportTables,
    distinct,
    headline_network,
    numbers,
    present,
    rows_of,
    select,
)


def accuracy(tables: ReportTables) -> Section:
    """Show the metrics per network, class, magnitude and threshold, and the confusion."""
    lead = (
        "Measured on labelled sources that the network was not trained on. Labels come from "
        "spectroscopy, which picks its targets: faint sources are rarer there than in the survey."
    )
    first = headline_network(tables)
    blocks = [
        *_scores(tables.classification),
        *_confusions(tables.confusion),
        *per_network(tables.classification, first, "magnitude bins", magnitude_curves),
        *per_network(tables.thresholds, first, "thresholds", threshold_curves),
    ]
    return Section("accuracy", "Accuracy", lead, tuple(blocks))


def _of_all_magnitudes(classification: pa.Table) -> pa.Table:
    return classification.filter(pa.array(np.isnan(numbers(classification, "r_low"))))


def _scores(classification: pa.Table | None) -> list[Block]:
    whole_range = present(classification)
    if whole_range is not None:
        whole_range = present(_of_all_magnitudes(whole_range))
    if whole_range is None:
        return [missing("The table of metrics", "no network was scored on labelled sources")]
    blocks: list[Block] = []
    for number, sample in enumerate(distinct(whole_range, "sample")):
        of_sample = labelled(select(whole_range, {"sample": sample}))
        if not of_sample.num_rows:
            blocks.append(missing(f"The metrics of {sample}", "it has no labelled source"))
            continue
        blocks += [_score_grid(of_sample, str(sample)), *_baseline(of_sample, str(sample))]
        blocks.append(
            drawing(
                f"fig-networks-{number}",
                partial(draw_networks, of_sample),
                title=f"F1 score by class and network, sample {sample}",
                caption="Quasars tell networks apart: they are the rarest class and look like "
                "stars. A bar is the standard deviation over folds.",
                alt=f"F1 scores of every class, one mark per network, sample {sample}.",
                data=of_sample,
            )
        )
    return blocks


def _score_grid(of_sample: pa.Table, sample: str) -> Block:
    rows = []
    for row in rows_of(select(of_sample, {"fold": POOLED_FOLD})):
        folds = select(of_sample, {"network": row["network"], "class": row["class"]})
        f1 = numbers(folds.filter(pc.not_equal(folds["fold"], POOLED_FOLD)), "f1")
        spread = float(np.std(f1, ddof=1)) if len(f1) > 1 else None
        rows.append(
            [
                *(row["network"], class_look(row["class"]).label, whole(row["support"])),
                *(decimal(row[name]) for name in ("precision", "recall")),
                decimal(row["f1"]) + (f" ± {decimal(spread)}" if is_number(spread) else ""),
                *(decimal(row[name]) for name in ("accuracy", "balanced_accuracy")),
            ]
        )
    headings = ["Network", "Class", "Labelled", "Precision", "Recall", "F1"]
    note = "± is the standard deviation over folds." if any("±" in r[5] for r in rows) else ""
    caption = f"Metrics on the sample {sample}, all magnitudes"
    return grid(caption, [*headings, "Accuracy", "Balanced accuracy"], rows, note)


def _baseline(of_sample: pa.Table, sample: str) -> list[Block]:
    pooled = select(of_sample, {"fold": POOLED_FOLD})
    of_one = select(pooled, {"network": distinct(of_sample, "network")[0]})
    support = numbers(of_one, "support")
    if len(support) < 2:
        return [Remark(f"The sample {sample} holds one class: its recall is what it tells.")]
    share = float(support.max() / support.sum())
    name = class_look(str(of_one["class"][int(support.argmax())].as_py())).label
    return [
        Remark(
            f"For scale: calling every source of the sample {sample} a {name} would be right for "
            f"{percent(share)} of its {whole(float(support.sum()))} sources."
        )
    ]


def _confusions(confusion: pa.Table | None) -> list[Block]:
    table = present(confusion)
    if table is None:
        return [missing("The confusion matrix", "no network was scored on labelled sources")]
    return [
        drawing(
            f"fig-confusion-{number}",
            partial(draw_confusion, select(table, {"sample": sample})),
            title=f"Confusion, sample {sample}",
            caption="Percentages are of the true class, so each column adds up to 100%. Look at "
            "what quasars are taken for.",
            alt=f"Confusion matrices of true and predicted classes, sample {sample}.",
            data=select(table, {"sample": sample}),
        )
        for number, sample in enumerate(distinct(table, "sample"))
    ]
