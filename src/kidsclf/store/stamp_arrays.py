"""Zarr arrays of stamps that are not ours."""

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from kidsclf.errors import InputError, StoreError
from kidsclf.places import Place
from kidsclf.store.stamp_reader import zarr_store


class ZarrStamps:
    """Stamps (n, ny, nx) in a Zarr array of version 2 or 3, read row by row.

    Raises
    ------
    InputError
        When there is no such array.
    StoreError
        When its object store does not answer.
    """

    def __init__(self, path: Place) -> None:
        try:
            self._array = zarr.open_array(zarr_store(path), mode="r")
        except StoreError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"stamps at {path} were asked for, but no Zarr array can be opened there; give the "
                f"path of an array (not of its group), or one that ends in .npy or .fits"
            ) from error
        self.shape: tuple[int, ...] = self._array.shape

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(self._array.oindex[rows])
