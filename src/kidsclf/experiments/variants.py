"""What an experiment changes from one row of its table to the next."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Magnitudes:
    """A range of magnitudes as Feng et al. write it: ``r < 21``, or ``19 < r <= 21``.

    Attributes
    ----------
    low, high : float or None
        None is no end. With both, the faint end belongs to the range; alone it does not.
    """

    low: float | None = None
    high: float | None = None

    def holds(self, magnitude: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Say which sources are in the range; one that was not measured is in no range but all.

        >>> Magnitudes(19.0, 21.0).holds(np.array([19, 20, 21, np.nan], np.float32)).tolist()
        [False, True, True, False]
        >>> Magnitudes(high=21.0).holds(np.array([20, 21], np.float32)).tolist()
        [True, False]
        """
        if self.low is None and self.high is None:
            return np.ones(len(magnitude), np.bool_)
        high = math.inf if self.high is None else self.high
        if self.low is None:
            return np.asarray(magnitude < high)
        return np.asarray((magnitude > self.low) & (magnitude <= high))

    def __str__(self) -> str:
        """Write it as the paper does.

        >>> str(Magnitudes(high=21.0)), str(Magnitudes(17.5, 19.5)), str(Magnitudes())
        ('r < 21', '17.5 < r <= 19.5', 'all')
        """
        if self.low is None:
            return "all" if self.high is None else f"r < {self.high:g}"
        return f"{self.low:g} < r" if self.high is None else f"{self.low:g} < r <= {self.high:g}"


@dataclass(frozen=True)
class Variant:
    """How a network is trained and judged in one row of an experiment.

    Attributes
    ----------
    key : str
        Its name in files.
    title : str
        Its name in tables.
    train, test : Magnitudes
        Of the training and validation samples; of the test sample.
    train_rows : int or None
        How many training sources are drawn; None is all.
    normalised : bool
        Whether every stamp is scaled to span 0 to 1.
    shapes : tuple of str
        Columns of the stage ``features`` that trees read beside photometry.
    """

    key: str
    title: str
    train: Magnitudes = Magnitudes()
    test: Magnitudes = Magnitudes()
    train_rows: int | None = None
    normalised: bool = False
    shapes: tuple[str, ...] = ()


WHOLE = Variant("all", "all sources")
AS_MEASURED = Variant("as-measured", "stamps as measured")
NORMALISED = Variant("normalised", "stamps normalised", normalised=True)


def of_split(train: Magnitudes, test: Magnitudes) -> Variant:
    """Train within one range of magnitudes and judge in another.

    >>> of_split(Magnitudes(high=21.0), Magnitudes(21.0, 22.0)).key
    'r-to-21-tested-21-to-22'
    """
    key = f"r-{_range_key(train)}-tested-{_range_key(test)}"
    return Variant(key, f"{train} -> {test}", train, test)


def of_size(rows: int) -> Variant:
    """Train with so many sources."""
    return Variant(f"size-{rows}", f"{rows:,} sources", train_rows=rows)


def with_shapes(key: str, columns: tuple[str, ...]) -> Variant:
    """Train on photometry and these shapes.

    >>> with_shapes("stellarity", ("spread_model",)).title
    'photometry and spread_model'
    """
    told = columns[0] if len(columns) == 1 else f"all {len(columns)} shapes"
    return Variant(key, f"photometry and {told}", shapes=columns)


def _range_key(magnitudes: Magnitudes) -> str:
    low = "" if magnitudes.low is None else f"{magnitudes.low:g}-"
    return f"{low}to-{magnitudes.high:g}"
