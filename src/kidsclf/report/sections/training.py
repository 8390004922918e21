"""How the networks were trained."""

from functools import partial

import pyarrow.compute as pc

from kidsclf.report.blocks import Block, Section, drawing, missing
from kidsclf.report.figures.training import draw_history
from kidsclf.report.tables import ReportTables, distinct, headline_network, present


def training(tables: ReportTables) -> Section:
    """Show the training curves of every network."""
    lead = "Loss and accuracy after each epoch, or each round of boosting."
    table = present(tables.history)
    blocks: list[Block] = [missing("The training history", "no network was trained in this run")]
    if table is not None:
        first = headline_network(tables)
        networks = sorted(distinct(table, "network"), key=lambda name: name != first)
        blocks = []
        for number, network in enumerate(networks):
            rows = table.filter(pc.equal(table["network"], network))
            blocks.append(
                drawing(
                    f"fig-history-{number}",
                    partial(draw_history, rows),
                    title=f"Training of {network}",
                    caption="Training and validation should fall together; validation that turns "
                    "up again is over-fitting. The dot is at its lowest loss: a neural network "
                    "keeps the weights of there, trees are all kept. One pair of lines per fold "
                    "and member of a committee.",
                    alt=f"Training and validation loss and accuracy of {network} by epoch.",
                    data=rows,
                )
            )
    return Section("training", "Training", lead, tuple(blocks))
