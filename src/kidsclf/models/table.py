"""The networks there are. A new one is a file with a builder and a row here."""

import difflib
from dataclasses import dataclass
from typing import Literal

from kidsclf.errors import ConfigError


@dataclass(frozen=True)
class NetworkEntry:
    """A row of the table.

    Attributes
    ----------
    name : str
        What ``train.networks`` calls it.
    task : str
        What it says of a source.
    photometry, images : bool
        What it reads; which bands and how large a stamp is the data's affair.
    family : str
        How it is trained and stored: ``keras`` (``model.keras``) or ``xgboost`` (``model.ubj``).
    builder : str
        ``module:function``; imported only where the network is trained.
    paper : str
        Where it is described.
    """

    name: str
    task: Literal["classification"]
    photometry: bool
    images: bool
    family: Literal["keras", "xgboost"]
    builder: str
    paper: str


_FENG = "Feng et al., KiDS DR5 star-quasar-galaxy classification, §3.1"

NETWORKS = (
    # name, task, photometry, images, family, builder, paper
    NetworkEntry(
        "mnn", "classification", True, True, "keras", "kidsclf.models.feng:build_mnn", _FENG
    ),
    NetworkEntry(
        "mlp", "classification", True, False, "keras", "kidsclf.models.feng:build_mlp", _FENG
    ),
    NetworkEntry(
        "xgboost",
        "classification",
        True,
        False,
        "xgboost",
        "kidsclf.models.trees:grow_trees",
        "Chen & Guestrin 2016, KDD '16, 785; Feng et al., Table 1",
    ),
)


def network_entry(name: str) -> NetworkEntry:
    """Find a network by its name.

    Raises
    ------
    ConfigError
        If there is none, with the nearest name.

    Examples
    --------
    >>> network_entry("mnn").images
    True
    """
    known = {entry.name: entry for entry in NETWORKS}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "name one of those"
    raise ConfigError(
        f"the network {name!r} was asked for, but the table holds {', '.join(known)}; {hint}"
    )
