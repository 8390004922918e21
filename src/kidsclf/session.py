"""A finished run in a notebook: its cluster, its tables, its stamps, and a function of one's own.

import kidsclf

with kidsclf.open_session("runs/demo") as session:
session.dashboard                      # where to watch
session.scores().query("p_max < 0.5")  # a dask.dataframe
session.map_partitions(my_function)    # photometry, scores and stamps, partition by partition
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lsdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kidsclf.cluster.open import open_cluster
from kidsclf.config import Config, StoreSettings
from kidsclf.config_file import load_config
from kidsclf.errors import ConfigError, StoreError
from kidsclf.places import Place, is_local, place
from kidsclf.schema import DEC, NAME, RA, SPATIAL_INDEX
from kidsclf.sky.cap import partition_cap, separation_deg
from kidsclf.sky.partition import Partition
from kidsclf.store.catalogue import HatsCatalogue
from kidsclf.store.cutouts import CutoutStore
from kidsclf.store.layout import WorkDirectory

PartitionFunction = Callable[[pd.DataFrame, dict[str, NDArray[np.float32]]], Any]
"""Takes the sources of a partition and their stamps by band, float32 (n, size, size), maggies."""


@dataclass(frozen=True)
class Cutouts:
    """Stamps with the sources that they show, row by row.

    Attributes
    ----------
    sources : pandas.DataFrame
        ``name``, ``ra``, ``dec`` (degrees).
    stamps : mapping of band to float32 array (n, size, size)
        Maggies (AB zero point 0); NaN where there is no image.
    flags : uint8 array (n,)
        Bits of ``kidsclf.schema.CutoutFlag``.
    """

    sources: pd.DataFrame
    stamps: dict[str, NDArray[np.float32]]
    flags: NDArray[np.uint8]


class Session:
    """What a notebook asks of a run; made by ``open_session``."""

    def __init__(self, work: WorkDirectory, config: Config, client: Any) -> None:
        self.work = work
        self.config = config
        self.client = client
        self._close = ExitStack()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session({str(self.work.root)!r}, dashboard={self.dashboard!r})"

    def close(self) -> None:
        """Stop the cluster, if it was this session's own."""
        self._close.close()

    @property
    def dashboard(self) -> str:
        """Address of the Dask dashboard."""
        return str(self.client.dashboard_link)

    @property
    def networks(self) -> tuple[str, ...]:
        """Networks of the run, the first of which made the catalogue unless it was told."""
        return self.config.train.networks

    def partitions(self) -> tuple[Partition, ...]:
        """List the partitions of the catalogue in the order of the sky."""
        return HatsCatalogue(self.work.catalogue).partitions()

    def lsdb_catalogue(self, columns: Sequence[str] | None = None) -> lsdb.Catalog:
        """Open the photometry with LSDB: cone searches, crossmatches, and the rest of it."""
        return self._lsdb(self.work.catalogue, columns)

    def lsdb_scores(
        self, network: str | None = None, columns: Sequence[str] | None = None
    ) -> lsdb.Catalog:
        """Open what a network says with LSDB; by default the one that made the catalogue."""
        return self._lsdb(self.work.scores(self._network(network)), columns)

    def catalogue(self, columns: Sequence[str] | None = None) -> Any:
        """Give the photometry as a lazy ``dask.dataframe``, in the order of the sky."""
        return self.lsdb_catalogue(columns).to_dask_dataframe()

    def scores(self, network: str | None = None, columns: Sequence[str] | None = None) -> Any:
        """Give what a network says as a lazy ``dask.dataframe``, in the order of the sky."""
        return self.lsdb_scores(network, columns).to_dask_dataframe()

    def cutouts(
        self,
        names: Sequence[str] | None = None,
        *,
        cone: tuple[float, float, float] | None = None,
        bands: Sequence[str] | None = None,
    ) -> Cutouts:
        """Read the stamps of named sources, in their order, or of all in a cone, in sky order.

        Parameters
        ----------
        names : sequence of str, optional
        cone : (ra, dec, radius_arcsec), optional
            Degrees, degrees, arcsec. Only the partitions that it touches are read.
        bands : sequence of str, optional
            By default all that the run has cut.

        Raises
        ------
        ConfigError
            Unless exactly one of ``names`` and ``cone`` is given.
        StoreError
            When a name is not in the catalogue, or there are no stamps.
        """
        if (names is None) == (cone is None):
            raise ConfigError(
                "cutouts were asked for by neither or both of names and cone; give one of them"
            )
        bands = tuple(bands) if bands is not None else self.config.cutouts.bands
        partitions = self.partitions() if cone is None else _touched(self.partitions(), cone)
        wanted = None if names is None else tuple(dict.fromkeys(names))
        found = self._gather(
            _cutouts_of, [(self.work, partition, wanted, cone, bands) for partition in partitions]
        )
        some = [each for each in found if len(each.sources)]
        joined = _join(some, bands, self.config.cutouts.size_px)
        return joined if names is None else _in_order(joined, names)

    def map_partitions(
        self,
        function: PartitionFunction,
        *,
        columns: Sequence[str] | None = None,
        network: str | None = None,
        bands: Sequence[str] = (),
    ) -> list[Any]:
        """Call a function of one's own with the sources of every partition, on the cluster.

        Parameters
        ----------
        function : callable
            ``function(sources, stamps)``: a DataFrame of the photometry with the columns of the
            scores beside it, and the stamps by band, float32 (n, size, size) in maggies. What it
            returns travels back, so let it be small.
        columns : sequence of str, optional
            Of the photometry; by default all.
        network : str, optional
            Whose scores stand beside the photometry; by default that of the catalogue.
        bands : sequence of str
            Whose stamps are read; by default none.

        Returns
        -------
        list
            What the function returned for each partition, in the order of the sky.
        """
        chosen = self._network(network)
        arguments = [
            (self.work, partition, function, columns, chosen, tuple(bands))
            for partition in self.partitions()
        ]
        return self._gather(_call_with, arguments)

    def _gather(self, function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> list[Any]:
        futures = [self.client.submit(function, *each, pure=False) for each in arguments]
        return list(self.client.gather(futures))

    def _lsdb(self, root: Place, columns: Sequence[str] | None) -> lsdb.Catalog:
        if not (root / "hats.properties").exists():
            raise StoreError(
                f"a finished table was expected at {root}, but there is none; run the stage that "
                f"makes it"
            )
        chosen = list(columns) if columns is not None else "all"
        return lsdb.open_catalog(root, columns=chosen)

    def _network(self, network: str | None) -> str:
        chosen = network or self.config.reduce.product_network or self.networks[0]
        if chosen not in self.networks:
            raise ConfigError(
                f"scores of the network {chosen!r} were asked for, but this run has "
                f"{', '.join(self.networks)}; name one of those"
            )
        return chosen


def open_session(
    workdir: str | Path,
    cluster: str = "local",
    *,
    workers: int | None = None,
    endpoint_url: str | None = None,
) -> Session:
    """Open a run for looking at it from Python.

    Parameters
    ----------
    workdir : path or URL
        Work directory of a run: a folder or ``s3://BUCKET/NAME``.
    cluster : str
        ``local``, ``cuda``, ``slurm`` or the address of a scheduler, as on the command line.
    workers : int, optional
        Overrides ``cluster.workers`` of the run.
    endpoint_url : str, optional
        Of the object store, where it is not Amazon's or that of ``AWS_ENDPOINT_URL``.

    Returns
    -------
    Session
        Close it, or use it in a ``with`` block: its workers are processes.

    Raises
    ------
    ConfigError
        When there is no run in the folder.
    ClusterError
        When the cluster does not open.
    """
    settings = StoreSettings(endpoint_url=endpoint_url)
    work = WorkDirectory(place(workdir, settings).resolve())
    if not work.settings.exists():
        raise ConfigError(
            f"a run was expected in {work.root}, but it holds no run.toml; give the --workdir of "
            f"a run"
        )
    overrides = [f'cluster.kind="{cluster}"']
    overrides += [f"cluster.workers={workers}"] if workers is not None else []
    config = load_config(work.settings, overrides, "open_session")
    closing = ExitStack()
    client = closing.enter_context(_client(config, work))
    session = Session(work, config, client)
    session._close.push(closing.pop_all())
    return session


@contextmanager
def _client(config: Config, work: WorkDirectory) -> Iterator[Any]:
    # Batch jobs read certificates in this folder: it must be one that their nodes see.
    shared = str(work.root) if config.cluster.kind == "slurm" and is_local(work.root) else None
    within = config.store.scratch or shared
    with (
        TemporaryDirectory(prefix="kidsclf-session-", dir=within) as folder,
        open_cluster(
            config.cluster, scratch=Path(folder), logs=Path(folder) / "logs", environment={}
        ) as client,
    ):
        yield client


def _touched(
    partitions: Sequence[Partition], cone: tuple[float, float, float]
) -> tuple[Partition, ...]:
    """Keep the partitions that a cone may touch."""
    ra, dec, radius_arcsec = cone
    kept = []
    for partition in partitions:
        ra0, dec0, radius = partition_cap(partition)
        apart = separation_deg(np.array([ra]), np.array([dec]), ra0, dec0)[0]
        if apart <= radius + radius_arcsec / 3600.0:
            kept.append(partition)
    return tuple(kept)


def _cutouts_of(
    work: WorkDirectory,
    partition: Partition,
    names: tuple[str, ...] | None,
    cone: tuple[float, float, float] | None,
    bands: tuple[str, ...],
) -> Cutouts:
    table = HatsCatalogue(work.catalogue).read(partition, [NAME, RA, DEC])
    if names is not None:
        chosen = pc.is_in(table[NAME], value_set=pa.array(names, pa.string())).to_numpy()
    else:
        assert cone is not None  # noqa: S101 - one of the two was asked for
        ra, dec, radius_arcsec = cone
        apart = separation_deg(table[RA].to_numpy(), table[DEC].to_numpy(), ra, dec)
        chosen = apart * 3600.0 <= radius_arcsec
    rows = np.flatnonzero(chosen)
    if len(rows) == 0:
        return Cutouts(pd.DataFrame(), {}, np.empty(0, np.uint8))
    everybody = table[NAME].to_numpy(zero_copy_only=False)
    store = CutoutStore(work.cutouts)
    return Cutouts(
        table.take(rows).to_pandas(),
        store.read(partition, everybody, bands, rows),
        store.flags(partition, everybody)[rows],
    )


def _join(parts: list[Cutouts], bands: Sequence[str], size_px: int) -> Cutouts:
    if not parts:
        nothing = pd.DataFrame({NAME: pd.Series(dtype=str), RA: [], DEC: []})
        empty = np.empty((0, size_px, size_px), np.float32)
        return Cutouts(nothing, dict.fromkeys(bands, empty), np.empty(0, np.uint8))
    return Cutouts(
        pd.concat([part.sources for part in parts], ignore_index=True),
        {band: np.concatenate([part.stamps[band] for part in parts]) for band in bands},
        np.concatenate([part.flags for part in parts]),
    )


def _in_order(found: Cutouts, names: Sequence[str]) -> Cutouts:
    """Bring stamps into the order of the names; sources of one name stay in that of the sky."""
    known = pd.Index(found.sources[NAME])
    missing = [name for name in names if name not in known]
    rows = known.get_indexer_for(list(names))
    if missing:
        raise StoreError(
            f"stamps of {len(names)} sources were asked for, but {len(missing)} of them, such as "
            f"{missing[0]!r}, are not in the catalogue; give names of its column 'name'"
        )
    stamps = {band: values[rows] for band, values in found.stamps.items()}
    return Cutouts(found.sources.iloc[rows].reset_index(drop=True), stamps, found.flags[rows])


def _call_with(
    work: WorkDirectory,
    partition: Partition,
    function: PartitionFunction,
    columns: Sequence[str] | None,
    network: str,
    bands: tuple[str, ...],
) -> Any:
    table = HatsCatalogue(work.catalogue).read(
        partition, list(dict.fromkeys((NAME, *columns))) if columns is not None else None
    )
    sources = table.to_pandas()
    scored = HatsCatalogue(work.scores(network))
    if scored.exists(partition):
        scores = scored.read(partition).drop([SPATIAL_INDEX, NAME, RA, DEC]).to_pandas()
        sources = pd.concat([sources, scores], axis=1)
    names = table[NAME].to_numpy(zero_copy_only=False)
    stamps = CutoutStore(work.cutouts).read(partition, names, bands) if bands else {}
    return function(sources, stamps)
