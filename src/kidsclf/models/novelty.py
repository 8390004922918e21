"""How far a source lies from the sample that taught a network, in the space of its photometry.

Magnitudes are scaled so that the scatter within a class is 1 in every direction: the metric of Lee
et al. 2018 (arXiv:1807.03888, eq. 1), in which linear combinations such as colours change nothing.
There the distance to the nearest of a few hundred centres of the training sample is taken, after
the nearest neighbours of Sun et al. 2022 (arXiv:2204.06507): classes of galaxies and stars are no
Gaussian clouds. ``benchmarks/novelty.py`` compares it with others.

All networks share this space, so trees have it too, and a network of images alone is judged by the
photometry that its sample had.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kidsclf.combinations import combinations
from kidsclf.errors import StoreError
from kidsclf.models.nearest import TOGETHER, nearest_points
from kidsclf.models.vectors import aligned
from kidsclf.schema import magnitude_column

Floats = NDArray[np.float64]

_KIND, _DISTANCE = "kind", "distance"
_CENTRE, _COVARIANCE, _SCALE, _POINT, _KNOWN = "centre", "covariance", "scale", "point", "known"


@dataclass(frozen=True)
class Novelty:
    """What is known of a training sample's photometry.

    Attributes
    ----------
    bands : tuple of str
        Of the survey, whichever of them the network reads.
    centre : float64 array (bands,)
        Mean magnitudes.
    covariance : float64 array (bands, bands)
        Of the magnitudes of the sample, mag^2: tells a missing one from the others.
    scale : float64 array (bands, bands)
        Turns a difference of magnitudes into units of the scatter within a class.
    points : float32 array (k, bands)
        Centres of the training sample, in these units.
    known : float32 array (v,)
        Distances of the validation sources, ascending.
    """

    bands: tuple[str, ...]
    centre: Floats
    covariance: Floats
    scale: Floats
    points: NDArray[np.float32]
    known: NDArray[np.float32]

    def distances(self, magnitudes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Measure how far sources lie from the nearest centre.

        Parameters
        ----------
        magnitudes : float32 array (n, bands)
            In the order of ``bands``; NaN where missing, which is then taken as the measured ones
            let expect (the conditional mean of a normal distribution).

        Returns
        -------
        float32 array (n,)
            In units of the scatter within a class; NaN for a source without any magnitude.
        """
        return self.nearest(magnitudes)[1]

    def nearest(
        self, magnitudes: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the nearest centre of sources, its number (n,) and its distance (n,)."""
        missing = ~np.isfinite(magnitudes)
        patterns, which = combinations(missing)
        maps = np.stack(
            [(self.scale @ expectation(self.covariance, pattern)).T for pattern in patterns]
        )
        places, squares = np.empty(len(which), np.int64), np.empty(len(which), np.float32)
        padded = np.pad(self.points, ((0, -len(self.points) % TOGETHER), (0, 0)), mode="edge")
        columns = aligned(padded.T)
        nearest_points(magnitudes, self.centre, maps, which, columns, places, squares)
        return places, np.where(missing.all(axis=1), np.float32(np.nan), np.sqrt(squares))

    def novelty(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the share of the validation sources that lie closer, within [0, 1).

        Of v validation sources, c closer ones are the share c / (v + 1): one less the p-value of
        conformal prediction. A new source that is drawn like them gets x or more with a probability
        of at most 1 - x, whatever the distribution (Vovk 2012, arXiv:1209.2673). NaN where the
        distance is.
        """
        closer = np.searchsorted(self.known, distances, side="left") / (len(self.known) + 1)
        return np.where(np.isnan(distances), np.nan, closer).astype(np.float32)

    def as_table(self) -> pa.Table:
        """Write it as a table of numbers, a column a band."""
        matrices: dict[str, NDArray[Any]] = {
            _CENTRE: self.centre[None],
            _COVARIANCE: self.covariance,
            _SCALE: self.scale,
            _POINT: self.points,
            _KNOWN: np.full((len(self.known), len(self.bands)), np.nan),
        }
        values = np.concatenate([part.astype(np.float64) for part in matrices.values()])
        kinds = [kind for kind, part in matrices.items() for _ in part]
        distance = np.full(len(values), np.nan)
        distance[len(values) - len(self.known) :] = self.known
        columns = {magnitude_column(band): values[:, k] for k, band in enumerate(self.bands)}
        return pa.table({_KIND: kinds, _DISTANCE: distance, **columns})

    @classmethod
    def from_table(cls, table: pa.Table) -> "Novelty":
        """Read what ``as_table`` wrote.

        Raises
        ------
        StoreError
            If columns or rows are missing.
        """
        names = [name for name in table.column_names if name not in (_KIND, _DISTANCE)]
        bands = bands_of(names)
        try:
            kind = table[_KIND].to_numpy(zero_copy_only=False)
            values = np.stack([table[name].to_numpy() for name in names], axis=1)
            known = table[_DISTANCE].to_numpy()[kind == _KNOWN].astype(np.float32)
        except (KeyError, ValueError) as error:
            raise _damaged(str(error)) from error
        parts = {each: values[kind == each] for each in (_CENTRE, _COVARIANCE, _SCALE, _POINT)}
        rows = {_CENTRE: 1, _COVARIANCE: len(bands), _SCALE: len(bands)}
        for each, part in parts.items():
            if len(part) != rows.get(each, max(1, len(part))):
                raise _damaged(f"{len(part)} rows {each!r}")
        points = np.ascontiguousarray(parts[_POINT], np.float32)
        return cls(bands, parts[_CENTRE][0], parts[_COVARIANCE], parts[_SCALE], points, known)


def bands_of(columns: Sequence[str]) -> tuple[str, ...]:
    """Name the bands whose magnitudes stand in columns, in their order.

    >>> bands_of(["kind", "mag_u", "mag_Ks"])
    ('u', 'Ks')
    """
    prefix = magnitude_column("")
    return tuple(name.removeprefix(prefix) for name in columns if name.startswith(prefix))


def expectation(covariance: Floats, missing: NDArray[np.bool_]) -> Floats:
    """Give the matrix that fills in what is missing, (d, d).

    It keeps what is measured and takes for the rest its mean, given that, in a normal distribution
    of this covariance. Columns of missing ones are 0.

    >>> expectation(np.array([[4.0, 2.0], [2.0, 1.0]]), np.array([False, True])).tolist()
    [[1.0, 0.0], [0.5, 0.0]]
    """
    matrix = np.diag((~missing).astype(np.float64))
    there, gone = np.flatnonzero(~missing), np.flatnonzero(missing)
    if len(there) and len(gone):
        known = covariance[np.ix_(there, there)]
        matrix[np.ix_(gone, there)] = np.linalg.solve(known, covariance[np.ix_(there, gone)]).T
    return matrix


def _damaged(found: str) -> StoreError:
    return StoreError(
        f"a network's novelty.parquet was to hold centre, covariance, scale and points of its "
        f"training sample, but it is damaged ({found}); train the network again"
    )
