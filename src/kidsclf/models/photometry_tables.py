"""The photometric branch of Feng's networks, and the layer after it, as sums of tables.

Each magnitude and colour goes through the same dense layers alone (``feng``), and the first layer
of the head adds up what comes out of all of them. So what that layer is told of a source is a sum
of functions of one number each, and each of them is piecewise linear: a few hundred pieces. Looking
them up takes 2 products a feature and unit where the layers take 850, to the same values but for
rounding.
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from kidsclf.models.compiled import cells, sum_tables
from kidsclf.models.feng import HEAD_WIDTHS, PHOTOMETRY_WIDTHS, SEQUENCE, STANDARDISE
from kidsclf.models.network import Photometry
from kidsclf.models.piecewise import tabulate
from kidsclf.models.threads import fill_in_threads
from kidsclf.models.vectors import aligned


def can_be_tabulated(model: keras.Model) -> bool:
    """Say whether a network takes its magnitudes and colours one at a time, as Feng's do."""
    return any(layer.name == SEQUENCE for layer in model.layers)


@dataclass(frozen=True)
class PhotometryTables:
    """What the head of a network is told of photometry.

    Attributes
    ----------
    centre, width : float32 arrays (features,)
        Of the standardisation.
    nodes : float32 array (k,)
        Standardised numbers are clipped to between the first and the last.
    before : int32 array
        Of ``compiled.cells``.
    tables : float32 array (features, k, units)
    bias : float32 array (units,)
        Of the head's first layer.
    """

    centre: NDArray[np.float32]
    width: NDArray[np.float32]
    nodes: NDArray[np.float32]
    before: NDArray[np.int32]
    tables: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, model: keras.Model) -> "PhotometryTables":
        """Tabulate the photometric branch of a network of ``feng``."""
        standardise = model.get_layer(STANDARDISE)
        chain = [_weights(model, f"photometry_{width}") for width in PHOTOMETRY_WIDTHS]
        branch = tabulate(chain, -standardise.limit, standardise.limit)
        centre, width = (np.asarray(each) for each in standardise.get_weights())
        kernel, bias = _weights(model, f"head_{HEAD_WIDTHS[0]}")
        of_photometry = kernel[: len(centre) * PHOTOMETRY_WIDTHS[-1]]
        by_feature = of_photometry.reshape(len(centre), PHOTOMETRY_WIDTHS[-1], -1)
        return cls(
            centre,
            width,
            branch.nodes,
            cells(branch.nodes),
            aligned((branch.values @ by_feature).astype(np.float32)),
            bias.astype(np.float32),
        )

    def sums(self, photometry: Photometry, threads: int) -> NDArray[np.float32]:
        """Say what the head's first layer is told, before its ReLU.

        Parameters
        ----------
        photometry : float32 array (n, features)
            Magnitudes and colours; NaN where missing.
        threads : int

        Returns
        -------
        float32 array (n, units)
        """
        out = np.empty((len(photometry), len(self.bias)), np.float32)
        fill_in_threads(self._fill, photometry, out, threads)
        return out

    def _fill(self, photometry: Photometry, out: NDArray[np.float32]) -> None:
        scaling, tables = (self.centre, self.width), (self.nodes, self.before, self.tables)
        sum_tables(photometry, *scaling, *tables, self.bias, out)


def _weights(model: keras.Model, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kernel, bias = model.get_layer(name).get_weights()
    return kernel.astype(np.float64), bias.astype(np.float64)
