"""A finished run opened for looking at: what it holds, and which of its partitions lie where."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from kidsclf.config import Config
from kidsclf.config_file import load_config
from kidsclf.errors import ConfigError, StoreError
from kidsclf.pipeline.query import catalogue_classes, catalogue_partitions
from kidsclf.pipeline.status import status_of
from kidsclf.places import open_parquet
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.margin import Stretches
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory
from kidsclf.store.products import COLUMNS, read_columns

_BEFORE_CLASS = (SPATIAL_INDEX, NAME, RA, DEC)


@dataclass(frozen=True)
class Explored:
    """The catalogue that a run has made, and what else it knows of its sources.

    Attributes
    ----------
    work : WorkDirectory
    config : Config
    partitions : tuple of Partition
        In the order of the sky.
    schema : pyarrow.Schema
        Of the catalogue.
    meanings : mapping of str to str
        What each column is, in words.
    """

    work: WorkDirectory
    config: Config
    partitions: tuple[Partition, ...]
    schema: pa.Schema
    meanings: dict[str, str]

    @property
    def store(self) -> HatsCatalogue:
        """The files of the catalogue."""
        return HatsCatalogue(self.work.products / "catalog")

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that sources can have."""
        return tuple(catalogue_classes(self.schema.names))

    @property
    def band(self) -> str:
        """Column of the magnitude: the one after the place."""
        return str(self.schema.names[len(_BEFORE_CLASS)])

    @property
    def network(self) -> str:
        """The network whose classes the catalogue gives."""
        return self.config.reduce.product_network or self.config.train.networks[0]

    @cached_property
    def sky(self) -> SkyIndex:
        """Where the partitions lie."""
        return SkyIndex.of_partitions(self.partitions)

    def partition_of(self, index: int) -> Partition | None:
        """Give the partition that holds a place of the spatial index; None beside the survey."""
        found = self.sky.touching(np.array([[index, index + 1]], np.int64))
        return self.partitions[found[0]] if found else None

    def rows_at(self, indices: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Read the sources at some places of the spatial index, in the order of the places.

        Only row groups that hold one are read. A place may hold two sources.
        """
        parts = []
        in_order = np.unique(np.array(indices, np.int64))
        names = list(dict.fromkeys((SPATIAL_INDEX, *columns)))
        for place in self.sky.touching(np.stack([in_order, in_order + 1], axis=1)):
            partition = self.partitions[place]
            inside = in_order[partition.contains(in_order)]
            parts.append(self.store.read(partition, names, stretches_at(inside)))
        if not parts:
            return self.schema.empty_table().select(names)
        table = pa.concat_tables(parts)
        rank = {int(index): k for k, index in enumerate(indices)}
        ranks = [rank[index] for index in table[SPATIAL_INDEX].to_pylist()]
        return table.take(np.argsort(ranks, kind="stable"))


def stretches_at(indices: np.ndarray) -> Stretches:
    """Give stretches of one place each, ascending.

    >>> stretches_at(np.array([7])).tolist()
    [[7, 8]]
    """
    return np.stack([indices, indices + 1], axis=1)


def open_explored(work: WorkDirectory) -> Explored:
    """Open a run whose catalogue is finished.

    Raises
    ------
    ConfigError
        When there is no run.
    StoreError
        When it has not come so far.
    """
    if not work.settings.exists():
        raise ConfigError(
            f"a run was to be explored, but {work.root} holds no run.toml; give the work directory "
            f"of a run"
        )
    config, store = load_config(work.settings), HatsCatalogue(work.products / "catalog")
    if not (store.root / "partition_info.csv").exists():
        missing = [s.stage for s in status_of(work).stages if not _has_ended(s.state)]
        raise StoreError(
            f"the catalogue of {work.root} was to be explored, but its run has not made one yet "
            f"(missing: {', '.join(missing) or 'reduce'}); give the command of the run again first"
        )
    partitions = catalogue_partitions(store)
    with open_parquet(store.path(partitions[0])) as file:
        schema = file.schema_arrow
    meanings = {each.name: each.meaning for each in read_columns(work.products / COLUMNS)}
    return Explored(work, config, partitions, schema, meanings)


def _has_ended(state: str) -> bool:
    return state.startswith(("done", "left out"))
