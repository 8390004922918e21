"""The trees of XGBoost, laid out so that a processor asks them of many sources at once.

XGBoost grows the trees, and its file is what is kept; only the answers come from here, with margins
that are the same bits: leaves are added in float32, in XGBoost's order.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import xgboost
from numpy.typing import NDArray

from kidsclf.errors import PlanError
from kidsclf.models.compiled_levels import LANES, MOST_LEVELS
from kidsclf.models.compiled_trees import GROUP, ask_trees
from kidsclf.models.description import InputDescription
from kidsclf.models.network import Photometry, Probabilities, Stamps
from kidsclf.models.trees import TreeNetwork
from kidsclf.models.vectors import room

_LARGEST_BYTES = 64 * 1024**2
"""Of a model's file; while it is read, memory holds some ten times as much."""
_DEEPEST = 12
"""Trees are filled up to their depth, which doubles them with each level."""


@dataclass(frozen=True)
class Forest:
    """Trees as ``compiled_trees.ask_trees`` takes them, and says what they are."""

    cuts: NDArray[np.float32]
    counts: NDArray[np.int64]
    rank: type[np.unsignedinteger[Any]]
    top: int
    rows: NDArray[np.int32]
    limits: NDArray[np.int32]
    nodes: NDArray[np.int64]
    leaves: NDArray[np.float32]
    classes: NDArray[np.int64]
    start: NDArray[np.float32]

    @classmethod
    def of(cls, booster: xgboost.Booster) -> "Forest | None":
        """Lay out a booster; None where only XGBoost can ask it.

        That is one of another kind than plain trees of numbers for a softmax, of trees deeper than
        12 levels, or of so many that reading them would take gigabytes.
        """
        if len(booster.save_raw("ubj")) > _LARGEST_BYTES:
            return None
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        trees, parameters = _plain_trees(learner), learner["learner_model_param"]
        if not trees:
            return None
        cuts = _cuts(trees, int(parameters["num_feature"]))
        most, depth = max(map(len, cuts)), max(tree.depth for tree in trees)
        if depth > _DEEPEST or most > np.iinfo(np.uint16).max:
            return None
        top = min(depth, MOST_LEVELS)
        rank = np.uint8 if most < 1 << 8 else np.uint16
        filled = [tree.filled(depth, cuts) for tree in trees]
        rows, ranks, leaves = (np.stack(part) for part in zip(*filled, strict=True))
        return cls(
            cuts=_padded(cuts),
            counts=np.array([len(each) for each in cuts]),
            rank=rank,
            top=top,
            rows=(rows * LANES)[:, : (1 << top) - 1].astype(np.int32),
            limits=_limits(ranks[:, : (1 << top) - 1].astype(rank)),
            nodes=((ranks << 32) + rows * LANES)[:, (1 << top) - 1 :],
            leaves=leaves,
            classes=np.array([tree.adds_to for tree in trees]),
            start=_start(parameters),
        )

    def takes(self, description: InputDescription) -> bool:
        """Say whether these trees were grown on such data."""
        found = len(self.cuts), len(self.start)
        return found == (description.photometry_features, len(description.classes))

    def ask(self, photometry: Photometry) -> Probabilities:
        """Say the probability of each class, float32 array (n, classes).

        Raises
        ------
        PlanError
            If the photometry has another number of columns than the trees were grown on.
        """
        if photometry.shape[1] != len(self.cuts):
            raise PlanError(
                f"trees of {len(self.cuts)} magnitudes and colours were asked about sources with "
                f"{photometry.shape[1]}; train them on this survey"
            )
        out = np.empty((len(photometry), len(self.start)), np.float32)
        ranks = room((2 * photometry.shape[1], LANES), self.rank)
        layout = (self.rows, self.limits, self.nodes, self.leaves, self.classes, self.start)
        ask_trees(photometry, self.cuts, self.counts, self.top, *layout, ranks, out)
        return out


@final
class ForestNetwork:
    """Trained trees, ready to answer."""

    def __init__(self, description: InputDescription, forest: Forest, threads: int) -> None:
        self.description = description
        self._forest = forest
        self._threads = threads

    @classmethod
    def of(cls, network: TreeNetwork, threads: int) -> "ForestNetwork | TreeNetwork":
        """Lay trees out, or leave them to XGBoost where they cannot be."""
        forest, description = Forest.of(network.booster), network.description
        if forest is None or not forest.takes(description):
            return network
        return cls(description, forest, threads)

    def predict(
        self,
        photometry: Photometry,
        stamps: Stamps | None,  # noqa: ARG002  (of the interface)
        batch_size: int,  # noqa: ARG002
    ) -> Probabilities:
        """Say the probability of each class; no stamps are read."""
        photometry = np.ascontiguousarray(photometry, np.float32)
        if self._threads == 1:
            return self._forest.ask(photometry)
        with ThreadPoolExecutor(self._threads) as pool:
            parts = pool.map(self._forest.ask, np.array_split(photometry, self._threads))
            return np.concatenate(list(parts))


@dataclass(frozen=True)
class _Tree:
    """A tree as XGBoost writes it: columns of nodes, of which the first is the root.

    ``number`` is what an inner node splits at, and what a leaf adds to the margin of a class.
    """

    adds_to: int
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    number: NDArray[np.float32]
    missing_left: NDArray[np.bool_]

    @property
    def inner(self) -> NDArray[np.bool_]:
        return self.left >= 0

    @property
    def depth(self) -> int:
        """Levels below the root; of a tree too deep to be filled, or of one in circles, 13."""
        nodes, depth = np.zeros(1, np.int64), -1
        while len(nodes) and depth <= _DEEPEST:
            split = nodes[self.inner[nodes]]
            nodes, depth = np.concatenate([self.left[split], self.right[split]]), depth + 1
        return depth

    def filled(
        self, depth: int, cuts: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Give rows and ranks of 2^depth - 1 nodes, level by level, and the leaves below them.

        Where the tree ends earlier, whichever way leads to its leaf.
        """
        row = np.where(self.missing_left, self.feature, self.feature + len(cuts))
        nodes, levels = np.zeros(1, np.int64), [np.zeros(0, np.int64)]
        for _ in range(depth):
            levels.append(nodes)
            inner = self.inner[nodes]
            ways = [np.where(inner, way[nodes], nodes) for way in (self.left, self.right)]
            nodes = np.stack(ways, axis=1).reshape(-1)
        asked = np.concatenate(levels)
        inner = self.inner[asked]
        rows, ranks = (np.where(inner, each[asked], 0) for each in (row, self._ranks(cuts)))
        return rows, ranks, self.number[nodes]

    def _ranks(self, cuts: list[NDArray[np.float32]]) -> NDArray[np.int64]:
        """Count the cuts at or below that of each inner node: who has as many goes right."""
        ranks = np.zeros(len(self.left), np.int64)
        for feature in np.unique(self.feature[self.inner]):
            of_it = self.inner & (self.feature == feature)
            ranks[of_it] = np.searchsorted(cuts[feature], self.number[of_it], side="right")
        return ranks


def _plain_trees(learner: dict[str, Any]) -> list[_Tree]:
    """List the trees; none where they are not plain."""
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree" or objective != "multi:softprob":
        return []
    trees, adds_to = booster["model"]["trees"], booster["model"]["tree_info"]
    classes = int(learner["learner_model_param"]["num_class"])
    of_vectors = any(int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees)
    of_kinds = any(any(tree["split_type"]) for tree in trees)
    if of_vectors or of_kinds or not set(adds_to) <= set(range(classes)):
        return []
    return [
        _Tree(
            class_,
            np.array(tree["left_children"], np.int64),
            np.array(tree["right_children"], np.int64),
            np.array(tree["split_indices"], np.int64),
            np.array(tree["split_conditions"], np.float32),
            np.array(tree["default_left"], bool),
        )
        for tree, class_ in zip(trees, adds_to, strict=True)
    ]


def _start(parameters: dict[str, str]) -> NDArray[np.float32]:
    """Read the margins without trees: one number a class, or, of older files, one for all."""
    score = np.atleast_1d(np.array(json.loads(parameters["base_score"]), np.float32))
    return np.array(np.broadcast_to(score, (int(parameters["num_class"]),)))


def _cuts(trees: list[_Tree], features: int) -> list[NDArray[np.float32]]:
    """List what the trees split each feature at."""
    feature = np.concatenate([tree.feature[tree.inner] for tree in trees])
    number = np.concatenate([tree.number[tree.inner] for tree in trees])
    return [np.unique(number[feature == each]) for each in range(features)]


def _padded(cuts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Fill up with NaN, to whole groups but for one."""
    power = max(len(each) for each in cuts).bit_length()
    padded = np.full((len(cuts), max(1 << power, GROUP) - 1), np.nan, np.float32)
    for row, each in zip(padded, cuts, strict=True):
        row[: len(each)] = each
    return padded


def _limits(ranks: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.int32]:
    """Repeat the complement of each to 32 bits."""
    times = 4 // ranks.itemsize
    return np.repeat(~ranks[:, :, None], times, axis=2).view(np.int32)[:, :, 0]
