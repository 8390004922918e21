"""A network's folder: the model file and ``card.json``, which says what it is.

The card is read first and without any framework, so a report costs no import of Keras.
"""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kidsclf.errors import StoreError
from kidsclf.models.committee import Committee, member_folder
from kidsclf.models.description import InputDescription
from kidsclf.models.network import Network
from kidsclf.models.table import network_entry
from kidsclf.places import Place

CARD = "card.json"
FORMAT = 1
"""Of the card; a reader refuses a later one."""

_PACKAGES = (
    "kidsclf",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "xgboost-cpu",
    "xgboost",
)


@dataclass(frozen=True)
class Card:
    """What is known of a trained network.

    Attributes
    ----------
    network, task, paper : str
        Of the table of networks.
    description : InputDescription
    settings : mapping
        Those that it was trained with.
    seed : int
    fingerprint : str
        Of the sample that it was trained on.
    scores : mapping of str to float
        Rows of each sample, best epoch, loss (nats) and accuracy on the validation sample.
    parameters, multiply_adds : int or None
        Size, and cost of one source; None for trees.
    versions : mapping of str to str
        Packages installed at the time.
    committee : int
        Networks that answer as one; above 1 each has a folder of its own in this one.
    """

    network: str
    task: str
    paper: str
    description: InputDescription
    settings: Mapping[str, Any]
    seed: int
    fingerprint: str
    scores: Mapping[str, float]
    parameters: int | None
    multiply_adds: int | None
    versions: Mapping[str, str] = field(default_factory=dict)
    committee: int = 1


def save_network(
    network: Network,
    directory: Path,
    *,
    settings: Mapping[str, Any],
    seed: int,
    fingerprint: str,
    scores: Mapping[str, float],
) -> Card:
    """Write the model file and the card into a directory that exists.

    Parameters
    ----------
    network : Network
    directory : Path
        Unpublished: the files are written in place, so the caller renames the folder.
    settings, seed, fingerprint, scores
        As ``Card`` has them; values that JSON can hold.
    """
    network.write(directory)
    card = Card(
        network=network.entry.name,
        task=network.entry.task,
        paper=network.entry.paper,
        description=network.description,
        settings=settings,
        seed=seed,
        fingerprint=fingerprint,
        scores=scores,
        parameters=network.parameters,
        multiply_adds=network.multiply_adds,
        versions=installed_versions(_PACKAGES),
    )
    write_card(card, directory)
    return card


def write_card(card: Card, directory: Path) -> None:
    """Write the card into a directory that exists."""
    record = {"format": FORMAT, **asdict(card), "description": card.description.as_dict()}
    text = json.dumps(record, indent=2, allow_nan=False)
    (directory / CARD).write_text(text + "\n", encoding="utf-8")


def read_card(directory: Place) -> Card:
    """Read what a folder's network is.

    Raises
    ------
    StoreError
        If there is no card, or not one of this format.
    """
    path = directory / CARD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        record["description"] = InputDescription.from_dict(record["description"])
        return Card(**record)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"the network's card {path} was asked for, but it cannot be read ({error}); "
            "train the network again"
        ) from error


def load_network(directory: Path) -> Network | Committee[Network]:
    """Load a network, or a committee, without executing anything that its files hold.

    For a Keras network, ``prepare_backend`` comes first.

    Raises
    ------
    StoreError
        If a file is missing, damaged, or asks for code of its own.
    ConfigError
        If the card names a network that the table no longer holds.
    """
    card = read_card(directory)
    if card.committee == 1:
        return _load_one(card, directory)
    folders = [directory / member_folder(number) for number in range(card.committee)]
    return Committee([_load_one(read_card(folder), folder) for folder in folders])


def _load_one(card: Card, directory: Path) -> Network:
    entry = network_entry(card.network)
    # Each family brings a heavy library, so it is imported where a network of it is loaded.
    if entry.family == "xgboost":
        from kidsclf.models.trees import read_trees  # noqa: PLC0415

        return read_trees(entry, card.description, directory)
    from kidsclf.models.neural import read_neural  # noqa: PLC0415

    return read_neural(entry, card.description, directory)


def installed_versions(packages: Sequence[str]) -> dict[str, str]:
    """List the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
