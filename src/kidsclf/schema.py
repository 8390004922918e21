"""The words that the packages share: column names, flags and small records.

Nothing here reads, computes or writes; it fixes how the others name what they hand on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SPATIAL_INDEX = "_healpix_29"
"""Name of the HATS spatial index: NESTED HEALPix pixel at order 29, int64."""

NAME = "name"
RA = "ra"
DEC = "dec"
LABEL = "label"
LABEL_NAME = "label_name"
"""Identifier of a source in the survey that its label is from."""
REDSHIFT = "redshift"
HALF_LIGHT_RADIUS = "half_light_radius_arcsec"

NAN_CODE = -32_768
"""Code of a NaN among the int16 codes of a stamp; the others are larger."""

SPLITS = ("train", "validation", "test")


def magnitude_column(band: str) -> str:
    """Name the column of AB magnitudes of a band."""
    return f"mag_{band}"


def error_column(band: str) -> str:
    """Name the column of magnitude errors of a band."""
    return f"mag_err_{band}"


def canonical_names(bands: "Sequence[str]") -> set[str]:
    """List the names of columns that every survey's tables are brought to."""
    named = {NAME, RA, DEC, LABEL, REDSHIFT, HALF_LIGHT_RADIUS}
    return named | {column(band) for band in bands for column in (magnitude_column, error_column)}


def probability_column(class_name: str) -> str:
    """Name the column of a class's probability.

    >>> probability_column("QSO")
    'p_qso'
    """
    return f"p_{class_name.lower()}"


def calibrated_column(class_name: str) -> str:
    """Name the column of a class's calibrated probability.

    >>> calibrated_column("QSO")
    'p_qso_calibrated'
    """
    return f"{probability_column(class_name)}_calibrated"


class CutoutFlag(IntFlag):
    """What is wrong with a stamp (``uint8``); 0 is a good one."""

    EDGE = 1
    """Part of the stamp lies outside its tile; those pixels are 0."""
    MASKED = 2
    """The survey's mask is set on the central pixels."""
    MISSING_TILE = 4
    """No tile holds the source; all pixels are NaN."""
    BAD_PIXEL = 8
    """NaN and infinite pixels, or pixels without weight, were filled with 0."""
    COARSE = 16
    """Too bright for the int16 encoding: its steps exceed what the sky noise asks for."""


def count_flags(flags: NDArray[np.uint8]) -> dict[str, int]:
    """Count the stamps with each ``CutoutFlag``.

    >>> count_flags(np.array([0, 3, 1], np.uint8))["EDGE"]
    2
    """
    return {flag.name or "": int(np.count_nonzero(flags & flag.value)) for flag in CutoutFlag}


class ScoreFlag(IntFlag):
    """What to know before a score is trusted (``int32``); 0 is a plain one."""

    EXTRAPOLATED = 1
    """Fainter than the labels reach (Feng: 22 < r <= 23), or brighter than 199 in 200 of them."""
    CUTOUT_EDGE = 2
    CUTOUT_MASKED = 4
    CUTOUT_MISSING = 8
    """No image: a network that needs one gives no class, and its probabilities are NaN."""
    CUTOUT_BAD_PIXEL = 16
    MISSING_BAND = 32
    """At least one magnitude is missing, of those that the network reads."""
    TRAINED_ON = 64
    """The source stood in the training or validation sample of this network."""
    UNCLASSIFIED = 128
    """The network gave no class."""
    NOVEL = 256
    """Further from the training sample than nearly all sources of the validation sample."""


@dataclass(frozen=True)
class CutCount:
    """How many rows one selection step kept."""

    step: str
    reason: str
    rows_in: int
    rows_cut: int

    @property
    def rows_out(self) -> int:
        """Rows that went on to the next step."""
        return self.rows_in - self.rows_cut


@dataclass(frozen=True)
class PackedStamps:
    """Stamps as the store packs them: a code times its stamp's step is maggies.

    Attributes
    ----------
    codes : int16 array (n, size, size) or (n, size, size, bands)
        ``NAN_CODE`` where the pixel is NaN.
    steps : float32 array (n,) or (n, bands)
        Maggies of one step.
    """

    codes: NDArray[np.int16]
    steps: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: "slice | NDArray[Any]") -> "PackedStamps":
        """Pick stamps: a stretch, by number, or by a mask."""
        return PackedStamps(self.codes[rows], self.steps[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the stamps."""
        return self.codes.shape


@dataclass(frozen=True)
class Inputs:
    """What a network is shown of n sources.

    Attributes
    ----------
    magnitudes : float32 array (n, bands)
        AB magnitudes in the order of ``bands``; NaN where not measured.
    errors : float32 array (n, bands)
        Their errors, magnitudes.
    bands : tuple of str
    images : mapping of band to float32 array (n, size, size), or to PackedStamps
        Stamps in maggies (AB zero point 0); all-NaN where there is no image. Empty when the
        network takes none. Packed for a network that unpacks them itself.
    """

    magnitudes: NDArray[np.float32]
    errors: NDArray[np.float32]
    bands: tuple[str, ...]
    images: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.magnitudes)

    def magnitudes_in(self, bands: tuple[str, ...]) -> NDArray[np.float32]:
        """Pick bands, in the order given; (n, len(bands)), of none (n, 0)."""
        if bands == self.bands:
            return self.magnitudes
        return self.magnitudes[:, [self.bands.index(band) for band in bands]]

    def take(self, rows: NDArray[np.int64]) -> "Inputs":
        """Pick rows, in the order given."""
        images = {band: stamps[rows] for band, stamps in self.images.items()}
        return Inputs(self.magnitudes[rows], self.errors[rows], self.bands, images)

    @staticmethod
    def concatenate(parts: "Sequence[Inputs]") -> "Inputs":
        """Join parts of the same bands, in order."""
        first = parts[0]
        images = {
            band: np.concatenate([part.images[band] for part in parts]) for band in first.images
        }
        return Inputs(
            np.concatenate([part.magnitudes for part in parts]),
            np.concatenate([part.errors for part in parts]),
            first.bands,
            images,
        )


@dataclass(frozen=True)
class LabelledInputs:
    """Inputs with their spectroscopic classes, as codes into ``classes`` (int64, (n,))."""

    inputs: Inputs
    codes: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def photometry(self) -> Inputs:
        """The inputs without stamps."""
        return replace(self.inputs, images={})

    def take(self, rows: NDArray[np.int64]) -> "LabelledInputs":
        """Pick rows, in the order given."""
        return LabelledInputs(self.inputs.take(rows), self.codes[rows], self.classes)


class LabelledRows(Protocol):
    """Labelled sources whose stamps need not be in memory; ``LabelledInputs`` is one of them."""

    @property
    def codes(self) -> NDArray[np.int64]:
        """Their classes, (n,)."""
        ...

    @property
    def photometry(self) -> Inputs:
        """What is known of all of them but for stamps."""
        ...

    def take(self, rows: NDArray[np.int64]) -> LabelledInputs:
        """Bring some into memory, in the order given, with their stamps."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Scores:
    """What a network says of n sources.

    Attributes
    ----------
    probabilities : float32 array (n, classes)
        In the order of ``classes``; NaN where the network could say nothing.
    codes : int64 array (n,)
        Index of the most probable class; -1 where unclassified.
    p_max, entropy : float32 arrays (n,)
        Largest probability; Shannon entropy in nats.
    classes : tuple of str
    """

    probabilities: NDArray[np.float32]
    codes: NDArray[np.int64]
    p_max: NDArray[np.float32]
    entropy: NDArray[np.float32]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)
