"""One partition's match: labels near it are read, sources near them, and pairs are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kidsclf.ingest.crossmatch import Floats, mutual_nearest, nearest
from kidsclf.pipeline.labels import NO_CUTS, Labels
from kidsclf.pipeline.mapping import Made
from kidsclf.pipeline.reading import cut_rows
from kidsclf.schema import DEC, LABEL, LABEL_NAME, NAME, RA, REDSHIFT, SPATIAL_INDEX, CutCount
from kidsclf.sky.lookup import SkyIndex
from kidsclf.sky.margin import Stretches, stretches_near
from kidsclf.sky.partition import INDEX_ORDER, Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.layout import WorkDirectory

SEPARATION = "separation_arcsec"

_MANY_DEPTH = 6
_MANY = 4**_MANY_DEPTH
"""With more labels than this, nearly all of a partition is near one: to follow each would take
longer (14 ms for 50,000) than to read what lies between."""

_MATCHES = {"mutual": mutual_nearest, "nearest": nearest}


@dataclass(frozen=True)
class SamplePlan:
    """What a partition's task needs to know of one sample."""

    name: str
    radius_arcsec: float
    match: Literal["mutual", "nearest"]
    exclude: tuple[str, ...]
    labels: Labels | None
    """None where the labels stand in the catalogue itself."""


def match_partition(
    work: WorkDirectory,
    partition: Partition,
    near: tuple[Partition, ...],
    plans: tuple[SamplePlan, ...],
    classes: tuple[str, ...],
    rows: int,
) -> Made:
    """Match all samples to one partition and publish what was found.

    Parameters
    ----------
    near : tuple of Partition
        This and others of the catalogue that hold sources within twice the widest radius, in the
        order of the sky.
    classes : tuple of str
        Labels that count.
    rows : int
        Sources of the partition.
    """
    catalogue = HatsCatalogue(work.catalogue)
    matched: dict[str, pa.Table] = {}
    cuts: dict[str, list[list[object]]] = {}
    paths = []
    for plan in plans:
        if plan.labels is None:
            found, counts = _own_labels(catalogue, partition, classes), NO_CUTS
        else:
            found, counts = _pairs(catalogue, partition, near, plan, plan.labels)
        for other in plan.exclude:
            taken = pc.is_in(found[NAME], value_set=matched[other][NAME].combine_chunks())
            found = found.filter(pc.invert(taken))
        matched[plan.name], cuts[plan.name] = found, cut_rows(counts)
        store = HatsCatalogue(work.sample(plan.name))
        if found.num_rows:
            paths.append(store.write(partition, found))
        else:
            store.path(partition).unlink(missing_ok=True)
    facts = {"matched": {name: found.num_rows for name, found in matched.items()}, "cuts": cuts}
    return Made(rows, tuple(paths), facts)


def _own_labels(
    catalogue: HatsCatalogue, partition: Partition, classes: tuple[str, ...]
) -> pa.Table:
    """Take the labels that stand in the catalogue itself."""
    own = catalogue.read(partition, [SPATIAL_INDEX, NAME, RA, DEC, LABEL, REDSHIFT])
    chosen = own.filter(pc.is_in(own[LABEL], value_set=pa.array(classes, pa.string())))
    if REDSHIFT not in own.column_names:
        chosen = chosen.append_column(REDSHIFT, pa.nulls(chosen.num_rows, pa.float32()))
    return _sample_table(chosen, chosen, np.zeros(chosen.num_rows))


def _pairs(
    catalogue: HatsCatalogue,
    partition: Partition,
    near: Sequence[Partition],
    plan: SamplePlan,
    reader: Labels,
) -> tuple[pa.Table, tuple[CutCount, ...]]:
    """Match labels to sources, and keep the pairs whose source is the partition's own."""
    labels, cuts = reader.read(partition, plan.radius_arcsec)
    finest = INDEX_ORDER if labels.num_rows < _MANY else partition.order + _MANY_DEPTH
    stretches = stretches_near(labels[SPATIAL_INDEX].to_numpy(), plan.radius_arcsec, finest)
    rivals = near if plan.match == "mutual" else (partition,)
    sources = _sources_in(catalogue, partition, rivals, stretches)
    first, second, separation = _MATCHES[plan.match](
        sources[RA].to_numpy(),
        sources[DEC].to_numpy(),
        labels[RA].to_numpy(),
        labels[DEC].to_numpy(),
        plan.radius_arcsec,
    )
    inside = partition.contains(sources[SPATIAL_INDEX].to_numpy()[first])
    own, theirs = sources.take(first[inside]), labels.take(second[inside])
    return _sample_table(own, theirs, separation[inside]), cuts


def _sources_in(
    catalogue: HatsCatalogue, partition: Partition, near: Sequence[Partition], stretches: Stretches
) -> pa.Table:
    """Read sources in some stretches, in the order of the sky: of others only their positions."""
    parts = [_NO_SOURCES]
    for k in SkyIndex.of_partitions(near).touching(stretches):
        columns = [SPATIAL_INDEX, RA, DEC]
        if near[k] == partition:
            columns.append(NAME)
        parts.append(catalogue.read(near[k], columns, stretches))
    return pa.concat_tables(parts, promote_options="default")


_NO_SOURCES = pa.schema(
    {SPATIAL_INDEX: pa.int64(), NAME: pa.string(), RA: pa.float64(), DEC: pa.float64()}
).empty_table()


def _sample_table(sources: pa.Table, labels: pa.Table, separation: Floats) -> pa.Table:
    """Say of each matched source what its label says."""
    return pa.table(
        {
            SPATIAL_INDEX: sources[SPATIAL_INDEX],
            NAME: sources[NAME],
            RA: sources[RA],
            DEC: sources[DEC],
            LABEL: labels[LABEL],
            REDSHIFT: labels[REDSHIFT],
            LABEL_NAME: labels[NAME],
            SEPARATION: pa.array(separation, pa.float32()),
        }
    )
