"""What a reduction is shown: the scored sources of one partition."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from kidsclf.errors import StoreError
from kidsclf.reduce.context import Context, magnitude_slots
from kidsclf.schema import Scores
from kidsclf.sky.partition import Partition

Found = TypeVar("Found")


@dataclass(frozen=True)
class SampleLabels:
    """Which sources of a partition stand in a sample, and as what.

    Attributes
    ----------
    codes : int64 array (n,)
        Index into the classes; -1 where the source is not in the sample.
    split : str array (n,)
        "train", "validation", "test", or "" where the sample is not split.
    fold : int64 array (n,)
        The fold in which the source was tested; -1 without cross-validation.
    """

    codes: NDArray[np.int64]
    split: NDArray[Any]
    fold: NDArray[np.int64]


@dataclass(frozen=True)
class ScoredBlock:
    """The n scored sources of one partition.

    Attributes
    ----------
    partition : Partition
    name : str array (n,)
        The survey's identifiers.
    ra, dec : float64 arrays (n,)
        Degrees, ICRS.
    index29 : int64 array (n,)
        NESTED HEALPix pixel at order 29.
    magnitudes : float32 array (n, bands)
        AB; NaN where not measured.
    bands : tuple of str
    reference_magnitude : float32 array (n,)
        Magnitude by which results are binned (KiDS: r); NaN where not measured.
    scores : Scores
    calibrated : float32 array (n, classes)
        Calibrated probabilities; NaN where the network gave none.
    sets : bool array (n, classes)
        Which classes are in the prediction set.
    training_distance : float32 array (n,)
        From the training sample, in units of the scatter within a class; NaN without photometry.
    novelty : float32 array (n,)
        Share of validation sources that lie closer, within [0, 1); NaN without photometry.
    flags : int32 array (n,)
        Of `kidsclf.schema.ScoreFlag`.
    labels : mapping of sample to SampleLabels
    shapes : mapping of column to float32 array (n,)
        What was measured on the stamps; NaN where it was withheld.
    reference_error : float32 array (n,) or None
        Error of the reference magnitude, mag; NaN where not measured.

    Raises
    ------
    ValueError
        When the arrays do not have the same number of rows.
    """

    partition: Partition
    name: NDArray[Any]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    index29: NDArray[np.int64]
    magnitudes: NDArray[np.float32]
    bands: tuple[str, ...]
    reference_magnitude: NDArray[np.float32]
    scores: Scores
    calibrated: NDArray[np.float32]
    sets: NDArray[np.bool_]
    training_distance: NDArray[np.float32]
    novelty: NDArray[np.float32]
    flags: NDArray[np.int32]
    labels: Mapping[str, SampleLabels] = field(default_factory=dict)
    shapes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    reference_error: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if {len(column) for column in _columns(self)} != {len(self.name)}:
            raise ValueError(f"partition {self.partition.label}: columns of different lengths")

    def __len__(self) -> int:
        return len(self.name)

    @cached_property
    def _found(self) -> dict[Hashable, Any]:
        return {}

    def once(self, what: Hashable, find: Callable[[], Found]) -> Found:
        """Find something out for the first question that needs it, and keep it for the others."""
        if what not in self._found:
            self._found[what] = find()
        return cast("Found", self._found[what])

    def magnitude(self, band: str) -> NDArray[np.float32]:
        """Give the magnitudes of one band, (n,)."""
        return self.magnitudes[:, self.bands.index(band)]

    def slots(self, context: Context) -> NDArray[np.int64]:
        """Give the `magnitude_slots` of the reference magnitude, (n,)."""
        return self.once(
            context.magnitude_edges, lambda: magnitude_slots(self.reference_magnitude, context)
        )

    def take(self, rows: NDArray[Any]) -> "ScoredBlock":
        """Cut every column to some sources, in the order given.

        Parameters
        ----------
        rows : bool array (n,), or int64 array (m,) of indices

        Returns
        -------
        ScoredBlock
            Of the same partition.
        """
        taken: ScoredBlock = _cut(self, rows)
        return taken


def _columns(value: Any) -> Iterator[NDArray[Any]]:
    """Give every array of a block, and of what it holds."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _columns(part)
    elif isinstance(value, ScoredBlock | Scores | SampleLabels):
        for each in fields(value):
            yield from _columns(getattr(value, each.name))


def _cut(value: Any, rows: NDArray[Any]) -> Any:
    """Cut every array of a block, and of what it holds; what is no array is kept."""
    if isinstance(value, np.ndarray):
        return value[rows]
    if isinstance(value, Mapping):
        return {name: _cut(part, rows) for name, part in value.items()}
    if isinstance(value, ScoredBlock | Scores | SampleLabels):
        parts = {each.name: getattr(value, each.name) for each in fields(value)}
        return replace(value, **{name: _cut(part, rows) for name, part in parts.items()})
    return value


def check_classes(block: ScoredBlock, context: Context) -> None:
    """Refuse scores or labels of other classes than those asked for.

    Raises
    ------
    StoreError
    """
    if block.scores.classes != context.classes:
        raise StoreError(
            f"the reductions ask for the classes {', '.join(context.classes)}, but the scores of "
            f"partition {block.partition.label} hold {', '.join(block.scores.classes)}; "
            f"run infer again"
        )
    for sample, label in block.labels.items():
        largest = int(label.codes.max(initial=-1))
        if largest >= len(context.classes):
            raise StoreError(
                f"the sample {sample} should hold {len(context.classes)} classes, but partition "
                f"{block.partition.label} has the class code {largest}; run match again"
            )


def predicted_codes(block: ScoredBlock) -> NDArray[np.int64]:
    """Give the predicted class, with `UNCLASSIFIED` as one more class at the end, (n,)."""
    codes = block.scores.codes
    return np.where(codes < 0, len(block.scores.classes), codes)


def evaluated(block: ScoredBlock, sample: str, context: Context) -> NDArray[np.bool_]:
    """Say which sources a sample judges the network by, (n,).

    Of the training sample these are the test sources: the network was fitted to the others.
    """
    label = block.labels[sample]
    member = np.asarray(label.codes >= 0)
    if sample == context.training_sample:
        member[member] = label.split[member] == "test"
    return member
