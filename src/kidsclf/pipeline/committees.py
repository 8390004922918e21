"""What the task of a committee does: gather its members, and say what they answer together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.models.committee import agree, member_folder
from kidsclf.models.files import CARD, Card, read_card, write_card
from kidsclf.pipeline.fitting import (
    FINAL,
    FOLD_SCORES,
    HISTORY,
    NOVELTY,
    PROBABILITIES,
    VALIDATION,
    model_folder,
)
from kidsclf.pipeline.inputs import as_lists, matrix
from kidsclf.pipeline.mapping import Made
from kidsclf.places import download_tree
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.publish import published_folder
from kidsclf.store.tables import read_table, write_table


def gather_committee(
    work: WorkDirectory, network: str, fold: int, members: int, made_from: str
) -> Made:
    """Publish a committee: a copy of each member, and the answers that they give together.

    Its folder holds all that scoring, another run (``train.pretrained``) and the report need. The
    members' own folders stay, so that a larger committee trains only those that it lacks.
    """
    path = model_folder(work, network, fold)
    with published_folder(path, last=CARD) as folder:
        folders = [folder / member_folder(number) for number in range(members)]
        for number, copy in enumerate(folders):
            copy.mkdir()
            download_tree(model_folder(work, network, fold, number), copy)
        histories = [read_table(each / HISTORY) for each in folders]
        write_table(folder / HISTORY, pa.concat_tables(histories))
        # All members learnt from the same sources; the first speaks for them.
        write_table(folder / NOVELTY, read_table(folders[0] / NOVELTY))
        for file in (VALIDATION, *([FOLD_SCORES] if fold != FINAL else [])):
            write_table(folder / file, _said_together(folders, file))
        card = _card(folder, [read_card(each) for each in folders], made_from)
        write_card(card, folder)
    return Made(0, (path,), {"scores": dict(card.scores)})


def _said_together(folders: list[Path], file: str) -> pa.Table:
    """Join the members' answers about the same sources."""
    tables = [read_table(each / file) for each in folders]
    together = agree([matrix(table[PROBABILITIES]) for table in tables])
    place = tables[0].column_names.index(PROBABILITIES)
    return tables[0].set_column(place, PROBABILITIES, as_lists(together))


def _card(folder: Path, cards: list[Card], made_from: str) -> Card:
    """Say what a committee is: its members' card, with its own cost and its own scores."""
    said = read_table(folder / VALIDATION)
    found = _judged(matrix(said[PROBABILITIES]), said["code"].to_numpy())
    scores = {key: value for key, value in cards[0].scores.items() if key != "best_epoch"}
    return replace(
        cards[0],
        fingerprint=made_from,
        scores={**scores, **found},
        parameters=_sum([card.parameters for card in cards]),
        multiply_adds=_sum([card.multiply_adds for card in cards]),
        committee=len(cards),
    )


def _judged(probabilities: NDArray[np.float32], codes: NDArray[np.int64]) -> dict[str, float]:
    """Give cross-entropy (nats a source) and accuracy of what is answered."""
    answered = np.isfinite(probabilities).all(axis=1)
    said, codes = probabilities[answered].astype(np.float64), codes[answered]
    of_truth = np.maximum(said[np.arange(len(codes)), codes], np.finfo(np.float32).tiny)
    return {
        "validation_loss": float(-np.log(of_truth).mean()),
        "validation_accuracy": float((said.argmax(axis=1) == codes).mean()),
    }


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
